"""What every engine promises (`batchyard.engines.base`), as one suite over a small harness per engine."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple, Protocol

import pytest

from batchyard.core.model.attempt_node import MAX_NODES, AttemptNode
from batchyard.core.model.records import DEFAULT_CONTAINER, ContainerDependency, TaskSpec
from batchyard.core.model.reports import Exited, Lost, NotStarted, Report, Started
from batchyard.engines.base import RECOVERED_SILENT, Engine, Launch, Recovery, StaleEpochError

# From anywhere: a supervisor looks for its attempts' marker among all processes of the machine, and another worker's
# must not be taken for its own.
_numbers = count(random.SystemRandom().getrandbits(48))
FINAL = (Exited, NotStarted, Lost)


class Part(NamedTuple):
    """One container of several, named by what it does. It prints its name on a line first.

    `does`: `exits` (with `code`), `sleeps` (until SIGTERM ends it with 143), `ignores_term`, or `missing`: its program
    does not exist."""

    name: str
    does: str = "sleeps"
    code: int = 0
    essential: bool = True
    after: tuple[ContainerDependency, ...] = ()
    stop_timeout_seconds: int = 0
    start_timeout_seconds: int = 0
    is_pause: bool = False


def after(container: str, condition: str) -> tuple[ContainerDependency, ...]:
    return (ContainerDependency(container, condition),)


class Harness(Protocol):
    """One world with one engine connected to it. `reports` has what came since the last connection, oldest first."""

    reports: list[Report]
    engine: Engine

    def connect(self, epoch: int) -> Engine:
        """A server starts, beside the one before, which is as good as dead."""

    def until(self, condition: Callable[[], object]) -> None:
        """Lets the world go on until the condition holds; fails after a while."""

    def settle(self) -> None:
        """Lets the world go on until everything that was asked has been dealt with."""

    def exits(self, code: int) -> TaskSpec: ...

    def sleeps(self) -> TaskSpec: ...

    def ends_on_term(self, code: int) -> TaskSpec:
        """Handles SIGTERM and ends with this code."""

    def ignores_term(self) -> TaskSpec: ...

    def missing(self) -> TaskSpec:
        """Its program does not exist."""

    def prints(self) -> TaskSpec:
        """`one` and `three` on standard output, `two` on standard error between them, the last without a newline."""

    def runs(self, task_id: str) -> int:
        """How often it was really started, from a source that is not the engine."""

    def log(self, task_id: str, container: str = DEFAULT_CONTAINER) -> list[tuple[int, str]]:
        """Its lines with their times; none where there is no file."""

    def forget_or_damage(self) -> None:
        """Damages the engine's own records; nothing runs."""


def launch_of(
    task: TaskSpec, attempt_id: str = "", environment: Sequence[tuple[str, str]] = (), node: int = 0
) -> Launch:
    number = next(_numbers)
    return Launch(AttemptNode(attempt_id or f"{number:032x}", node), number, task, tuple(environment))


def final_of(harness: Harness, attempt_id: str, node: int = 0) -> Report | None:
    found = [r for r in harness.reports if (r.attempt_id, r.node) == (attempt_id, node) and isinstance(r, FINAL)]
    return found[-1] if found else None


def is_started(harness: Harness, attempt_id: str, node: int = 0) -> bool:
    return any(isinstance(r, Started) and (r.attempt_id, r.node) == (attempt_id, node) for r in harness.reports)


def run_to_end(harness: Harness, task: TaskSpec) -> Report:
    launch = launch_of(task)
    harness.engine.launch([launch])
    return wait_for_end(harness, launch.attempt_id)


def wait_for_end(harness: Harness, attempt_id: str, node: int = 0) -> Report:
    harness.until(lambda: final_of(harness, attempt_id, node))
    final = final_of(harness, attempt_id, node)
    assert final is not None
    return final


def wait_for_run(harness: Harness, attempt_id: str, node: int = 0) -> None:
    task_id = AttemptNode(attempt_id, node).task_id
    harness.until(lambda: is_started(harness, attempt_id, node) and harness.runs(task_id) == 1)


class Conformance:
    """Inherit, and give a `harness` fixture."""

    # -- Outcomes --

    @pytest.mark.parametrize("code", [0, 1, 42])
    def test_an_exit_code_is_reported_as_it_is(self, harness: Harness, code: int) -> None:
        final = run_to_end(harness, harness.exits(code))
        assert isinstance(final, Exited)
        assert [c.exit_code for c in final.containers] == [code]
        assert final.started_at_ms <= final.stopped_at_ms

    def test_started_comes_before_the_end_and_the_end_comes_once(self, harness: Harness) -> None:
        final = run_to_end(harness, harness.exits(0))
        harness.settle()
        assert [type(r) for r in harness.reports] == [Started, Exited]
        assert isinstance(final, Exited)
        assert harness.reports[0] == Started(final.attempt_id, final.started_at_ms)

    def test_a_missing_program_is_not_started_with_127(self, harness: Harness) -> None:
        final = run_to_end(harness, harness.missing())
        assert isinstance(final, NotStarted)
        assert final.exit_code == 127
        assert final.reason.startswith("CannotStartContainerError: ")
        assert not is_started(harness, final.attempt_id)

    # -- Launching twice --

    def test_a_launch_given_twice_at_once_runs_once(self, harness: Harness) -> None:
        launch = launch_of(harness.exits(3))
        harness.engine.launch([launch, launch])
        harness.engine.launch([launch])
        wait_for_end(harness, launch.attempt_id)
        harness.settle()
        assert harness.runs(launch.attempt_id) == 1

    def test_a_launch_of_what_runs_reports_started_again(self, harness: Harness) -> None:
        launch = launch_of(harness.sleeps())
        harness.engine.launch([launch])
        wait_for_run(harness, launch.attempt_id)
        harness.engine.launch([launch])
        harness.until(lambda: len([r for r in harness.reports if isinstance(r, Started)]) == 2)
        assert harness.reports[0] == harness.reports[1]
        assert harness.runs(launch.attempt_id) == 1

    def test_a_launch_of_what_ended_reports_its_end_again(self, harness: Harness) -> None:
        launch = launch_of(harness.exits(3))
        harness.engine.launch([launch])
        first = wait_for_end(harness, launch.attempt_id)
        harness.reports.clear()
        harness.engine.launch([launch])
        assert wait_for_end(harness, launch.attempt_id) == first
        assert harness.runs(launch.attempt_id) == 1

    def test_an_acknowledged_attempt_is_never_launched_again(self, harness: Harness) -> None:
        launch = launch_of(harness.exits(3))
        harness.engine.launch([launch])
        first = wait_for_end(harness, launch.attempt_id)
        harness.engine.acknowledge([launch.attempt_node])
        harness.settle()
        harness.reports.clear()
        harness.engine.launch([launch])
        assert wait_for_end(harness, launch.attempt_id) == first
        assert harness.runs(launch.attempt_id) == 1

    # -- Stopping --

    def test_a_task_that_handles_sigterm_keeps_its_exit_code(self, harness: Harness) -> None:
        launch = launch_of(harness.ends_on_term(5))
        harness.engine.launch([launch])
        wait_for_run(harness, launch.attempt_id)
        harness.engine.stop(launch.attempt_node, 30)
        final = wait_for_end(harness, launch.attempt_id)
        assert isinstance(final, Exited)
        assert (final.containers[0].exit_code, final.containers[0].signal) == (5, 0)

    def test_sigterm_ends_a_task_without_a_handler_with_143(self, harness: Harness) -> None:
        launch = launch_of(harness.sleeps())
        harness.engine.launch([launch])
        wait_for_run(harness, launch.attempt_id)
        harness.engine.stop(launch.attempt_node, 30)
        final = wait_for_end(harness, launch.attempt_id)
        assert isinstance(final, Exited)
        assert (final.containers[0].exit_code, final.containers[0].signal) == (143, 15)

    def test_a_task_that_ignores_sigterm_is_killed_after_the_grace(self, harness: Harness) -> None:
        launch = launch_of(harness.ignores_term())
        harness.engine.launch([launch])
        wait_for_run(harness, launch.attempt_id)
        harness.engine.stop(launch.attempt_node, 0.3)
        final = wait_for_end(harness, launch.attempt_id)
        assert isinstance(final, Exited)
        assert (final.containers[0].exit_code, final.containers[0].signal) == (137, 9)

    def test_a_later_stop_can_shorten_the_grace(self, harness: Harness) -> None:
        launch = launch_of(harness.ignores_term())
        harness.engine.launch([launch])
        wait_for_run(harness, launch.attempt_id)
        harness.engine.stop(launch.attempt_node, 3600)
        harness.engine.stop(launch.attempt_node, 0)
        final = wait_for_end(harness, launch.attempt_id)
        assert isinstance(final, Exited)
        assert final.containers[0].exit_code == 137

    def test_a_stop_that_overtakes_the_start_prevents_it(self, harness: Harness) -> None:
        launch = launch_of(harness.exits(0))
        harness.engine.launch([launch])
        harness.engine.stop(launch.attempt_node, 30)
        final = wait_for_end(harness, launch.attempt_id)
        assert isinstance(final, NotStarted)
        assert final.exit_code is None
        assert harness.runs(launch.attempt_id) == 0

    def test_a_stop_of_the_unknown_or_ended_does_nothing(self, harness: Harness) -> None:
        final = run_to_end(harness, harness.exits(0))
        harness.engine.stop(AttemptNode("f" * 32), 0)
        harness.engine.stop(AttemptNode(final.attempt_id), 0)
        harness.settle()
        assert len(harness.reports) == 2

    # -- Nodes --

    def test_nodes_of_one_attempt_run_and_end_each_for_itself(self, harness: Harness) -> None:
        main = launch_of(harness.ends_on_term(5))
        child = launch_of(harness.exits(3), main.attempt_id, node=1)
        last = launch_of(harness.sleeps(), main.attempt_id, node=MAX_NODES - 1)
        harness.engine.launch([main, child, last])
        assert codes(wait_for_end(harness, main.attempt_id, 1)) == {"default": 3}
        wait_for_run(harness, main.attempt_id)
        wait_for_run(harness, main.attempt_id, MAX_NODES - 1)
        harness.engine.stop(last.attempt_node, 30)
        assert codes(wait_for_end(harness, main.attempt_id, MAX_NODES - 1)) == {"default": 143}
        harness.settle()
        assert final_of(harness, main.attempt_id) is None, "the stop of a node is no other's"
        harness.engine.stop(main.attempt_node, 30)
        assert codes(wait_for_end(harness, main.attempt_id)) == {"default": 5}
        assert [harness.runs(one.task_id) for one in (main, child, last)] == [1, 1, 1]

    def test_nodes_of_one_attempt_have_logs_of_their_own(self, harness: Harness) -> None:
        main, child = launch_of(harness.exits(0)), harness.prints()
        node = launch_of(child, main.attempt_id, node=2)
        harness.engine.launch([main, node])
        wait_for_end(harness, main.attempt_id)
        wait_for_end(harness, main.attempt_id, 2)
        assert [text for _, text in harness.log(node.task_id)] == ["one", "two", "three"]

    def test_an_acknowledgement_is_of_one_node(self, harness: Harness) -> None:
        main = launch_of(harness.exits(1))
        child = launch_of(harness.exits(2), main.attempt_id, node=1)
        harness.engine.launch([main, child])
        first, other = wait_for_end(harness, main.attempt_id), wait_for_end(harness, main.attempt_id, 1)
        harness.engine.acknowledge([child.attempt_node])
        harness.settle()
        harness.connect(2)
        harness.engine.recover([Recovery(main, may_launch=False, known_started=True)])
        assert wait_for_end(harness, main.attempt_id) == first
        harness.settle()
        assert other not in harness.reports

    def test_a_recovery_is_of_one_node(self, harness: Harness) -> None:
        main = launch_of(harness.ends_on_term(7))
        child = launch_of(harness.exits(2), main.attempt_id, node=1)
        harness.engine.launch([main])
        wait_for_run(harness, main.attempt_id)
        harness.connect(2)
        harness.engine.recover(
            [
                Recovery(main, may_launch=False, known_started=True),
                Recovery(child, may_launch=True, known_started=False),
            ]
        )
        assert codes(wait_for_end(harness, main.attempt_id, 1)) == {"default": 2}
        assert final_of(harness, main.attempt_id) is None
        harness.engine.stop(main.attempt_node, 30)
        assert codes(wait_for_end(harness, main.attempt_id)) == {"default": 7}

    # -- Logs --

    def test_lines_land_in_order_with_their_times(self, harness: Harness) -> None:
        final = run_to_end(harness, harness.prints())
        assert isinstance(final, Exited)
        lines = harness.log(final.attempt_id)
        assert [text for _, text in lines] == ["one", "two", "three"]
        assert all(final.started_at_ms <= at_ms <= final.stopped_at_ms + 1000 for at_ms, _ in lines)

    # -- Servers come and go --

    def test_a_new_server_hears_of_what_runs_and_of_its_end(self, harness: Harness) -> None:
        launch = launch_of(harness.ends_on_term(7))
        harness.engine.launch([launch])
        wait_for_run(harness, launch.attempt_id)
        harness.connect(2)
        harness.engine.recover([Recovery(launch, may_launch=False, known_started=True)])
        harness.until(lambda: is_started(harness, launch.attempt_id))
        harness.engine.stop(launch.attempt_node, 30)
        final = wait_for_end(harness, launch.attempt_id)
        assert isinstance(final, Exited)
        assert final.containers[0].exit_code == 7
        assert harness.runs(launch.attempt_id) == 1

    def test_an_unacknowledged_end_is_repeated_to_every_server(self, harness: Harness) -> None:
        first = run_to_end(harness, harness.exits(9))
        for epoch in (2, 3):
            harness.connect(epoch)
            assert wait_for_end(harness, first.attempt_id) == first

    def test_an_acknowledged_end_is_not_repeated(self, harness: Harness) -> None:
        first = run_to_end(harness, harness.exits(9))
        harness.engine.acknowledge([AttemptNode(first.attempt_id)] * 2)  # as two reports of one end are
        harness.settle()
        harness.connect(2)
        harness.engine.recover([])
        harness.settle()
        assert harness.reports == []

    def test_a_recovery_launches_what_was_never_heard_of(self, harness: Harness) -> None:
        launch = launch_of(harness.exits(4))
        harness.engine.recover([Recovery(launch, may_launch=True, known_started=False)])
        final = wait_for_end(harness, launch.attempt_id)
        assert isinstance(final, Exited)
        assert harness.runs(launch.attempt_id) == 1

    def test_a_recovery_that_may_not_launch_reports_not_started(self, harness: Harness) -> None:
        launch = launch_of(harness.exits(4))
        harness.engine.recover([Recovery(launch, may_launch=False, known_started=False)])
        final = wait_for_end(harness, launch.attempt_id)
        assert isinstance(final, NotStarted)
        assert final.reason == RECOVERED_SILENT
        harness.engine.launch([launch])
        harness.settle()
        assert harness.runs(launch.attempt_id) == 0

    def test_a_recovery_of_a_started_one_that_nobody_knows_is_lost(self, harness: Harness) -> None:
        launch = launch_of(harness.exits(4))
        harness.engine.recover([Recovery(launch, may_launch=False, known_started=True)])
        assert isinstance(wait_for_end(harness, launch.attempt_id), Lost)
        assert harness.runs(launch.attempt_id) == 0

    def test_a_recovery_of_the_known_gives_its_last_report(self, harness: Harness) -> None:
        ended = run_to_end(harness, harness.exits(2))
        running = launch_of(harness.sleeps())
        harness.engine.launch([running])
        wait_for_run(harness, running.attempt_id)
        harness.connect(2)
        again = launch_of(harness.exits(2), ended.attempt_id)
        harness.reports.clear()
        harness.engine.recover(
            [
                Recovery(again, may_launch=True, known_started=False),
                Recovery(running, may_launch=True, known_started=False),
            ]
        )
        assert wait_for_end(harness, ended.attempt_id) == ended
        harness.until(lambda: is_started(harness, running.attempt_id))
        assert (harness.runs(ended.attempt_id), harness.runs(running.attempt_id)) == (1, 1)

    def test_damaged_records_make_the_silent_lost_never_launched(self, harness: Harness) -> None:
        harness.forget_or_damage()
        launch = launch_of(harness.exits(4))
        harness.engine.recover([Recovery(launch, may_launch=True, known_started=False)])
        assert isinstance(wait_for_end(harness, launch.attempt_id), Lost)
        harness.settle()
        assert harness.runs(launch.attempt_id) == 0
        assert isinstance(run_to_end(harness, harness.exits(0)), Exited), "new attempts are not in doubt"

    def test_a_lower_epoch_is_refused(self, harness: Harness) -> None:
        harness.connect(5)
        served = harness.engine
        with pytest.raises(StaleEpochError):
            harness.connect(4)
        harness.engine = served
        final = run_to_end(harness, harness.exits(0))
        assert isinstance(final, Exited)


def codes(final: Report) -> dict[str, int | None]:
    assert isinstance(final, Exited), final
    return {one.name: one.exit_code for one in final.containers}


class SeveralHarness(Harness, Protocol):
    """The promises of an engine whose abilities have multiple_containers."""

    def several(self, *parts: Part) -> TaskSpec: ...


class SeveralContainers:
    """Tasks of several containers. Inherit beside Conformance, for engines that can run them."""

    def test_each_container_has_its_exit_code_and_its_log(self, harness: SeveralHarness) -> None:
        task = harness.several(
            Part("main", "exits", 3, after=after("side", "COMPLETE")), Part("side", "exits", 0, False)
        )
        final = run_to_end(harness, task)
        harness.settle()
        assert [type(r) for r in harness.reports] == [Started, Exited]
        assert isinstance(final, Exited)
        assert harness.reports[0] == Started(final.attempt_id, final.started_at_ms)
        assert list(codes(final).items()) == [("main", 3), ("side", 0)], "in the order of the definition"
        main, side = final.containers
        assert 0 < side.stopped_at_ms <= main.stopped_at_ms <= final.stopped_at_ms
        for name in ("main", "side"):
            assert [text for _, text in harness.log(final.attempt_id, name)] == [name]
        assert harness.log(final.attempt_id) == []

    @pytest.mark.parametrize(("condition", "code"), [("SUCCESS", 0), ("COMPLETE", 0), ("COMPLETE", 4)])
    def test_a_container_waits_for_another_to_end(self, harness: SeveralHarness, condition: str, code: int) -> None:
        task = harness.several(
            Part("main", "exits", 0, after=after("init", condition)), Part("init", "exits", code, essential=False)
        )
        final = run_to_end(harness, task)
        assert codes(final) == {"main": 0, "init": code}
        first, then = (harness.log(final.attempt_id, name)[0][0] for name in ("init", "main"))
        assert first <= then
        assert isinstance(final, Exited)
        assert first <= final.started_at_ms, "the wait is part of the start"

    def test_a_container_is_not_started_when_the_one_before_it_failed(self, harness: SeveralHarness) -> None:
        task = harness.several(
            Part("main", "exits", 0, after=after("second", "START")),
            Part("second", after=after("init", "SUCCESS"), essential=False),
            Part("init", "exits", 4, essential=False),
        )
        final = run_to_end(harness, task)
        assert codes(final) == {"main": None, "second": None, "init": 4}
        assert isinstance(final, Exited)
        assert "depends on init (SUCCESS), which ended with exit code 4" in final.containers[1].reason
        assert "depends on second (START), which never ran" in final.containers[0].reason
        assert [harness.log(final.attempt_id, name) for name in ("main", "second")] == [[], []]
        assert is_started(harness, final.attempt_id)

    def test_a_container_waits_for_another_to_start(self, harness: SeveralHarness) -> None:
        launch = launch_of(harness.several(Part("main", after=after("side", "START")), Part("side", essential=False)))
        harness.engine.launch([launch])
        wait_for_run(harness, launch.attempt_id)
        harness.until(lambda: harness.log(launch.attempt_id, "main") and harness.log(launch.attempt_id, "side"))
        harness.engine.stop(launch.attempt_node, 30)
        assert codes(wait_for_end(harness, launch.attempt_id)) == {"main": 143, "side": 143}

    def test_an_essential_container_takes_the_others_along(self, harness: SeveralHarness) -> None:
        task = harness.several(
            Part("side", essential=False),
            Part("main", "exits", 7, after=after("side", "START")),
            Part("other", after=after("side", "START")),
            Part("late", after=after("other", "COMPLETE"), essential=False),
        )
        final = run_to_end(harness, task)
        assert codes(final) == {"side": 143, "main": 7, "other": 143, "late": None}
        assert isinstance(final, Exited)
        stopped = {one.name: one.stopped_at_ms for one in final.containers}
        assert stopped["main"] <= min(stopped["side"], stopped["other"])
        assert (stopped["late"], harness.log(final.attempt_id, "late")) == (0, [])
        assert final.containers[3].reason

    def test_a_container_that_is_not_essential_ends_alone(self, harness: SeveralHarness) -> None:
        launch = launch_of(harness.several(Part("main"), Part("side", "exits", 1, essential=False)))
        harness.engine.launch([launch])
        wait_for_run(harness, launch.attempt_id)
        harness.until(lambda: harness.log(launch.attempt_id, "side"))
        harness.settle()
        assert final_of(harness, launch.attempt_id) is None
        harness.engine.stop(launch.attempt_node, 30)
        assert codes(wait_for_end(harness, launch.attempt_id)) == {"main": 143, "side": 1}

    def test_a_pod_ends_when_all_its_containers_have_and_its_pause_container_last(
        self, harness: SeveralHarness
    ) -> None:
        task = harness.several(
            Part("first", "exits", 3, essential=False, after=after("pause", "START")),
            Part("then", "exits", 0, essential=False, after=after("first", "COMPLETE")),
            Part("pause", essential=False, is_pause=True),
        )
        final = run_to_end(harness, task)
        assert codes(final) == {"first": 3, "then": 0, "pause": 143}
        assert isinstance(final, Exited)
        first, then, pause = final.containers
        assert first.stopped_at_ms <= then.stopped_at_ms <= pause.stopped_at_ms

    def test_a_pause_container_is_stopped_after_the_others(self, harness: SeveralHarness) -> None:
        stubborn = Part("main", "ignores_term", essential=False, after=after("pause", "START"), stop_timeout_seconds=1)
        launch = launch_of(harness.several(stubborn, Part("pause", essential=False, is_pause=True)))
        harness.engine.launch([launch])
        wait_for_run(harness, launch.attempt_id)
        harness.until(lambda: harness.log(launch.attempt_id, "main") and harness.log(launch.attempt_id, "pause"))
        harness.engine.stop(launch.attempt_node, 30)
        final = wait_for_end(harness, launch.attempt_id)
        assert codes(final) == {"main": 137, "pause": 143}
        assert isinstance(final, Exited)
        main, pause = final.containers
        assert main.stopped_at_ms <= pause.stopped_at_ms

    def test_a_container_has_its_own_grace_unless_there_is_none(self, harness: SeveralHarness) -> None:
        patient = Part("patient", "ignores_term", essential=False, stop_timeout_seconds=3600)
        hasty = Part("hasty", "ignores_term", stop_timeout_seconds=1)
        launch = launch_of(harness.several(hasty, patient))
        harness.engine.launch([launch])
        wait_for_run(harness, launch.attempt_id)
        harness.until(lambda: harness.log(launch.attempt_id, "hasty") and harness.log(launch.attempt_id, "patient"))
        harness.engine.stop(launch.attempt_node, 3000)
        harness.settle()
        assert final_of(harness, launch.attempt_id) is None
        harness.engine.stop(launch.attempt_node, 0)
        final = wait_for_end(harness, launch.attempt_id)
        assert isinstance(final, Exited)
        assert [(one.exit_code, one.signal) for one in final.containers] == [(137, 9), (137, 9)]

    def test_a_short_grace_of_its_own_ends_a_container_sooner(self, harness: SeveralHarness) -> None:
        launch = launch_of(harness.several(Part("main", "ignores_term", stop_timeout_seconds=1), Part("side")))
        harness.engine.launch([launch])
        wait_for_run(harness, launch.attempt_id)
        harness.until(lambda: harness.log(launch.attempt_id, "main"))
        harness.engine.stop(launch.attempt_node, 3000)
        assert codes(wait_for_end(harness, launch.attempt_id)) == {"main": 137, "side": 143}

    def test_who_waits_too_long_for_another_gives_up(self, harness: SeveralHarness) -> None:
        task = harness.several(
            Part("main", "exits", 0, after=after("init", "SUCCESS")),
            Part("init", essential=False, start_timeout_seconds=1),
        )
        final = run_to_end(harness, task)
        assert codes(final) == {"main": None, "init": 143}
        assert isinstance(final, Exited)
        assert "did not end within its startTimeout of 1 s" in final.containers[0].reason

    def test_a_stop_during_the_waits_ends_what_runs_and_starts_nothing(self, harness: SeveralHarness) -> None:
        task = harness.several(Part("main", "exits", after=after("init", "SUCCESS")), Part("init", essential=False))
        launch = launch_of(task)
        harness.engine.launch([launch])
        harness.until(lambda: harness.log(launch.attempt_id, "init"))
        assert not is_started(harness, launch.attempt_id)
        harness.engine.stop(launch.attempt_node, 30)
        assert codes(wait_for_end(harness, launch.attempt_id)) == {"main": None, "init": 143}
        assert harness.log(launch.attempt_id, "main") == []

    def test_a_missing_program_of_one_ends_the_task(self, harness: SeveralHarness) -> None:
        task = harness.several(Part("main", "missing", after=after("side", "START")), Part("side", essential=False))
        final = run_to_end(harness, task)
        assert codes(final) == {"main": 127, "side": 143}
        assert isinstance(final, Exited)
        assert final.containers[0].reason.startswith("CannotStartContainerError: ")

    def test_a_task_none_of_whose_containers_was_started_did_not_start(self, harness: SeveralHarness) -> None:
        task = harness.several(Part("main", after=after("side", "START")), Part("side", "missing", essential=False))
        final = run_to_end(harness, task)
        assert isinstance(final, NotStarted)
        assert (final.container, final.exit_code) == ("side", 127)
        assert final.reason.startswith("CannotStartContainerError: ")
        assert not is_started(harness, final.attempt_id)

    def test_a_launch_given_twice_runs_several_once(self, harness: SeveralHarness) -> None:
        launch = launch_of(harness.several(Part("main", "exits", 3, after=after("side", "START")), Part("side")))
        harness.engine.launch([launch, launch])
        first = wait_for_end(harness, launch.attempt_id)
        harness.engine.launch([launch])
        harness.until(lambda: len([r for r in harness.reports if isinstance(r, Exited)]) == 2)
        assert final_of(harness, launch.attempt_id) == first
        assert [text for _, text in harness.log(launch.attempt_id, "main")] == ["main"]

    def test_a_new_server_goes_on_with_several(self, harness: SeveralHarness) -> None:
        """Its predecessor left one container running and another waiting for its end."""
        task = harness.several(Part("main", "exits", 6, after=after("init", "COMPLETE")), Part("init", essential=False))
        launch = launch_of(task)
        harness.engine.launch([launch])
        harness.until(lambda: harness.log(launch.attempt_id, "init"))
        harness.connect(2)
        harness.engine.recover([Recovery(launch, may_launch=True, known_started=False)])
        harness.settle()
        assert final_of(harness, launch.attempt_id) is None
        harness.engine.stop(launch.attempt_node, 30)
        assert codes(wait_for_end(harness, launch.attempt_id)) == {"main": None, "init": 143}
        assert [text for _, text in harness.log(launch.attempt_id, "init")] == ["init"]
