"""The fake engine keeps every promise, and its faults are the ones that were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import DEFAULT_CONTAINER, ContainerSpec, TaskSpec
from batchyard.core.model.reports import ContainerExit, Exited, Lost, NotStarted, Report, Started
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Engine, Launch, log_path
from batchyard.engines.fake import Behaviour, Delivery, FakeEngine, FakeHost, immediately
from tests.engines.conformance import Conformance, Part, SeveralContainers, launch_of, run_to_end, wait_for_end
from tests.engines.gpu_conformance import GpuConformance

STEP_MS = 10
PATIENCE_MS = 10_000_000
SHOW_GPUS = ("show gpus",)


class FakeHarness:
    def __init__(self, logs_directory: Path, delivery: Delivery = immediately) -> None:
        self._logs_directory = logs_directory
        self._behaviours: dict[tuple[str, ...], Behaviour] = {}
        self.host = FakeHost(self._plan, delivery, logs_directory)
        self.reports: list[Report] = []
        self.engine: Engine = self.connect(1)

    def _plan(self, launch: Launch) -> Behaviour:
        if launch.task.command == SHOW_GPUS:
            names = ",".join(gpu.name for gpu in launch.assigned_gpus)
            return Behaviour(runs_ms=None, output=((0, f"{names}\n"),))
        if not launch.task.containers:
            return self._behaviours[launch.task.command]
        return Behaviour(containers={one.name: self._behaviours[one.command] for one in launch.task.containers})

    def connect(self, epoch: int) -> Engine:
        engine, reports = FakeEngine(self.host), list[Report]()
        asyncio.run(engine.start(epoch, reports.extend))
        self.engine, self.reports = engine, reports
        return engine

    def until(self, condition: Callable[[], object]) -> None:
        end_ms = self.host.now_ms + PATIENCE_MS
        while not condition():
            assert self.host.now_ms < end_ms, f"never came true; seen: {self.reports}"
            self.host.advance(self.host.now_ms + STEP_MS)

    def settle(self) -> None:
        self.host.advance(self.host.now_ms + STEP_MS)

    def task(self, name: str, behaviour: Behaviour) -> TaskSpec:
        self._behaviours[(name,)] = behaviour
        return TaskSpec(command=(name,), environment=(), resources=Resources(1000, 100))

    def exits(self, code: int) -> TaskSpec:
        return self.task(f"exit {code}", Behaviour(runs_ms=5, exit=ContainerExit(exit_code=code)))

    def sleeps(self) -> TaskSpec:
        return self.task("sleep", Behaviour(runs_ms=None))

    def shows_gpus(self) -> TaskSpec:
        return TaskSpec(command=SHOW_GPUS, environment=(), resources=Resources(1000, 100))

    def ends_on_term(self, code: int) -> TaskSpec:
        return self.task(f"term {code}", Behaviour(runs_ms=None, stop_exit_code=code))

    def ignores_term(self) -> TaskSpec:
        return self.task("stubborn", Behaviour(runs_ms=None, stop_takes_ms=None))

    def missing(self) -> TaskSpec:
        return self.task("missing", Behaviour(refusal="CannotStartContainerError: no such", refusal_exit_code=127))

    def prints(self) -> TaskSpec:
        return self.task("print", Behaviour(runs_ms=5, output=((1, "one\n"), (2, "two\n"), (3, "three"))))

    def runs(self, attempt_id: str) -> int:
        return self.host.runs.get(attempt_id, 0)

    def several(self, *parts: Part) -> TaskSpec:
        behaviours = {
            "exits": Behaviour(runs_ms=5),
            "sleeps": Behaviour(runs_ms=None),
            "ignores_term": Behaviour(runs_ms=None, stop_takes_ms=None),
            "missing": Behaviour(refusal="CannotStartContainerError: no such", refusal_exit_code=127),
        }
        containers = []
        for part in parts:
            command = (part.name, part.does, str(part.code))
            self._behaviours[command] = replace(
                behaviours[part.does],
                exit=ContainerExit(exit_code=part.code),
                output=((0, f"{part.name}\n"),),
            )
            containers.append(
                ContainerSpec(
                    part.name,
                    command,
                    essential=part.essential,
                    depends_on=part.after,
                    stop_timeout_seconds=part.stop_timeout_seconds,
                    start_timeout_seconds=part.start_timeout_seconds,
                    is_pause=part.is_pause,
                )
            )
        return TaskSpec((), (), Resources(1000, 100), containers=tuple(containers))

    def log(self, attempt_id: str, container: str = DEFAULT_CONTAINER) -> list[tuple[int, str]]:
        path = log_path(self._logs_directory, attempt_id, container)
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(at), text) for at, text in (line.split("\t", 1) for line in lines)]

    def forget_or_damage(self) -> None:
        self.host.damage()


@pytest.fixture
def harness(tmp_path: Path) -> FakeHarness:
    return FakeHarness(tmp_path)


class TestFake(Conformance, SeveralContainers, GpuConformance):
    pass


def test_nothing_happens_before_time_moves(harness: FakeHarness) -> None:
    harness.engine.launch([launch_of(harness.exits(0))])
    assert harness.reports == []
    assert harness.host.next_event_ms() == harness.host.now_ms


def test_a_slow_start_is_slow(harness: FakeHarness) -> None:
    launch = launch_of(harness.task("slow", Behaviour(starts_after_ms=5000)))
    harness.engine.launch([launch])
    harness.host.advance(4999)
    assert harness.reports == []
    harness.host.advance(5000)
    assert harness.reports[0] == Started(launch.attempt_id, 5000)


def test_a_lost_attempt_is_lost(harness: FakeHarness) -> None:
    final = run_to_end(harness, harness.task("lost", Behaviour(runs_ms=None, lost_after_ms=30)))
    assert isinstance(final, Lost)
    assert harness.host.alive() == []


def test_the_courier_duplicates_delays_and_drops(tmp_path: Path) -> None:
    def delivery(report: Report) -> Sequence[int]:
        return (700,) if isinstance(report, Started) else (0, 300)

    harness = FakeHarness(tmp_path, delivery)
    harness.engine.launch([launch_of(harness.exits(0))])
    harness.host.advance(1000)
    assert [type(report) for report in harness.reports] == [Exited, Exited, Started]
    dropping = FakeHarness(tmp_path, lambda report: ())
    dropping.engine.launch([launch_of(dropping.exits(0))])
    dropping.host.advance(1000)
    assert dropping.reports == []


def test_a_server_that_was_replaced_is_not_obeyed(harness: FakeHarness) -> None:
    stale = harness.engine
    harness.connect(2)
    launch = launch_of(harness.exits(0))
    stale.launch([launch])
    harness.settle()
    assert (harness.runs(launch.attempt_id), harness.host.refused_commands) == (0, 1)


def test_attempts_live_on_without_a_server(harness: FakeHarness) -> None:
    launch = launch_of(harness.exits(0))
    harness.engine.launch([launch])
    asyncio.run(harness.engine.close(kill=False))
    harness.settle()
    assert harness.reports == []
    harness.connect(2)
    assert isinstance(wait_for_end(harness, launch.attempt_id), Exited)


def test_the_same_commands_give_the_same_reports(tmp_path: Path) -> None:
    def story() -> list[Report]:
        harness = FakeHarness(tmp_path)
        tasks = [harness.exits(0), harness.sleeps(), harness.missing(), harness.exits(1)]
        launches = [Launch(AttemptNode(f"{n:032x}"), n, task, ()) for n, task in enumerate(tasks)]
        harness.engine.launch(launches)
        harness.host.advance(3)
        harness.engine.stop(launches[1].attempt_node, 1)
        harness.host.advance(100)
        return harness.reports

    first = story()
    assert first == story()
    assert {type(report) for report in first} == {Started, Exited, NotStarted}
