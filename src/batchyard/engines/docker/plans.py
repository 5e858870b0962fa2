"""What to do next about one task, from what Docker shows: a function of values.

The same function serves a fresh task and one whose server died in the middle: nothing is remembered of the order in
which things were done, it is seen (AWS Batch behaviour 6.10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from batchyard.core.records import ContainerSpec
from batchyard.engines.docker.containers import Seen, State

START, COMPLETE, SUCCESS = "START", "COMPLETE", "SUCCESS"


class Plan(Struct, frozen=True):
    """Names of containers. `is_over`: nothing lives, and nothing will be started any more. `ends_since_ms`: since when
    the task is to end although some of it runs; 0: it is not."""

    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    is_over: bool = False
    ends_since_ms: int = 0
    blocked: tuple[tuple[str, str], ...] = ()  # container -> the one whose end keeps it from ever being started

    @property
    def is_up(self) -> bool:
        """Everything that is to be started was."""
        return not self.start and not self.is_over


def plan(containers: Sequence[ContainerSpec], seen: Mapping[str, Seen], *, stopping: bool) -> Plan:
    """`seen`: every container of the task. `stopping`: somebody asked for its end, or a start failed."""
    running = [spec.name for spec in containers if seen[spec.name].state is State.RUNNING]
    blocked = _blocked(containers, seen)
    ends = [_end_of(seen[spec.name]) for spec in containers if spec.essential and _has_ended(seen[spec.name])]
    ends += [_end_of(seen[culprit]) for _, culprit in blocked]
    if stopping or ends:
        return Plan(
            stop=tuple(running),
            is_over=not running,
            ends_since_ms=min(ends, default=0) if running else 0,
            blocked=blocked,
        )
    ready = [spec.name for spec in containers if seen[spec.name].state is State.CREATED and _may_start(spec, seen)]
    return Plan(start=tuple(ready), is_over=not running and not ready, blocked=blocked)


def _has_ended(seen: Seen) -> bool:
    return seen.state in (State.EXITED, State.ABSENT)


def _end_of(seen: Seen) -> int:
    return seen.finished_at_ms


def _may_start(spec: ContainerSpec, seen: Mapping[str, Seen]) -> bool:
    return all(_is_met(seen[dependency.container], dependency.condition) for dependency in spec.depends_on)


def _is_met(target: Seen, condition: str) -> bool:
    if condition == START:
        return target.has_started
    if condition == COMPLETE:
        return target.state is State.EXITED
    return target.state is State.EXITED and target.exit_code == 0


def _blocked(containers: Sequence[ContainerSpec], seen: Mapping[str, Seen]) -> tuple[tuple[str, str], ...]:
    """Those not started whose dependency on a SUCCESS was disappointed, and by whom."""
    return tuple(
        (spec.name, dependency.container)
        for spec in containers
        for dependency in spec.depends_on
        if seen[spec.name].state is State.CREATED
        and dependency.condition == SUCCESS
        and seen[dependency.container].state is State.EXITED
        and seen[dependency.container].exit_code != 0
    )
