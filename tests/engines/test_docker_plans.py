"""What is done next about a task of several containers, from what Docker shows (AWS Batch behaviour 6.10)."""

from __future__ import annotations

from batchyard.core.records import ContainerDependency, ContainerSpec
from batchyard.engines.docker.containers import Seen, State
from batchyard.engines.docker.plans import Plan, plan


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
    assert plan((spec("a"), spec("b")), seen(a="created", b="created"), stopping=False).start == ("a", "b")


def test_start_waits_for_the_others_start() -> None:
    both = plan(MAIN_WITH_SIDECAR, seen(main="created", side="created"), stopping=False)
    assert both == Plan(start=("side",))
    assert plan(MAIN_WITH_SIDECAR, seen(main="created", side="running"), stopping=False).start == ("main",)
    assert plan(MAIN_WITH_SIDECAR, seen(main="created", side=1), stopping=False).start == ("main",)


def test_success_waits_for_a_zero() -> None:
    assert plan(MAIN_AFTER_SETUP, seen(main="created", setup="running"), stopping=False) == Plan()
    assert plan(MAIN_AFTER_SETUP, seen(main="created", setup=0), stopping=False).start == ("main",)


def test_a_disappointed_dependency_ends_the_task() -> None:
    found = plan(MAIN_AFTER_SETUP, seen(main="created", setup=3), stopping=False)
    assert found == Plan(is_over=True, blocked=(("main", "setup"),))


def test_complete_takes_any_end() -> None:
    containers = (spec("main", ("setup", "COMPLETE")), spec("setup", essential=False))
    assert plan(containers, seen(main="created", setup=3), stopping=False).start == ("main",)


def test_the_end_of_an_essential_one_stops_the_others() -> None:
    found = plan(MAIN_WITH_SIDECAR, seen(main=0, side="running"), stopping=False)
    assert found == Plan(stop=("side",), ends_since_ms=100)
    assert plan(MAIN_WITH_SIDECAR, seen(main=0, side=143), stopping=False).is_over


def test_the_end_of_a_sidecar_stops_nobody() -> None:
    assert plan(MAIN_WITH_SIDECAR, seen(main="running", side=1), stopping=False) == Plan()


def test_a_stop_starts_nobody_any_more() -> None:
    assert plan(MAIN_WITH_SIDECAR, seen(main="created", side="running"), stopping=True).stop == ("side",)
    assert plan(MAIN_WITH_SIDECAR, seen(main="created", side="created"), stopping=True).is_over


def test_one_that_somebody_removed_has_ended() -> None:
    assert plan((spec("a"), spec("b")), seen(a="absent", b="running"), stopping=False).stop == ("b",)
