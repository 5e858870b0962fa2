"""This machine's floor: processes started per second by the least program that could, `floor.c`.

Measured again before each bench, since the same machine gives other figures on another day.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("floor.c")
PROGRAM = Path(__file__).parent / "build" / "floor"
COMPILERS = ("cc", "gcc", "clang")

COUNT = 3000  # about a second a run: longer changes nothing, shorter is noise
IN_FLIGHT = 2
RUNS = 5


@dataclass(frozen=True)
class Floor:
    """`per_second` is the median of `runs_per_second`. `method` says what was measured."""

    per_second: float
    runs_per_second: list[float]
    method: str


def compiled() -> Path | None:
    """The compiled floor.c, or None where no C compiler is to be had. A compiler that fails is an error."""
    if PROGRAM.exists() and PROGRAM.stat().st_mtime >= SOURCE.stat().st_mtime:
        return PROGRAM
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        return None
    PROGRAM.parent.mkdir(exist_ok=True)
    subprocess.run([compiler, "-O2", "-Wall", "-o", str(PROGRAM), str(SOURCE)], check=True)
    return PROGRAM


def spawn_from_python(count: int, in_flight: int) -> float:
    """What floor.c does, in Python: a few percent slower."""
    environment = {"PATH": "/usr/bin:/bin"}
    actions = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    start = time.monotonic()
    started = ended = 0
    mine: set[int] = set()
    while ended < count:
        while started < count and started - ended < in_flight:
            mine.add(os.posix_spawn("/bin/true", ["/bin/true"], environment, file_actions=actions))
            started += 1
        pid, status = os.waitpid(-1, 0)
        if pid not in mine:
            continue  # a child of this process that somebody else started
        mine.remove(pid)
        assert status == 0, f"/bin/true ended with status {status}"
        ended += 1
    return count / (time.monotonic() - start)


def measure(count: int = COUNT, in_flight: int = IN_FLIGHT, runs: int = RUNS) -> Floor:
    """Run the floor `runs` times, `count` processes each, `in_flight` at once."""
    program = compiled()
    figures = []
    for _ in range(runs):
        if program:
            said = subprocess.run([program, str(count), str(in_flight)], check=True, capture_output=True, text=True)
            figures.append(float(said.stdout))
        else:
            figures.append(spawn_from_python(count, in_flight))
    language = "C posix_spawn" if program else "Python os.posix_spawn (no C compiler found)"
    return Floor(statistics.median(figures), figures, f"{language}, {in_flight} in flight, output to /dev/null")


def main() -> None:
    floor = measure()
    print(f"floor: {floor.per_second:,.0f} processes/s, median of {len(floor.runs_per_second)} ({floor.method})")
    if "Python" in floor.method:
        print("floor: install a C compiler (apt-get install gcc libc6-dev) for the real one", file=sys.stderr)


if __name__ == "__main__":
    main()
