"""The critical path of an execution that has ended: what its end waited for, and where the time went. From values to
values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from batchyard.analysis.state_visits import Visit, Visits

QUEUEING, STARTING, RUNNING, WAITING, RETRY_DELAYS, OTHER = COLUMNS = (
    "queueing",
    "starting",
    "running",
    "waiting",
    "retry delays",
    "other",
)
_OF_PERIOD = {"QUEUED": QUEUEING, "STARTING": STARTING, "RUNNING": RUNNING}

Times = Mapping[str, dict[str, Any]]  # JobTimes by job id, as DescribeJobTimes has them
Spent = dict[str, int]  # milliseconds by column
Place = tuple[str, ...]  # the name of a state, which a machine has once, after those that wait for its execution


class Step(NamedTuple):
    """A visit on the path. `within`: the path of the execution whose end it waited for; `queued_ms`: how long that one
    could not begin, because as many as may run did."""

    visit: Visit
    within: Sequence[Step] = ()
    queued_ms: int = 0


class Row(NamedTuple):
    """The visits of one state on the path, at one place: how many, and how their time was spent, without that of the
    states in them."""

    name: str
    depth: int
    visits: int
    spent: Spent


def critical_path(visits: Visits) -> list[Visit]:
    """Returns the visits that the end of the execution waited for, in their order. Of branches and iterations that ran
    beside each other: the one that ended last, and the iterations that made room for it."""
    visit = visits.last
    ends: dict[Visit, list[Visit]] = {}  # of states with branches, the ends of tries that the path has not passed yet
    found: list[Visit] = []
    while visit is not None:
        left = ends.setdefault(visit, [*visit.ends])
        if left:
            visit = left.pop()
            continue
        found.append(visit)
        visit = visit.before
    return found[::-1]


def rows_of(steps: Sequence[Step], times: Times, end_ms: int) -> list[Row]:
    """Returns how the time of the path was spent. Visits of one state, as those of iterations, are one row."""
    found: dict[Place, Row] = {}
    for place, row in _rows(steps, times, end_ms, ()):
        known = found.get(place)
        if known is not None:
            sums = {column: known.spent[column] + row.spent[column] for column in COLUMNS}
            row = row._replace(visits=known.visits + 1, spent=sums)
        found[place] = row
    return [*found.values()]


def _rows(steps: Sequence[Step], times: Times, end_ms: int, outer: Place) -> Iterator[tuple[Place, Row]]:
    """Yields a row for each visit, with its place. `outer`: that of the state that waits for these steps."""
    inner_ms: dict[Visit, int] = {}
    for step in steps:
        if step.visit.outer is not None:
            inner_ms[step.visit.outer] = inner_ms.get(step.visit.outer, 0) + step.visit.lasted_ms(end_ms)
    for step in steps:
        visit = step.visit
        place = (*outer, visit.name)
        within = [*_rows(step.within, times, end_ms, place)]
        elsewhere_ms = inner_ms.get(visit, 0) + sum(sum(row.spent.values()) for _, row in within)
        spent = spent_ms(visit, times, end_ms, elsewhere_ms)
        spent[QUEUEING] += min(step.queued_ms, spent[OTHER])
        spent[OTHER] -= min(step.queued_ms, spent[OTHER])
        yield place, Row(visit.name, len(outer) + visit.depth, 1, spent)
        yield from ((inner, row._replace(depth=row.depth + visit.depth)) for inner, row in within)


def spent_ms(visit: Visit, times: Times, end_ms: int, elsewhere_ms: int = 0) -> Spent:
    """Returns how a visit's time was spent: until a job was placed, until it ran, while it ran, in a Wait state or
    until a callback or a redrive, in delays between tries; `other`: everything else, as calls and steps are.
    `elsewhere_ms`: the part that other visits account for."""
    spent = dict.fromkeys(COLUMNS, 0)
    left = max(0, visit.lasted_ms(end_ms) - elsewhere_ms)
    spent[RETRY_DELAYS] = min(left, visit.retry_ms)
    spent[WAITING] = min(left - spent[RETRY_DELAYS], visit.waited_ms)
    periods = [period for job_id in visit.job_ids for period in times.get(job_id, {}).get("periods", ())]
    for period in periods if visit.waits_for_end else ():
        stopped_ms = min(period.get("stoppedAt") or end_ms, visit.left_ms or end_ms)
        spent[_OF_PERIOD[period["kind"]]] += max(0, stopped_ms - max(period["startedAt"], visit.entered_ms))
    if visit.kind == "Wait" or visit.work.endswith(".waitForTaskToken") or ":activity:" in visit.work:
        spent[WAITING] = left - spent[RETRY_DELAYS]
    spent[OTHER] = max(0, left - sum(spent.values()))
    return spent
