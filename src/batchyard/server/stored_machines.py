"""Loads a machine from the store, restores it, and checks its invariants."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

from batchyard.alarms.machine import AlarmsMachine
from batchyard.api.integrations import argument_faults
from batchyard.core.machine import Machine
from batchyard.core.model.effects import RecoverTask
from batchyard.core.model.names import Account
from batchyard.core.model.reports import Started
from batchyard.core.questions.gauges import JobLookup
from batchyard.core.state.world import Limits
from batchyard.deliveries.machine import DeliveryMachine
from batchyard.events.api_destinations import ApiDestinationsMachine
from batchyard.events.machine import EventsMachine
from batchyard.iam.machine import IamMachine
from batchyard.job_metrics.execution_metrics import ExecutionMetricsMachine
from batchyard.job_metrics.machine import JobMetricsMachine
from batchyard.loop.fact_delivery import FactDelivery
from batchyard.loop.hosted_machine import HostedMachine
from batchyard.schedules.machine import SchedulesMachine
from batchyard.server.admin.retention import kept_ms
from batchyard.server.parts import Parts
from batchyard.server.settings.catalogue_file import load_catalogue
from batchyard.server.settings.config import Settings
from batchyard.server.stored_facts import StoredFacts
from batchyard.store.load import misfit
from batchyard.store.writer import Writer
from batchyard.timers.machine import TimerMachine
from batchyard.topics.machine import TopicsMachine
from batchyard.workflows.machine import WorkflowsMachine
from batchyard.workflows.registry import Registry


class Stored(NamedTuple):
    """The machines with which a server continues, and what else was loaded."""

    machine: Machine
    timers: TimerMachine
    events: EventsMachine
    schedules: SchedulesMachine
    topics: TopicsMachine
    deliveries: DeliveryMachine
    api_destinations: ApiDestinationsMachine
    iam: IamMachine
    job_metrics: JobMetricsMachine
    alarms: AlarmsMachine
    workflows: WorkflowsMachine
    execution_metrics: ExecutionMetricsMachine
    facts: StoredFacts
    delivery: FactDelivery
    is_new: bool  # nothing was ever committed

    @property
    def machines(self) -> tuple[HostedMachine, ...]:
        """Returns those that the loop hosts, in the order in which they run."""
        of_events = (self.events, self.schedules, self.topics, self.deliveries, self.api_destinations)
        of_people = (self.iam, self.job_metrics, self.alarms, self.workflows, self.execution_metrics)
        return (self.machine, self.timers, *of_events, *of_people)


def load_machines(parts: Parts, wall_ms: int) -> Stored:
    """Returns everything as it was committed last. Moves the clock to the store's last time where it is behind it.
    Raises StoreError: the database is damaged."""
    settings, writer, clock = parts.settings, parts.writer, parts.clock
    snapshot = writer.load(wall_ms)
    misfit_found = misfit(snapshot)
    if misfit_found:
        raise writer.damaged(misfit_found)
    clock.catch_up(snapshot.last_time_ms)
    account = Account(settings.account_id, settings.region)
    machine = Machine(account, limits_of(settings), load_catalogue(), parts.prices)
    timers, events, topics = TimerMachine(), EventsMachine(account), TopicsMachine()
    iam, api_destinations = IamMachine(account), ApiDestinationsMachine()
    job_metrics = JobMetricsMachine(JobLookup(machine.world, parts.prices))
    execution_metrics = ExecutionMetricsMachine()
    alarms = AlarmsMachine(account, topics.has_topic)
    registry = Registry(account)
    workflows = WorkflowsMachine(account, registry, argument_faults)
    schedules, deliveries = SchedulesMachine(account, ZoneInfo), DeliveryMachine()
    of_events = (events, schedules, topics, deliveries, api_destinations)
    of_people = (iam, job_metrics, alarms, workflows, execution_metrics)
    with blames_the_store(writer):
        machine.restore(snapshot)
        for one in (timers, *of_events, iam, job_metrics, alarms, execution_metrics, registry):
            one.restore(snapshot.documents)
        workflows.restore(snapshot)
        deliveries.restore_deliveries(snapshot.deliveries)
    facts = StoredFacts(parts.store)
    delivery = FactDelivery(facts, snapshot.cursors, snapshot.fact_sequence)
    if writer.is_restored:
        _settle_restored(machine, delivery, writer, clock.now_ms())
    is_new = snapshot.last_time_ms == 0
    return Stored(machine, timers, *of_events, *of_people, facts, delivery, is_new)


def limits_of(settings: Settings) -> Limits:
    """Returns the limits of the machine, as the settings have them."""
    return Limits(
        stop_grace_seconds=settings.stop_grace_seconds,
        max_array_size=settings.max_array_size,
        max_overrides_characters=settings.max_overrides_characters,
        scale_down_seconds=settings.scale_down_seconds,
        blocked_after_seconds=settings.blocked_seconds,
        file_systems=dict(settings.efs),
        settle_seconds=settings.settle_seconds,
        service_jobs_kept_ms=kept_ms(settings.finished_days),
    )


@contextlib.contextmanager
def blames_the_store(writer: Writer) -> Iterator[None]:
    """Reports faults inside the block as a damaged database: what was stored was consistent when it was written."""
    try:
        yield
    except (AssertionError, LookupError, ValueError) as error:
        raise writer.damaged(f"its records do not fit together ({error})") from error


def _settle_restored(machine: Machine, delivery: FactDelivery, writer: Writer, now_ms: int) -> None:
    """Marks attempts that a backup shows as STARTING as started, since they may have run after the backup: an engine
    that does not know them reports them lost, and their jobs' retry strategies decide."""
    machine.want_facts(delivery.stored_types)
    for effect in machine.recover():
        if isinstance(effect, RecoverTask) and not effect.known_started:
            machine.report(effect.engine, Started(effect.attempt_id, now_ms, node=effect.attempt_node.node), now_ms)
    changes, _ = machine.take()
    delivery.add_to(changes)
    if not changes.is_empty():
        writer.commit(changes, now_ms).result()
        delivery.committed()
    writer.take_into_use()
