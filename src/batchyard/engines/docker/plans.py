"""The next steps of one task, from what Docker shows: a function of values.

The same function serves a fresh task and one whose server died in the middle: the order in which things were done is
seen, not remembered. The rules themselves are those of every engine, `engines.container_group`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from batchyard.core.model.records import ContainerSpec
from batchyard.core.model.reports import ContainerExit
from batchyard.engines.container_group import ContainerGroup
from batchyard.engines.docker.containers import Seen, State


class Plan(Struct, frozen=True):
    """Steps, by names of containers. `waits`: some are still to be started, now or later. `is_over`: none lives, and
    none will be started any more. `ends_since_ms`: since when the task ends although some containers run; 0: it does
    not. `reasons`: why containers never ran and never will. `due_ms`: when a startTimeout passes; 0: none does."""

    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    waits: bool = False
    is_over: bool = False
    ends_since_ms: int = 0
    reasons: dict[str, str] = {}
    due_ms: int = 0


def plan(
    containers: Sequence[ContainerSpec],
    seen: Mapping[str, Seen],
    refused: Mapping[str, ContainerExit],
    *,
    stopping: bool,
    now_ms: int,
) -> Plan:
    """`seen`: every container of the task. `refused`: those that could not be started. `stopping`: a stop was asked."""
    group = ContainerGroup(containers)
    _replay(group, seen, refused, now_ms)
    if stopping:
        group.cancel_pending()
    running, start = tuple(group.running()), tuple(group.startable())
    ends = stopping or group.is_ending
    return Plan(
        start=start,
        stop=tuple(group.stoppable()) if ends else (),
        waits=bool(group.waiting()),
        is_over=group.is_over,
        ends_since_ms=_end_of(containers, seen) if group.is_ending and running else 0,
        reasons={one.name: one.reason for one in group.exits() if one.reason},
        due_ms=min(_timeouts(group, seen), default=0),
    )


def _replay(group: ContainerGroup, seen: Mapping[str, Seen], refused: Mapping[str, ContainerExit], now_ms: int) -> None:
    """Enters what has happened, as far as Docker shows it."""
    was_there = [one for one in seen.values() if one.state is not State.CREATED]
    for one in was_there:
        group.started(one.name)
    for one in was_there:
        limit_ms = group.specs[one.name].start_timeout_seconds * 1000
        if limit_ms and (one.finished_at_ms or now_ms) - one.started_at_ms >= limit_ms:
            group.start_timed_out(one.name)
    for name, outcome in refused.items():
        if name in group.waiting():
            group.ended(outcome)
    for one in sorted(was_there, key=lambda one: one.finished_at_ms):
        if one.state is State.EXITED:
            group.ended(ContainerExit(one.name, one.exit_code))
        elif one.state is State.ABSENT:  # removed by someone else: how it ended is unknown
            group.ended(ContainerExit(one.name))


def _end_of(containers: Sequence[ContainerSpec], seen: Mapping[str, Seen]) -> int:
    """Returns the time of the first end of an essential container; where none ran, of the last end that prevented
    it."""
    ended = [seen[spec.name].finished_at_ms for spec in containers if seen[spec.name].finished_at_ms]
    essential = [seen[spec.name].finished_at_ms for spec in containers if spec.essential]
    return min(filter(None, essential), default=max(ended, default=0))


def _timeouts(group: ContainerGroup, seen: Mapping[str, Seen]) -> list[int]:
    """Returns the times at which the containers that others wait for exceed their startTimeout."""
    awaited = {dependency.container for name in group.waiting() for dependency in group.specs[name].depends_on}
    return [
        seen[name].started_at_ms + group.specs[name].start_timeout_seconds * 1000
        for name in group.running()
        if name in awaited and group.specs[name].start_timeout_seconds
    ]
