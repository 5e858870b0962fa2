"""Named places where a test makes this process die, as by `kill -9`. In production the dictionary is empty.

Armed by the environment alone: BATCHYARD_FAILPOINTS="before-launch=crash@2;before-commit[RETRIED]=crash@1" dies when
`before-launch` is reached for the second time, or `before-commit` for the first time with that transition in flight.
BATCHYARD_FAILPOINT_HITS names a file to which `<point> TAB <transitions>` is appended just before. A point that is
in the file already is not armed again: else a process that is started anew would die there for ever.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

POINTS = (
    "before-commit",
    "after-commit-before-answer",
    "before-launch",
    "after-report-before-commit",
    "after-spawn-before-journal",
    "after-exit-before-report",
    "during-adoption",
    "during-upgrade",
    "after-create-before-start",  # these two of a container
    "after-start-before-report",
)
VARIABLE = "BATCHYARD_FAILPOINTS"
HITS_VARIABLE = "BATCHYARD_FAILPOINT_HITS"
ANY = ""  # no transition asked for: the point as such
_FORM = re.compile(r"(?P<point>[a-z-]+)(\[(?P<transition>[^\[\]]+)\])?=crash@(?P<times>[1-9][0-9]*)")

# (point, transition) -> how many more times it is to be reached. Check this before computing transitions.
armed: dict[tuple[str, str], int] = {}
_hits: list[Path] = []


def arm(variables: Mapping[str, str]) -> None:
    """Arms the points of the environment; called once by each program. Raises ValueError, with a sentence, for a
    text that it cannot parse."""
    text = variables.get(VARIABLE, "")
    if not text:
        return
    hits = variables.get(HITS_VARIABLE, "")
    reached = _reached_before(Path(hits)) if hits else set()
    _hits[:] = [Path(hits)] if hits else []
    for entry in text.split(";"):
        form = _FORM.fullmatch(entry)
        if form is None or form["point"] not in POINTS:
            raise ValueError(
                f"{VARIABLE}: {entry!r} is neither POINT=crash@N nor POINT[TRANSITION]=crash@N with a point of "
                f"{', '.join(POINTS)}"
            )
        key = form["point"], form["transition"] or ANY
        if key not in reached:
            armed[key] = int(form["times"])


def reach(point: str, transitions: Iterable[str] = ()) -> None:
    """Ends the process here if the point is armed. `transitions`: those under way, which must neither be lost nor be
    repeated."""
    assert point in POINTS, f"{point} is no fail point"
    under_way = sorted(set(transitions))
    for transition in (ANY, *under_way):
        left = armed.get((point, transition))
        if left is None:
            continue
        armed[point, transition] = left - 1
        if left == 1:
            _die(point, transition, under_way)


def _die(point: str, transition: str, under_way: list[str]) -> None:
    for path in _hits:
        with path.open("a") as file:
            file.write(f"{point}\t{transition}\t{', '.join(under_way)}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def _reached_before(path: Path) -> set[tuple[str, str]]:
    if not path.exists():
        return set()
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    return {(point, transition) for point, transition, _ in lines}
