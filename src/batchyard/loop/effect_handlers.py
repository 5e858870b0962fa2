"""A table from an effect's type to the handler that carries it out, and the handlers of engines and capacity.

Effects are carried out after the commit of the batch that caused them, the engines' first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from batchyard.clock import Clock
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.effects import (
    AcknowledgeTask,
    Effect,
    LaunchInstance,
    LaunchTask,
    RecoverTask,
    StopTask,
    TaskEffect,
    TerminateInstance,
)
from batchyard.core.model.reports import AnyReport, NotStarted, Report
from batchyard.engines.base import RECOVERED_SILENT, Capacity, Engine, Launch, Recovery

BuildLaunch = Callable[[LaunchTask], Launch]
EffectHandler = Callable[[Sequence[Effect]], None]


class EffectTable:
    """Effect types and their handlers. Handlers run in the order in which they were added, each with all of its
    effects of a batch, which keep their order."""

    def __init__(self) -> None:
        self._order: list[EffectHandler] = []
        self._numbers: dict[type[Effect], int] = {}  # place of the type's handler in _order

    def add(self, types: Sequence[type[Effect]], handler: EffectHandler) -> None:
        for effect_type in types:
            assert effect_type not in self._numbers, f"{effect_type.__name__} has two handlers"
            self._numbers[effect_type] = len(self._order)
        self._order.append(handler)

    def carry_out(self, effects: Sequence[Effect]) -> None:
        grouped: dict[int, list[Effect]] = {}
        for effect in effects:
            number = self._numbers.get(type(effect))
            assert number is not None, f"nothing carries out {effect!r}"
            grouped.setdefault(number, []).append(effect)
        for number in sorted(grouped):
            self._order[number](grouped[number])


class EngineEffects:
    """Carries out effects about attempts, on the engines that were started. Effects for an engine that was not
    started are dropped: when it is started it is asked about all of its attempts (HostedMachine.recover)."""

    TYPES = (LaunchTask, StopTask, AcknowledgeTask, RecoverTask)

    def __init__(self, build_launch: BuildLaunch, clock: Clock, deliver: Callable[[str, Report], None]) -> None:
        self._build_launch = build_launch
        self._clock = clock
        self._deliver = deliver  # a report in an engine's name is queued like the engine's own
        self._started: dict[str, Engine] = {}
        self._problems: dict[str, Launch] = {}  # by task id: recovered ones that were not to be started

    def begin(self, engines: Mapping[str, Engine], effects: Sequence[TaskEffect]) -> None:
        """Takes over engines that were started. `effects` ask about their attempts; an engine without any gets an
        empty recovery."""
        self._started |= engines
        self.carry_out(effects)
        for name in sorted(engines.keys() - {effect.engine for effect in effects}):
            engines[name].recover([])

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Carries out acknowledgements first, then launches, then stops, so that a stop finds the attempt that it
        stops."""
        launches: dict[str, list[Launch]] = {}
        recoveries: dict[str, list[Recovery]] = {}
        acknowledged: dict[str, list[AttemptNode]] = {}
        stops: list[StopTask] = []
        for effect in effects:
            assert isinstance(effect, TaskEffect), f"{effect!r} is about no attempt"
            if effect.engine not in self._started:
                continue
            if isinstance(effect, LaunchTask):
                self._add_launch(effect, launches)
            elif isinstance(effect, AcknowledgeTask):
                acknowledged.setdefault(effect.engine, []).append(effect.attempt_node)
            elif isinstance(effect, RecoverTask):
                recoveries.setdefault(effect.engine, []).append(self._recovery(effect))
            else:
                assert isinstance(effect, StopTask), f"unknown effect {effect!r}"
                stops.append(effect)
        for name, attempts in acknowledged.items():
            self._started[name].acknowledge(attempts)
        for name, recovered in recoveries.items():
            self._started[name].recover(recovered)
        for name, tasks in launches.items():
            self._started[name].launch(tasks)
        for stop in stops:
            self._problems.pop(stop.attempt_node.task_id, None)  # if it never started, the stop is the reason
            self._started[stop.engine].stop(stop.attempt_node, stop.grace_seconds)

    def _add_launch(self, effect: LaunchTask, launches: dict[str, list[Launch]]) -> None:
        launch = self._build_launch(effect)
        if launch.problem:
            self._deliver(effect.engine, _not_started(launch, self._clock.now_ms()))  # the engine never hears of it
        else:
            launches.setdefault(effect.engine, []).append(launch)

    def _recovery(self, effect: RecoverTask) -> Recovery:
        """Asks about an attempt, also where it can't be started now: if it runs it is left alone. An engine that
        does not know it reports that it never ran; the reason is then why it could not be started."""
        launch = self._build_launch(effect.launch)
        if launch.problem and effect.may_launch:
            self._problems[launch.task_id] = launch
        return Recovery(launch, effect.may_launch and not launch.problem, effect.known_started)

    def with_reason(self, report: AnyReport) -> AnyReport:
        """Returns `report`, with the reason why the attempt could not be started where the engine only reports that
        it was not."""
        if not self._problems or not isinstance(report, Report):
            return report
        launch = self._problems.pop(report.task_id, None)
        if launch is not None and isinstance(report, NotStarted) and report.reason == RECOVERED_SILENT:
            return _not_started(launch, report.at_ms)
        return report


class CapacityEffects:
    """Carries out launches and ends of instances. `capacities`: by the name of the capacity provider."""

    TYPES = (LaunchInstance, TerminateInstance)

    def __init__(self, capacities: Mapping[str, Capacity]) -> None:
        self._capacities = capacities

    def carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, LaunchInstance):
                self._of(effect.instance.provider).launch([effect.instance])
            else:
                assert isinstance(effect, TerminateInstance), f"unknown effect {effect!r}"
                self._of(effect.provider).terminate([effect.instance_id])

    def _of(self, provider: str) -> Capacity:
        assert provider in self._capacities, f"the provider {provider} launches no instances"
        return self._capacities[provider]


def _not_started(launch: Launch, at_ms: int) -> NotStarted:
    return NotStarted(
        launch.attempt_id, at_ms, launch.problem, container=launch.problem_container, node=launch.attempt_node.node
    )
