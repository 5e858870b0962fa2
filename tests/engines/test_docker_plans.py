"""What is done next about a task of several containers, from what Docker shows (AWS Batch behaviour 6.10)."""

from __future__ import annotations

from batchyard.core.model.records import ContainerDependency, ContainerSpec
from batchyard.engines.docker import plans
from batchyard.engines.docker.containers import Seen, State
from batchyard.engines.docker.plans import Plan


def plan(
    containers: tuple[ContainerSpec, ...], found: dict[str, Seen], *, stopping: bool = False, now_ms: int = 1000
) -> Plan:
    return plans.plan(containers, found, {}, stopping=stopping, now_ms=now_ms)


def spec(name: str, *depends_on: tuple[str, str], essential: bool = True) -> ContainerSpec:
    dependencies = tuple(ContainerDependency(container, condition) for container, condition in depends_on)
    return ContainerSpec(name, essential=essential, depends_on=dependencies)


def seen(**states: str | int) -> dict[str, Seen]:
    """A number: exited with it, at 100 + its place."""
    found = {}
    for place, (name, state) in enumerate(states.items()):
        if isinstance(state, int):
            found[name] = Seen(name, State.EXITED, exit_code=state, started_at_ms=1, finished_at_ms=100 + place)
        else:
            found[name] = Seen(name, State(state))
    return found


MAIN_WITH_SIDECAR = (spec("main", ("side", "START")), spec("side", essential=False))
MAIN_AFTER_SETUP = (spec("main", ("setup", "SUCCESS")), spec("setup", essential=False))


def test_all_start_together_where_nobody_waits() -> None:
    assert plan((spec("a"), spec("b")), seen(a="created", b="created")).start == ("a", "b")


def test_start_waits_for_the_others_start() -> None:
    assert plan(MAIN_WITH_SIDECAR, seen(main="created", side="created")).start == ("side",)
    assert plan(MAIN_WITH_SIDECAR, seen(main="created", side="running")).start == ("main",)
    assert plan(MAIN_WITH_SIDECAR, seen(main="created", side=1)).start == ("main",)


POD = (
    spec("main", ("pause", "START"), essential=False),
    ContainerSpec("pause", essential=False, is_pause=True),
)


def test_a_pause_container_starts_first_and_is_stopped_last() -> None:
    assert plan(POD, seen(main="created", pause="created")).start == ("pause",)
    assert plan(POD, seen(main="running", pause="running")).stop == ()
    assert plan(POD, seen(main="running", pause="running"), stopping=True).stop == ("main",)
    for stopping in (False, True):
        ending = plan(POD, seen(main=0, pause="running"), stopping=stopping)
        assert (ending.stop, ending.is_over, ending.ends_since_ms) == (("pause",), False, 100)


def test_success_waits_for_a_zero() -> None:
    waiting = plan(MAIN_AFTER_SETUP, seen(main="created", setup="running"))
    assert (waiting.start, waiting.stop, waiting.waits, waiting.is_over) == ((), (), True, False)
    assert plan(MAIN_AFTER_SETUP, seen(main="created", setup=0)).start == ("main",)


def test_a_disappointed_dependency_ends_the_task() -> None:
    found = plan(MAIN_AFTER_SETUP, seen(main="created", setup=3))
    assert (found.start, found.is_over) == ((), True)
    assert "setup" in found.reasons["main"]


def test_complete_takes_any_end() -> None:
    containers = (spec("main", ("setup", "COMPLETE")), spec("setup", essential=False))
    assert plan(containers, seen(main="created", setup=3)).start == ("main",)


def test_the_end_of_an_essential_one_stops_the_others() -> None:
    found = plan(MAIN_WITH_SIDECAR, seen(main=0, side="running"))
    assert (found.stop, found.ends_since_ms, found.is_over) == (("side",), 100, False)
    assert plan(MAIN_WITH_SIDECAR, seen(main=0, side=143)).is_over


def test_the_end_of_a_sidecar_stops_nobody() -> None:
    found = plan(MAIN_WITH_SIDECAR, seen(main="running", side=1))
    assert (found.start, found.stop, found.is_over) == ((), (), False)


def test_a_stop_starts_nobody_any_more() -> None:
    assert plan(MAIN_WITH_SIDECAR, seen(main="created", side="running"), stopping=True).stop == ("side",)
    assert plan(MAIN_WITH_SIDECAR, seen(main="created", side="created"), stopping=True).is_over


def test_one_that_somebody_removed_has_ended() -> None:
    assert plan((spec("a"), spec("b")), seen(a="absent", b="running")).stop == ("b",)


def test_patience_with_one_that_does_not_end() -> None:
    """startTimeout counts from the start of the container that is waited for, and can be seen afterwards in Docker."""
    slow = ContainerSpec("slow", essential=False, start_timeout_seconds=2)
    containers = (spec("main", ("slow", "COMPLETE")), slow)
    waiting = {"main": Seen("main", State.CREATED), "slow": Seen("slow", State.RUNNING, started_at_ms=5000)}
    assert plan(containers, waiting, now_ms=6999).due_ms == 7000
    assert plan(containers, waiting, now_ms=7000).stop == ("slow",)
    stopped = {**waiting, "slow": Seen("slow", State.EXITED, exit_code=143, started_at_ms=5000, finished_at_ms=7100)}
    assert plan(containers, stopped, now_ms=9000).is_over
    in_time = {**waiting, "slow": Seen("slow", State.EXITED, started_at_ms=5000, finished_at_ms=6900)}
    assert plan(containers, in_time, now_ms=9000).start == ("main",)
