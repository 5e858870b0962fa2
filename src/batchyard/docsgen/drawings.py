"""Draws the pipeline, the rooms and the states of a job as Mermaid diagrams, which GitHub shows as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from batchyard.core.model.lifecycle import TABLE, Cause
from batchyard.core.model.records import Status
from batchyard.docsgen.imports import core_arrows
from batchyard.docsgen.rooms import CORE_DOES, CORE_ORDER, EVERYTHING, ROOMS, Room, arrows_of

CLIENT = "client"
# The way of a request and of what it causes: (from, to, what passes). Everything but the client is a module.
PIPELINE = (
    (CLIENT, "server.http.app", "bytes"),
    ("server.http.app", "wire.operation", "bytes"),
    ("wire.operation", "api.operations", "checked document"),
    ("api.operations", "loop.loop", "command"),
    ("loop.loop", "core.machine", "commands and reports of one batch"),
    ("core.machine", "loop.loop", "changed records, effects"),
    ("loop.loop", "store.writer", "one transaction"),
    ("store.writer", "loop.loop", "durable"),
    ("loop.loop", "api.operations", "answer, after the commit"),
    ("loop.loop", "engines.base", "effects, after the commit"),
    ("engines.base", "loop.loop", "reports"),
    ("store.queries", "api.operations", "records, for questions"),
    ("api.operations", CLIENT, "response"),
)


def reduced(arrows: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Returns the arrows that no chain of others implies. `arrows` has no circle."""

    def reached(room: str) -> set[str]:
        found = set(arrows.get(room, ()))
        return found.union(*(reached(other) for other in found))

    kept = {}
    for room, imported in arrows.items():
        implied = set[str]().union(*(reached(other) for other in imported))
        kept[room] = sorted(imported - implied)
    return kept


def flowchart(arrows: Sequence[tuple[str, str, str]], direction: str) -> list[str]:
    """Returns a Mermaid flowchart. Each arrow: from, to, label."""
    names = list(dict.fromkeys(name for one, other, _ in arrows for name in (one, other)))
    lines = ["```mermaid", f"flowchart {direction}"]
    lines += [f'    n{at}["{name}"]' for at, name in enumerate(names)]
    for one, other, label in arrows:
        arrow = f'-- "{label}" -->' if label else "-->"
        lines.append(f"    n{names.index(one)} {arrow} n{names.index(other)}")
    return [*lines, "```"]


def room_arrows() -> dict[str, set[str]]:
    """Returns the rooms that each package may import. Left out: modules and the packages that import everything."""
    drawn = {room.name: room for room in there() if not (room.is_module or EVERYTHING in room.may_import)}
    return {
        name: {other.split(".")[0] for other in room.may_import} & drawn.keys()
        for name, room in drawn.items()
        if name != "vendor"
    }


def rooms_page() -> Iterator[str]:
    yield from ("# Rooms", "")
    yield "The packages of `src/batchyard/`, what passes between them, and who may import whom. The tables are"
    yield "`src/batchyard/docsgen/rooms.py`, and `tests/test_arrows.py` holds every import to them."
    yield from ("", "## The pipeline", "")
    yield "The way of one request, and of what it causes."
    yield from ("", *flowchart(PIPELINE, "TB"), "")
    yield from ("## Who may import whom", "")
    yield "An arrow means: may import. Left out: arrows that a chain of others implies, single modules, `server`, which"
    yield "puts the rooms together and imports all of them, and `docsgen`, which made this page."
    arrows = [(name, other, "") for name, others in reduced(room_arrows()).items() for other in others]
    yield from ("", *flowchart(arrows, "TB"), "", *import_table(), "")
    yield from ("## The rooms of the core", "")
    yield "An arrow means: imports. Each room may import those below it; arrows that a chain of others implies are left"
    yield "out."
    arrows = [(name, other, "") for name, others in reduced(core_arrows()).items() for other in others]
    yield from ("", *flowchart(arrows[::-1], "TB"), "")
    yield from ("| room | holds |", "|---|---|")
    for room in CORE_ORDER[::-1]:
        yield f"| `core.{room}` | {CORE_DOES[room]} |"


def import_table() -> Iterator[str]:
    """Returns the table of CONTRIBUTING.md."""
    yield from ("| room | holds | may import |", "|---|---|---|")
    for room in there():
        yield f"| `{room.path}` | {room.does} | {arrows_of(room)} |"
    yield ""
    core = ", ".join(f"`{name}`" for name in CORE_ORDER)
    yield f"The rooms of `core/` have an order too: {core}. Each may import those before it."


def ignorance_table() -> Iterator[str]:
    """Returns the table of docs/architecture.md."""
    yield from ("| room | what it does | what it must not know |", "|---|---|---|")
    for room in there():
        yield f"| `src/batchyard/{room.path}` | {room.does} | {room.must_not_know} |"


def there() -> list[Room]:
    return [room for room in ROOMS if not room.is_planned]


def states_page() -> Iterator[str]:
    yield from ("# States of a job", "")
    yield "From the table in `src/batchyard/core/model/lifecycle.py`, the only one by which a job changes its state."
    yield "An array's parent goes to PENDING when its children are ready to run, and ends with the last of them."
    yield from ("", "```mermaid", "stateDiagram-v2", f"    [*] --> {Status.SUBMITTED}")
    for (status, cause), target in TABLE.items():
        yield f"    {status} --> {target}: {cause.name}"
    yield from (f"    {status} --> [*]" for status in Status if status.is_final)
    yield from ("```", "", "| cause | meaning | from | to |", "|---|---|---|---|")
    for cause in Cause:
        moves = [(status, target) for (status, other), target in TABLE.items() if other is cause]
        sources = ", ".join(str(status) for status, _ in moves)
        targets = ", ".join(dict.fromkeys(str(target) for _, target in moves))
        yield f"| {cause.name} | {cause.value} | {sources} | {targets} |"
