"""When waiting jobs will start: the live state goes on under simulated time, again and again with other run times.

Nothing is submitted meanwhile, and no instance is lost: later jobs that go first, and losses, are not foreseen. A run
time that is not known is taken as endless: a start that is found all the same does not depend on it."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from batchyard.analysis.forecasts import BASES, HISTORY, UNKNOWN, Forecast
from batchyard.analysis.quantiles import quantile
from batchyard.core.capacity.catalogue import Catalogue
from batchyard.core.capacity.prices import Prices
from batchyard.core.machine import Machine
from batchyard.core.model import names
from batchyard.core.model.changes import Snapshot
from batchyard.core.model.commands import SetHost
from batchyard.core.model.effects import (
    Effect,
    LaunchInstance,
    LaunchTask,
    RecoverTask,
    StopTask,
    TerminateInstance,
)
from batchyard.core.model.names import Account
from batchyard.core.model.reports import ContainerExit, Exited, InstanceGone, InstanceReady, Started
from batchyard.core.state.world import Limits
from batchyard.planning.run_times import NEVER_MS, RunTimes

MAX_DRAWS = 200
MIN_DRAWS = 20  # for a range of 80 %; with less time than that for one draw, the answer rests on fewer
HORIZON_MS = 30 * 24 * 3_600_000  # a start beyond a month is no forecast
LOW, MIDDLE, HIGH = 10, 50, 90  # percentiles: the range holds 80 %


class State(Struct, frozen=True):
    """The live state. `hosts`: the machines and engines there are."""

    account: Account
    snapshot: Snapshot
    hosts: tuple[SetHost, ...]
    catalogue: Catalogue
    prices: Prices
    now_ms: int
    boot_ms: int
    limits: Limits = Limits()


def forecast(
    state: State,
    run_times: RunTimes,
    job_ids: Sequence[str],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[Forecast]:
    """Forecasts the starts of jobs: of an array that of its first child to start. Plays futures for about `seconds`."""
    began = clock()
    starts: dict[str, list[int]] = {job_id: [] for job_id in job_ids}
    bases: dict[str, str] = dict.fromkeys(job_ids, HISTORY)
    draws = 0
    while draws < MAX_DRAWS and (draws == 0 or clock() - began < seconds):
        future = _Future(state, run_times, random.Random(draws), frozenset(job_ids))
        future.play()
        for job_id, (at_ms, basis) in future.starts.items():
            starts[job_id].append(at_ms)
            bases[job_id] = max(bases[job_id], basis, key=BASES.index)
        draws += 1
    return [_forecast(job_id, sorted(starts[job_id]), bases[job_id], draws) for job_id in job_ids]


def _forecast(job_id: str, starts: list[int], basis: str, draws: int) -> Forecast:
    if len(starts) * 100 < draws * HIGH:  # too many futures in which it does not start
        return Forecast(job_id, UNKNOWN, draws)
    low, middle, high = (quantile(starts, percent) for percent in (LOW, MIDDLE, HIGH))
    return Forecast(job_id, basis, draws, low, middle, high)


class _Future:
    """One future of the live state. `starts`: by job that was asked about, (ms from now, basis)."""

    def __init__(self, state: State, run_times: RunTimes, chance: random.Random, wanted: frozenset[str]) -> None:
        self.starts: dict[str, tuple[int, str]] = {}
        self._state, self._run_times, self._chance, self._wanted = state, run_times, chance, wanted
        self._now_ms = state.now_ms
        self._number = 0
        self._events: list[tuple[int, int, str, Any]] = []  # (at, number, source, report)
        self._ends: dict[tuple[str, int], int] = {}  # when an attempt's node ends
        self._basis = HISTORY  # the weakest that an end so far rests on
        self._specs: dict[int, tuple[str, int]] = {}
        self.machine = Machine(state.account, state.limits, catalogue=state.catalogue, prices=state.prices)
        self.machine.restore(state.snapshot)
        for host in state.hosts:
            self.machine.handle(host, self._now_ms)
        for effect in self.machine.recover():
            self._carry_out(effect)

    def play(self) -> None:
        """Plays until all jobs that were asked about have started, or nothing happens any more."""
        end_ms = self._state.now_ms + HORIZON_MS
        self._finish_batch()
        while len(self.starts) < len(self._wanted):
            due = self.machine.next_deadline()
            at_ms = min(self._events[0][0] if self._events else NEVER_MS, NEVER_MS if due is None else due)
            if at_ms > end_ms:
                return
            self._now_ms = max(self._now_ms, at_ms)
            while self._events and self._events[0][0] <= self._now_ms:
                _, _, source, report = heapq.heappop(self._events)
                if isinstance(report, Exited) and self._ends.pop((report.attempt_id, report.node), None) is None:
                    continue  # it was stopped before
                self.machine.report(source, report, self._now_ms)
            self._finish_batch()

    def _finish_batch(self) -> None:
        while True:
            self.machine.schedule(self._now_ms)
            _, effects = self.machine.take()
            for effect in effects:
                self._carry_out(effect)
            if not any(isinstance(effect, LaunchTask | StopTask) for effect in effects):
                return

    def _add(self, at_ms: int, source: str, report: Any) -> None:
        self._number += 1
        heapq.heappush(self._events, (at_ms, self._number, source, report))

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, LaunchTask):
            self._note_start(effect)
            self._start(effect, self._now_ms, is_reported=False)
        elif isinstance(effect, RecoverTask):
            self._recover(effect)
        elif isinstance(effect, StopTask):
            self._end_now(effect)
        elif isinstance(effect, LaunchInstance):
            at_ms = max(self._now_ms, effect.instance.launched_at_ms + self._state.boot_ms)
            self._add(at_ms, effect.instance.provider, InstanceReady(effect.instance.instance_id))
        elif isinstance(effect, TerminateInstance):
            self._add(self._now_ms, effect.provider, InstanceGone(effect.instance_id))

    def _note_start(self, effect: LaunchTask) -> None:
        job_id = effect.job_id.partition("#")[0]
        for name in (job_id, job_id.partition(":")[0]):
            if name in self._wanted and name not in self.starts:
                self.starts[name] = self._now_ms - self._state.now_ms, self._basis

    def _start(self, effect: LaunchTask, started_ms: int, *, is_reported: bool) -> None:
        """Plans the end of an attempt's node that runs since `started_ms`."""
        at = effect.attempt_node
        if not is_reported:
            self.machine.report(effect.engine, Started(at.attempt_id, started_ms, node=at.node), self._now_ms)
        definition, limit_ms = self._of_spec(effect.spec_key)
        age_ms = max(0, self._now_ms - started_ms)
        drawn = self._run_times.draw(self._chance, definition, effect.job_id, limit_ms, age_ms)
        ends_ms = max(self._now_ms, started_ms + drawn.run_ms)
        if at.node and effect.gang is not None:
            ends_ms = NEVER_MS  # the other nodes are stopped with the main one
        self._ends[at.attempt_id, at.node] = ends_ms
        self._basis = max(self._basis, drawn.basis if drawn.basis != UNKNOWN else HISTORY, key=BASES.index)
        if ends_ms < NEVER_MS:
            exited = Exited(at.attempt_id, started_ms, ends_ms, (ContainerExit(exit_code=0),), node=at.node)
            self._add(ends_ms, effect.engine, exited)

    def _recover(self, effect: RecoverTask) -> None:
        """Lets an attempt go on that was placed when the future began."""
        parsed = names.parse_task_id(effect.attempt_id)
        assert parsed is not None, f"{effect.attempt_id} is no attempt's id"
        attempt = self.machine.world.jobs[parsed[0]].attempt
        assert attempt is not None, f"the attempt {effect.attempt_id} is recovered and not its job's"
        if effect.known_started:
            self._start(effect.launch, attempt.started_at_ms, is_reported=True)
        else:
            self._start(effect.launch, self._now_ms, is_reported=False)

    def _end_now(self, effect: StopTask) -> None:
        at = effect.attempt_node
        if self._ends.pop((at.attempt_id, at.node), None) is None:
            return
        exited = Exited(at.attempt_id, self._now_ms, self._now_ms, (ContainerExit(exit_code=143),), node=at.node)
        self.machine.report(effect.engine, exited, self._now_ms)

    def _of_spec(self, key: int) -> tuple[str, int]:
        """Returns the definition of a submission and its timeout in ms."""
        found = self._specs.get(key)
        if found is None:
            spec = self.machine.world.jobs.specs[key]
            found = self._specs[key] = spec.definition, spec.timeout_seconds * 1000
        return found
