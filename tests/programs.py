"""Programs of others, run with an environment that holds nothing of this machine's own configuration."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def output_of(
    words: Sequence[str],
    directory: Path,
    variables: Mapping[str, str],
    seconds: float,
    *,
    code: int = 0,
    stdin: int = subprocess.DEVNULL,
) -> str:
    """What the program printed to standard output. Its end with anything but `code` fails the test with all it said."""
    done = subprocess.run(
        words,
        cwd=directory,
        env=dict(variables),
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == code, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout
