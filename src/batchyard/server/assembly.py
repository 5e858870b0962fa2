"""Assembles the inner side of a server: machines, engines, launches, and their loop."""

from __future__ import annotations

from msgspec import Struct

from batchyard.alarms.machine import EvaluateAlarms
from batchyard.api.states.waiters import Waiters
from batchyard.clock import wall_clock_ms
from batchyard.console.live import FACT_TYPES, FactRing
from batchyard.core.machine import Machine
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobQueueBlocked, JobStateChanged
from batchyard.core.model.names import Account
from batchyard.deliveries.machine import SendMessages
from batchyard.events.machine import RulesChanged
from batchyard.loop import Loop
from batchyard.loop.fact_delivery import FactListener
from batchyard.server.access.identity import Identity
from batchyard.server.access.metadata_tokens import Tokens
from batchyard.server.access.sessions import LiveRoles, Sessions
from batchyard.server.admin import messages
from batchyard.server.deliveries.sender import Sender
from batchyard.server.deliveries.stored_messages import StoredMessages
from batchyard.server.engines.capacities import make_capacities
from batchyard.server.engines.choice import wants_docker
from batchyard.server.engines.runtime import EngineSet
from batchyard.server.events.batch_events import BatchEventMaker
from batchyard.server.events.execution_events import ExecutionEventMaker
from batchyard.server.events.fact_consumer import FactEvents, take_rules
from batchyard.server.http.job_listener import JobListener
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.server.launches import make_launch_builder
from batchyard.server.metrics.alarm_evaluator import AlarmEvaluator
from batchyard.server.parts import Parts
from batchyard.server.settings.host import Detected
from batchyard.server.stored_machines import Stored, load_machines
from batchyard.server.workflows.workflow_effects import WorkflowEffects, handlers
from batchyard.workflows.commands import ActivityTaskReady, ExecutionEnded


class Assembly(Struct, frozen=True):
    """The parts that decide about jobs and run them. `job_listener`: for containers on networks of their own; None:
    there is no Docker. `sender`: of messages to targets outside, which it reads from `messages`. `event_makers`: make
    events of services of facts. `waiters`: callers who wait for executions of Step Functions; `workflow_effects`: makes
    the calls of executions, and logs them. `ring`: the latest facts, for pages of the console."""

    stored: Stored
    loop: Loop
    engines: EngineSet
    identity: Identity
    cipher: KeyFileCipher
    job_listener: JobListener | None
    messages: StoredMessages
    sender: Sender
    event_makers: tuple[FactEvents, ...]
    alarm_evaluator: AlarmEvaluator
    waiters: Waiters
    workflow_effects: WorkflowEffects
    ring: FactRing

    @property
    def machine(self) -> Machine:
        return self.stored.machine


def assemble(parts: Parts, host: Detected) -> Assembly:
    """Loads the machines from the store and connects them with engines and capacities; starts nothing yet. Raises
    StoreError: the database is damaged."""
    settings, stored = parts.settings, load_machines(parts, wall_clock_ms())
    identity = _make_identity(parts, stored.machine)
    cipher = KeyFileCipher(settings.secrets_key_file, parts.paths.data_dir)
    has_docker = wants_docker(settings, stored.machine.world.environments.values())
    job_listener = JobListener(parts.paths.state_dir) if has_docker else None
    build_launch = make_launch_builder(parts, stored.machine, identity, cipher, job_listener, host.gpus)
    waiters = Waiters()
    ring = FactRing()
    loop = Loop(
        stored.machines,
        parts.writer,
        parts.engines,
        parts.clock,
        build_launch,
        capacities=make_capacities(settings, parts.hosts),
        handlers={
            SendMessages: lambda effects: sender.carry_out(effects),
            EvaluateAlarms: lambda effects: alarm_evaluator.carry_out(effects),
            ExecutionEnded: waiters.carry_out,
            ActivityTaskReady: waiters.carry_out,
            RulesChanged: lambda effects: take_rules(effects, event_makers, stored.delivery),
            **handlers(lambda: workflow_effects),
        },
        listeners=_fact_listeners(parts, ring),
        delivery=stored.delivery,
    )
    alarm_evaluator = AlarmEvaluator(parts.metric_store, loop.ask, parts.clock.now_ms)
    stored_messages = StoredMessages(parts.store)
    sender = Sender(stored_messages.load, loop.ask)
    account = Account(settings.account_id, settings.region)
    event_makers = tuple(
        FactEvents(maker, account, parts.store, parts.log_writer, loop.ask, wall_clock_ms)
        for maker in (BatchEventMaker(account), ExecutionEventMaker(account))
    )
    for event_maker in event_makers:
        event_maker.follow(stored.events.router, stored.delivery)
    engines = EngineSet(settings, parts.paths, parts.engines, stored.machine, job_listener)
    workflow_effects = WorkflowEffects(loop, stored.machine, stored.workflows, parts.log_writer, parts.s3)
    outside = (stored_messages, sender, event_makers, alarm_evaluator, waiters, workflow_effects, ring)
    return Assembly(stored, loop, engines, identity, cipher, job_listener, *outside)


def _fact_listeners(parts: Parts, ring: FactRing) -> dict[type[Fact], FactListener]:
    """Returns what hears of facts after each commit, and loses them when the service ends."""
    listeners: dict[type[Fact], list[FactListener]] = {kind: [ring.add] for kind in FACT_TYPES}
    listeners[JobQueueBlocked].append(messages.blocked)
    if parts.telemetry is not None:
        listeners[JobStateChanged].append(parts.telemetry.outbox.add_job)
    return {kind: _all_of(found) for kind, found in listeners.items()}


def _all_of(listeners: list[FactListener]) -> FactListener:
    def hear(fact: Fact) -> None:
        for listener in listeners:
            listener(fact)

    return listeners[0] if len(listeners) == 1 else hear


def _make_identity(parts: Parts, machine: Machine) -> Identity:
    account = Account(parts.settings.account_id, parts.settings.region)
    s3_keys = parts.s3.keys if parts.s3 is not None and parts.settings.job_credentials else None
    sessions = Sessions(parts.secret, account, LiveRoles(machine, account), wall_clock_ms, s3_keys)
    return Identity(parts.keys, parts.operator, sessions, Tokens(parts.secret))
