"""Step 1: splits the access log of $DATE into parts of whole lines, one for each child of the next step."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def split(log: Path, parts: int, folder: Path) -> list[int]:
    """Writes part-000.log and so on; returns their sizes in bytes. Parts differ by a line at most from equal sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    total = log.stat().st_size
    sizes = []
    with log.open("rb") as source:
        for index in range(parts):
            end = total * (index + 1) // parts
            content = source.read(max(0, end - source.tell()))
            if content and not content.endswith(b"\n"):
                content += source.readline()
            (folder / f"part-{index:03}.log").write_bytes(content)
            sizes.append(len(content))
    return sizes


def main() -> int:
    work, date, parts = Path(os.environ["WORK"]), os.environ["DATE"], int(os.environ["PARTS"])
    log = work / f"access-{date}.log"
    print(f"reading {log.name}, {log.stat().st_size:,} bytes", flush=True)
    sizes = split(log, parts, work / "parts")
    print(f"wrote {len(sizes)} parts, {min(sizes):,} to {max(sizes):,} bytes each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
