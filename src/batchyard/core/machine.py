"""The machine: commands in, changed records and effects out. Holds the state and dispatches; every decision is made in
a module of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from batchyard.core import recovery
from batchyard.core.capacity.catalogue import Catalogue
from batchyard.core.capacity.prices import Prices
from batchyard.core.instances import instance_lifecycle, joined_hosts, scaling
from batchyard.core.jobs import attempts, cancellation, submission, task_reports, time_limits
from batchyard.core.model import commands, consumable_commands, host_commands, names, reports, service_commands
from batchyard.core.model.changes import Changes, Snapshot
from batchyard.core.model.commands import Answer
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.queue_actions import ActOnQueue, QueueActionDone
from batchyard.core.questions import (
    capacity,
    consumable_states,
    explanation,
    gauges,
    inventory,
    overview,
    queue_snapshot,
    running_task,
)
from batchyard.core.questions.capacity import AskCapacity
from batchyard.core.questions.explanation import AskExplain
from batchyard.core.questions.gauges import AskGauges
from batchyard.core.questions.inventory import AskHosts, AskInstances, AskPastInstances
from batchyard.core.questions.overview import AskOverview, InterruptInstance
from batchyard.core.questions.queue_snapshot import AskQueueSnapshot
from batchyard.core.questions.running_task import AskRunningTask
from batchyard.core.registry import (
    consumable_resources,
    definitions,
    environments,
    machine_gpus,
    queue_actions,
    queues,
    tags,
)
from batchyard.core.scheduling import policies, scheduler
from batchyard.core.secrets import parameters, secrets
from batchyard.core.service_jobs import quota_shares, service_environments, service_jobs
from batchyard.core.state.world import Limits, World


class Machine:
    """`handle` commands, `schedule` once per batch, then `take` what changed: commit it, then act on the effects.

    Times are milliseconds since the epoch and never go back between calls."""

    def __init__(
        self,
        account: names.Account,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        catalogue: Catalogue = Catalogue({}),  # noqa: B008  (frozen)
        prices: Prices = Prices(),  # noqa: B008  (frozen)
    ) -> None:
        self.world = World(account, limits, catalogue, prices)
        self._done: list[QueueActionDone] = []
        self._due_ms: int | None = None  # when the scheduler or the scaler must look again

    @property
    def command_types(self) -> Collection[type[commands.Command[Any]]]:
        return HANDLERS.keys()

    @property
    def report_types(self) -> Collection[type[reports.AnyReport | ActOnQueue]]:
        return (*reports.TYPES, ActOnQueue)

    @property
    def pending_changes(self) -> Changes:
        return self.world.changes

    def want_facts(self, kinds: Collection[type[Fact]]) -> None:
        """Sets which facts are made. Called between batches."""
        self.world.want_facts(kinds)

    def restore(self, snapshot: Snapshot) -> None:
        """Takes the stored state, before the first command."""
        recovery.restore(self.world, snapshot)
        assert not self.world.recorder.wanted, "a machine is restored before anybody asks it for facts"

    def recover(self) -> list[Effect]:
        """Returns what to ask the engines after a restart, about every placed attempt."""
        return recovery.recover(self.world)

    def handle(self, command: commands.Command[Answer], now_ms: int) -> Answer:
        """Carries out one command. Raises Refused, having changed nothing. Returns the command's answer."""
        handler = HANDLERS.get(type(command))
        assert handler is not None, f"no handler for {type(command).__name__}"
        self.world.now_ms = now_ms
        answer: Answer = handler(self.world, command)
        return answer

    def report(self, source: str, fact: reports.AnyReport | ActOnQueue, now_ms: int) -> None:
        """Handles a report of an engine or a capacity provider, `source` by its name, or what another machine wants
        done with a queue."""
        self.world.now_ms = now_ms
        if isinstance(fact, ActOnQueue):
            self._done.append(queue_actions.act(self.world, fact))
        elif isinstance(fact, reports.InstanceReport):
            instance_lifecycle.report(self.world, source, fact)
        else:
            task_reports.report(self.world, source, fact)

    def schedule(self, now_ms: int) -> None:
        """Does what is due, then starts jobs. Called once per batch."""
        self.world.now_ms = now_ms
        if environments.finish_changes(self.world) | queues.finish_changes(self.world):
            scheduler.reassess(self.world)
        attempts.expire(self.world)
        if self.world.has_passed:  # a job that is late only because the service was down may start first
            time_limits.expire(self.world)
        pass_due_ms = scheduler.run_pass(self.world)
        scaling_due_ms = None if self.world.is_draining else scaling.scale(self.world)
        self._due_ms = min((at_ms for at_ms in (pass_due_ms, scaling_due_ms) if at_ms is not None), default=None)
        queues.sweep_deleted(self.world)
        secrets.sweep(self.world)
        service_jobs.sweep(self.world)
        environments.sweep_deleted(self.world)
        self.world.finish_batch()

    def next_deadline(self) -> int | None:
        """Returns when `schedule` must run next even if nothing happens."""
        moments = (
            self._due_ms,
            self.world.timetable.next_ms(),
            service_jobs.next_sweep_ms(self.world),
            *self.world.leaving_secrets.values(),
        )
        return min((at_ms for at_ms in moments if at_ms is not None), default=None)

    def outgoing(self) -> Collection[Any]:
        """Returns what was done with queues."""
        done, self._done = self._done, []
        return done

    def take(self) -> tuple[Changes, list[Effect]]:
        """Returns what the batch changed, and the effects to carry out once that is committed."""
        changes, effects = self.world.changes, self.world.effects
        self.world.begin_batch()
        return changes, effects


Handler = Callable[[World, Any], Any]  # takes the command beside it in the table, and returns its answer


def _set_host(world: World, command: commands.SetHost) -> None:
    world.abilities = dict(command.abilities)
    world.set_machine(command.provider, command.instance)
    environments.reassess_providers(world)


def _set_away(world: World, command: commands.SetAway) -> None:
    if world.away != command.engines:
        world.away = dict(command.engines)
        scheduler.reassess(world)


HANDLERS: dict[type[commands.Command[Any]], Handler] = {
    commands.SubmitJob: submission.submit,
    commands.CancelJob: cancellation.cancel,
    commands.TerminateJob: cancellation.terminate,
    commands.TerminateAllRunning: cancellation.terminate_running,
    commands.CreateComputeEnvironment: environments.create,
    commands.UpdateComputeEnvironment: environments.update,
    commands.DeleteComputeEnvironment: environments.delete,
    commands.CreateJobQueue: queues.create,
    commands.UpdateJobQueue: queues.update,
    commands.DeleteJobQueue: queues.delete,
    consumable_commands.CreateConsumableResource: consumable_resources.create,
    consumable_commands.UpdateConsumableResource: consumable_resources.update,
    consumable_commands.DeleteConsumableResource: consumable_resources.delete,
    consumable_commands.AskConsumableResource: consumable_states.describe,
    consumable_commands.AskConsumableResources: consumable_states.listed,
    consumable_commands.AskConsumableJobs: consumable_states.jobs,
    commands.CreateSchedulingPolicy: policies.create,
    commands.UpdateSchedulingPolicy: policies.update,
    commands.DeleteSchedulingPolicy: policies.delete,
    service_commands.CreateServiceEnvironment: service_environments.create,
    service_commands.UpdateServiceEnvironment: service_environments.update,
    service_commands.DeleteServiceEnvironment: service_environments.delete,
    service_commands.SubmitServiceJob: service_jobs.submit,
    service_commands.UpdateServiceJob: service_jobs.update,
    service_commands.TerminateServiceJob: service_jobs.terminate,
    service_commands.CreateQuotaShare: quota_shares.create,
    service_commands.UpdateQuotaShare: quota_shares.update,
    service_commands.DeleteQuotaShare: quota_shares.delete,
    commands.RegisterJobDefinition: definitions.register,
    commands.DeregisterJobDefinition: definitions.deregister,
    commands.TagResource: tags.tag,
    commands.UntagResource: tags.untag,
    commands.CreateSecret: secrets.create,
    commands.PutSecretValue: secrets.put_value,
    commands.UpdateSecret: secrets.update,
    commands.DeleteSecret: secrets.delete,
    commands.RestoreSecret: secrets.restore_deleted,
    commands.PutParameter: parameters.put,
    commands.DeleteParameter: parameters.delete,
    InterruptInstance: overview.interrupt,
    host_commands.CreateJoinToken: joined_hosts.create_token,
    host_commands.JoinHost: joined_hosts.join,
    host_commands.ConnectHost: joined_hosts.connect,
    host_commands.DrainHost: joined_hosts.drain,
    host_commands.ForgetHost: joined_hosts.forget,
    host_commands.AskHosts: joined_hosts.listed,
    commands.SetHost: _set_host,
    commands.SetAway: _set_away,
    commands.SetGpus: machine_gpus.set_gpus,
    commands.NoteGpuUse: machine_gpus.note_use,
    AskCapacity: capacity.capacity,
    AskGauges: gauges.gauges,
    AskOverview: overview.overview,
    AskHosts: inventory.hosts,
    AskInstances: inventory.inventory,
    AskPastInstances: inventory.past_instances,
    AskQueueSnapshot: queue_snapshot.snapshot,
    AskExplain: explanation.explain,
    AskRunningTask: running_task.running_task,
}
