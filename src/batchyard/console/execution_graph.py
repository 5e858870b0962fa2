"""An execution as its state machine's graph, with what each state did, and as lines for each visit of a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from batchyard.analysis.state_visits import ABORTED, CAUGHT, FAILED, RUNNING, SUCCEEDED, Visit
from batchyard.console.graph import MAX_NODES, Drawing, Node, draw
from batchyard.console.rendering import duration
from batchyard.console.state_graph import MAP, State, graph_of, without_inner
from batchyard.wire.messages import Document

NOT_STARTED = "NOT STARTED"
MAX_INNER = 12  # visits shown of one Parallel or Map state: others are counted
MAX_LINES = 200  # in all
# The first of these that a visit of a state has is the state's.
WORST = (RUNNING, FAILED, ABORTED, CAUGHT, SUCCEEDED)


class Visited(Struct, frozen=True):
    """`states`: the visits by the name of the state; `now_ms`: to which those that last are measured."""

    states: Mapping[str, Sequence[Visit]]
    now_ms: int


class VisitLine(Struct, frozen=True):
    """A row of the table of visits. `place`: the name of its element; empty: another row has it. `hidden`: how many
    visits of its state are not shown."""

    visit: Visit | None
    depth: int
    place: str = ""
    hidden: int = 0
    done: int = 0


def visited(visits: Sequence[Visit], now_ms: int) -> Visited:
    found: dict[str, list[Visit]] = {}
    for visit in visits:
        found.setdefault(visit.name, []).append(visit)
    return Visited(found, now_ms)


def drawing_of(definition: str, map_runs: Mapping[str, Document], done: Visited, url: str = "") -> Drawing | None:
    """Draws the states of a definition. `map_runs`: answers of DescribeMapRun by ARN; `url`: of the page that has a row
    for each visited state; empty: no execution is shown."""
    graph = graph_of(definition)
    if len(graph.states) > MAX_NODES:
        graph = without_inner(graph)
    if not 0 < len(graph.states) <= MAX_NODES:
        return None
    places = {name: number for number, name in enumerate(done.states)}
    nodes = []
    for name, state in graph.states.items():
        visits = done.states.get(name, ())
        status = "" if not url else _status(visits)
        target = f"{url}#state-{places[name]}" if visits else ""
        nodes.append(Node(name, name, status or state.kind, _note(state, visits, map_runs, done.now_ms), target))
    return draw(nodes, graph.edges)


def _status(visits: Sequence[Visit]) -> str:
    found = {visit.status for visit in visits}
    last = visits[-1].status if visits else NOT_STARTED
    if visits and visits[-1].outer is None:
        return last  # of one that was visited again and again, how the last visit ended
    return next((status for status in WORST if status in found), last)


def _note(state: State, visits: Sequence[Visit], map_runs: Mapping[str, Document], now_ms: int) -> str:
    if not visits:
        return ""
    last = visits[-1]
    if last.map_run_arn:
        return items_of(map_runs.get(last.map_run_arn))
    if state.kind == MAP and last.inner:
        iterations = {one.branch: one for one in last.inner}
        running = {one.branch for one in last.inner if one.status == RUNNING}
        return f"{len(iterations) - len(running)} of {len(iterations)} begun"
    if len(visits) > 1:
        done = sum(one.status != RUNNING for one in visits)
        return f"{done} of {len(visits)}" if done < len(visits) else f"{len(visits)} times"
    tries = f", try {last.tries}" if last.tries > 1 else ""
    return duration(last.lasted_ms(now_ms)) + tries


def items_of(run: Document | None) -> str:
    """Returns how far a map run is."""
    counts = (run or {}).get("itemCounts")
    if not counts:
        return ""
    failed = sum(counts[kind] for kind in ("failed", "timedOut", "aborted"))
    text = f"{counts['succeeded'] + failed:,} of {counts['total']:,} items"
    return f"{text}, {failed:,} failed" if failed else text


def lines_of(visits: Sequence[Visit]) -> list[VisitLine]:
    """Returns a line for each visit, those of branches and iterations below their state, MAX_LINES at most."""
    places = {name: f"state-{number}" for number, name in enumerate(dict.fromkeys(one.name for one in visits))}
    found: list[VisitLine] = []
    top = [visit for visit in visits if visit.outer is None]
    for visit in top[-MAX_LINES:]:
        _add(visit, places, found)
    return found[:MAX_LINES]


def _add(visit: Visit, places: dict[str, str], found: list[VisitLine]) -> None:
    found.append(VisitLine(visit, visit.depth, places.pop(visit.name, "")))
    shown = _shown(visit.inner)
    for inner in shown:
        _add(inner, places, found)
    hidden = len(visit.inner) - len(shown)
    if hidden:
        done = sum(one.status != RUNNING for one in visit.inner)
        found.append(VisitLine(None, visit.depth + 1, "", hidden, done))


def _shown(inner: Sequence[Visit]) -> list[Visit]:
    """Returns the visits of which people want to know most, in their order: those that run or failed, then others."""
    if len(inner) <= MAX_INNER:
        return list(inner)
    first = [one for one in inner if one.status in (RUNNING, FAILED, CAUGHT)][:MAX_INNER]
    rest = [one for one in inner if one not in first][: MAX_INNER - len(first)]
    chosen = {*first, *rest}
    return [one for one in inner if one in chosen]
