"""The service with its steps written down: `python tests/traced_server.py FILE up ...` runs `batchyard up ...`, and at
its end FILE holds every function of ours that was called, one `module:qualified.name` a line, in the order of the first
calls. Bodies of modules and classes, which run when they are imported, are not calls."""

from __future__ import annotations

import sys
import threading
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType

import batchyard
from batchyard.__main__ import main

PACKAGE = str(Path(batchyard.__file__).parent) + "/"


def trace_into(file: Path) -> None:
    seen: set[CodeType] = set()
    out = file.open("w", buffering=1)

    def profile(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code not in seen:
            seen.add(code)
            if code.co_flags & CO_OPTIMIZED and code.co_filename.startswith(PACKAGE):
                module = code.co_filename[len(PACKAGE) :].removesuffix(".py").replace("/", ".")
                out.write(f"{module}:{code.co_qualname}\n")

    threading.setprofile(profile)
    sys.setprofile(profile)


if __name__ == "__main__":
    trace_into(Path(sys.argv[1]))
    sys.argv[:2] = ["batchyard"]
    main()
