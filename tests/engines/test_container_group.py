"""Which container of a task may start, whatever the order of things, and when the task ends."""

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.records import ContainerDependency, ContainerSpec
from batchyard.core.model.reports import ContainerExit
from batchyard.engines.container_group import ENDED_BEFORE_START, ContainerGroup, grace_of

CONDITIONS = ("START", "COMPLETE", "SUCCESS")


@st.composite
def tasks(draw: st.DrawFn) -> list[ContainerSpec]:
    """Up to six containers, each depending on earlier ones only: no circles. The last is essential."""
    count = draw(st.integers(1, 6))
    return [
        ContainerSpec(
            f"c{number}",
            essential=number == count - 1 or draw(st.booleans()),
            depends_on=tuple(
                ContainerDependency(f"c{other}", draw(st.sampled_from(CONDITIONS)))
                for other in range(number)
                if draw(st.booleans())
            ),
        )
        for number in range(count)
    ]


@given(tasks(), st.data())
def test_every_task_comes_to_its_end_by_the_rules(containers: list[ContainerSpec], data: st.DataObject) -> None:
    group = ContainerGroup(data.draw(st.permutations(containers)))
    ran: dict[str, int | None] = {}  # None while it runs
    while not group.is_over:
        startable, running = group.startable(), group.running()
        assert startable or running, "nothing can ever happen again"
        assert not (group.is_ending and group.waiting())
        choice = data.draw(st.sampled_from([("start", name) for name in startable] + [("end", n) for n in running]))
        if choice[0] == "start":
            for dependency in group.specs[choice[1]].depends_on:
                assert dependency.container in ran
                code = ran[dependency.container]
                assert dependency.condition == "START" or code is not None
                assert dependency.condition != "SUCCESS" or code == 0
            group.started(choice[1])
            ran[choice[1]] = None
        else:
            ran[choice[1]] = data.draw(st.sampled_from((0, 1, 143)))
            group.ended(ContainerExit(choice[1], ran[choice[1]]))
    exits = group.exits()
    assert [one.name for one in exits] == list(group.specs)
    assert {one.name: one.exit_code for one in exits if one.exit_code is not None} == ran
    assert all(one.reason for one in exits if one.name not in ran)


def test_a_pause_container_is_left_until_all_others_have_ended() -> None:
    after_pause = (wait("pause", "START"),)
    group = ContainerGroup(
        [
            ContainerSpec("a", essential=False, depends_on=after_pause),
            ContainerSpec("b", essential=False, depends_on=after_pause),
            ContainerSpec("pause", essential=False, is_pause=True),
        ]
    )
    assert group.startable() == ["pause"]
    for name in ("pause", "a", "b"):
        group.started(name)
    assert group.stoppable() == ["a", "b"]
    group.ended(ContainerExit("a", 1))
    assert (group.is_ending, group.stoppable()) == (False, ["b"])
    group.ended(ContainerExit("b", 0))
    assert (group.is_ending, group.is_over, group.stoppable()) == (True, False, ["pause"])
    group.ended(ContainerExit("pause", 143))
    assert group.is_over


def test_a_container_that_could_not_be_started_never_ran() -> None:
    group = ContainerGroup([ContainerSpec("a", essential=False), ContainerSpec("b", depends_on=(wait("a", "START"),))])
    group.ended(ContainerExit("a", 127, reason="no such program"))
    assert (group.ever_ran, group.is_ending, group.is_over) == (False, True, True)
    assert [one.exit_code for one in group.exits()] == [127, None]


def test_a_task_that_is_stopped_starts_nothing_more() -> None:
    group = ContainerGroup(
        [ContainerSpec("a", essential=False), ContainerSpec("b", depends_on=(wait("a", "COMPLETE"),))]
    )
    group.started("a")
    group.cancel_pending()
    group.ended(ContainerExit("a", 0))
    assert group.is_over
    assert group.exits()[1].reason == ENDED_BEFORE_START


def test_a_grace_of_its_own() -> None:
    assert grace_of(ContainerSpec("a"), 30) == 30
    assert grace_of(ContainerSpec("a", stop_timeout_seconds=90), 30) == 90
    assert grace_of(ContainerSpec("a", stop_timeout_seconds=90), 0) == 0


def wait(container: str, condition: str) -> ContainerDependency:
    return ContainerDependency(container, condition)
