"""Faults put into the core, the loop and the store's fence on purpose, each as a change of source text."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from batchyard.core import recovery
from batchyard.core.instances import instance_lifecycle, scaling
from batchyard.core.jobs import attempts, completion, gangs, submission
from batchyard.core.registry import environments, machine_gpus
from batchyard.core.scheduling import fleet, gang_capacity, launches, queue_head, scheduler
from batchyard.core.state import transient_states, world
from batchyard.core.state.arrays import ArrayProgress
from batchyard.core.state.environment_instances import EnvironmentInstances
from batchyard.loop import loop
from batchyard.loop.effect_handlers import EngineEffects
from batchyard.simulator import disk
from batchyard.workflows import machine
from batchyard.workflows.executions import children, endings, open_executions, redrives, restoring
from batchyard.workflows.machine import WorkflowsMachine

Owner = ModuleType | type
Edit = Callable[[str], str]


@dataclass(frozen=True)
class Mutation:
    name: str
    owner: Owner
    function: str
    edit: Edit

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replaces the function by itself with its text changed. A change that no longer applies is an error."""
        original: Any = getattr(self.owner, self.function)
        source = textwrap.dedent(inspect.getsource(original))
        changed = self.edit(source)
        assert changed != source, f"the mutation {self.name} changes nothing"
        made: dict[str, Any] = {}
        exec(compile(f"from __future__ import annotations\n{changed}", self.name, "exec"), original.__globals__, made)
        monkeypatch.setattr(self.owner, self.function, made[self.function])


def replacing(old: str, new: str) -> Edit:
    def edit(source: str) -> str:
        assert source.count(old) == 1, f"{old!r} stands there {source.count(old)} times"
        return source.replace(old, new)

    return edit


def moving(begin: str, end: str, before: str) -> Edit:
    """The text from `begin` up to `end` is moved before `before`."""

    def edit(source: str) -> str:
        first = source.index(begin)
        last = source.index(end, first) if end else len(source)
        part, rest = source[first:last], source[:first] + source[last:]
        assert rest.count(before) == 1, f"{before!r} stands there {rest.count(before)} times"
        return rest.replace(before, part.rstrip("\n") + "\n" + before)

    return edit


COMMIT = "    if not changes.is_empty():\n"
ANSWERS = "    for answer, result in answers:\n"
ACT = "    self._table.carry_out(effects)\n"
ACKNOWLEDGE = '    self._table.carry_out([e for e in effects if type(e).__name__ == "AcknowledgeTask"])\n'


def go_on(source: str) -> str:
    source = replacing("except BaseException:", "except Exception:")(source)
    return replacing("answer.cancel()\n            raise\n", "answer.cancel()\n")(source)


def run_ahead(source: str) -> str:
    source = replacing(" or self.active_rows()", "")(source)
    return replacing(" if not first or self.final_status(first - 1) is not None else None", "")(source)


MUTATIONS = [
    Mutation("skip the fence", disk.Disk, "check_fence", replacing("if epoch != self.epoch:", "if False:")),
    Mutation("launch without the secrets", EngineEffects, "_add_launch", replacing("if launch.problem:", "if False:")),
    Mutation(
        "launch without the secrets after a restart",
        EngineEffects,
        "_recovery",
        replacing(" and not launch.problem", ""),
    ),
    Mutation("go on after a failed commit", loop.Loop, "_batch", go_on),
    Mutation("answer before commit", loop.Loop, "_batch", moving(ANSWERS, ACT, COMMIT)),
    Mutation("launch before commit", loop.Loop, "_batch", moving(ACT, "", COMMIT)),
    Mutation("acknowledge before commit", loop.Loop, "_batch", replacing(COMMIT, ACKNOWLEDGE + COMMIT)),
    Mutation(
        "drop acknowledgements",
        EngineEffects,
        "carry_out",
        replacing("self._started[name].acknowledge(attempts)", "pass"),
    ),
    Mutation(
        "forget a release",
        world.World,
        "_give_back",
        replacing("available.free = available.free.plus", "available.free.plus"),
    ),
    Mutation(
        "double-count a device",
        world.World,
        "_take_capacity",
        replacing("available.gpu_ids = [d for d in available.gpu_ids if d not in placement.device_ids]", "pass"),
    ),
    Mutation(
        "start a job that lacks a licence",
        scheduler,
        "_visit",
        replacing("not visit.gate.lets_pass(world, shape, awaited)", "False"),
    ),
    Mutation(
        "keep a licence after the end",
        world.World,
        "_move_capacity",
        replacing("for resource in self.consumables.release(spec.consumables)", "for resource in ()"),
    ),
    Mutation(
        "count the pause container of a pod",
        attempts,
        "outcome",
        replacing("if one.name not in pauses", ""),
    ),
    Mutation("retry a cancelled job", attempts, "decide", replacing("not job.is_cancelled and ", "")),
    Mutation("retry after a timeout", attempts, "decide", replacing("attempt.stopping is StopCause.TIMEOUT", "False")),
    Mutation(
        "believe late reports of earlier attempts",
        attempts,
        "current",
        replacing(" or job.attempt.number != number", ""),
    ),
    Mutation(
        "forget to write down an end",
        world.World,
        "put",
        replacing("self.changes.jobs[key] = job", "self.changes.jobs.setdefault(key, job)"),
    ),
    Mutation(
        "start the next of a sequence too early",
        ArrayProgress,
        "next_in_line",
        run_ahead,
    ),
    Mutation(
        "fail what runs after any end",
        completion.Cascade,
        "_tell_dependents",
        replacing(" and not self._world.jobs.specs[waiting].after_any", ""),
    ),
    Mutation(
        "forget a dependency at restore",
        recovery,
        "_unfinished",
        replacing("list(dict.fromkeys(keys))", "list(dict.fromkeys(keys))[:1]"),
    ),
    Mutation(
        "forget the stops at restore",
        recovery,
        "recover",
        replacing("if job.attempt is not None and job.attempt.stopping", "if False"),
    ),
    Mutation(
        "forget the deadlines at restore",
        recovery,
        "restore",
        replacing("world.timetable.add_deadline", "(lambda *_: None)"),
    ),
    Mutation(
        "forget the idempotency keys at restore",
        recovery,
        "restore",
        replacing("world.idempotency[token] = Remembered(job_id, digest)", "pass"),
    ),
    Mutation(
        "forget what shares hold at restore",
        recovery,
        "restore",
        replacing("milli_vcpus_of(spec))", "0)"),
    ),
    Mutation(
        "forget to write down what shares have used",
        world.World,
        "finish_batch",
        replacing("self.changes.documents[SHARE_USAGE, queue] = shares.freeze()", "pass"),
    ),
    Mutation(
        "forget the idempotency keys",
        submission,
        "remember",
        replacing("world.idempotency[key] = Remembered(spec.job_id, digest)", "pass"),
    ),
    Mutation(
        "let the first container speak for all",
        attempts,
        "outcome",
        replacing("essentials = [one for one in exits if one.name not in others] or exits", "essentials = exits[:1]"),
    ),
    Mutation(
        "forget to give back a reservation",
        world.World,
        "remove_instance",
        replacing("ledger.free = ledger.free.plus", "ledger.free.plus"),
    ),
    Mutation(
        "place on an instance that has not booted",
        EnvironmentInstances,
        "set_room",
        replacing("instance.state is InstanceState.READY", "instance.state in COMING"),
    ),
    Mutation(
        "end an instance that is in use",
        scaling,
        "_let_go",
        replacing("if is_over and not world.instances.placed_on(instance_id)", "if is_over"),
    ),
    Mutation(
        "ignore maxvCpus",
        fleet,
        "milli_vcpus_of",
        replacing("world.instances.of(environment).milli_vcpus", "0"),
    ),
    Mutation(
        "keep a drained instance",
        scaling,
        "_let_go",
        replacing("instance.state is InstanceState.DRAINING or is_deleted", "is_deleted"),
    ),
    Mutation(
        "let go of what has just booted",
        scaling,
        "_let_go",
        replacing("if since_ms + delay_ms > world.now_ms", "if False"),
    ),
    Mutation(
        "let go below minvCpus",
        scaling,
        "_let_go",
        replacing("instances.coming_milli_vcpus - wanted", "instances.coming_milli_vcpus"),
    ),
    Mutation(
        "give a device to two instances",
        fleet,
        "launch",
        replacing("provider.ledger.gpu_ids[: size.gpus]", "provider.machine.gpu_ids[: size.gpus]"),
    ),
    Mutation(
        "reserve more than the host has",
        fleet,
        "allocation_input",
        replacing("provider.ledger.free", "provider.total"),
    ),
    Mutation(
        "place on an instance that is about to go",
        instance_lifecycle,
        "drain_and_stop",
        replacing("state=InstanceState.DRAINING, ", ""),
    ),
    Mutation(
        "forget what Fargate's jobs use after a restart",
        recovery,
        "restore",
        replacing("fleet.set_budget(world, environment)", "pass"),
    ),
    Mutation(
        "count idle times anew after a restart",
        recovery,
        "restore",
        replacing("instance.idle_since_ms or snapshot.last_time_ms", "snapshot.last_time_ms"),
    ),
    Mutation(
        "forget the pauses at restore", recovery, "restore", replacing("if environment.paused_until_ms", "if False")
    ),
    Mutation(
        "forget who blocks a queue at restore", queue_head, "restore", replacing("if row.key in world.jobs", "if False")
    ),
    Mutation(
        "tell of a blocked queue again after a restart",
        queue_head,
        "restore",
        replacing("if row.reported_count", "if False"),
    ),
    Mutation(
        "forget since when a job is set aside",
        scheduler,
        "resume",
        replacing(
            "since_ms = progress.set_aside_at_ms if progress is not None else job.set_aside_at_ms", "since_ms = 0"
        ),
    ),
    Mutation(
        "settle at once",
        environments,
        "finish_changes",
        replacing(
            "transient_states.due(world, transient_states.ENVIRONMENT)",
            "[n for k, n in [*world.timetable.settling] if k == transient_states.ENVIRONMENT"
            " and world.timetable.settling.pop((k, n))]",
        ),
    ),
    Mutation(
        "forget what is in motion at restore",
        transient_states,
        "restore",
        replacing("if record.settles_at_ms", "if False"),
    ),
    Mutation(
        "delete what is being updated", transient_states, "check", replacing("record.status in IN_MOTION", "False")
    ),
    Mutation(
        "let jobs of lower queues pass",
        scheduler,
        "run_pass",
        replacing("blocked[-1].queue.priority > queue.priority", "False"),
    ),
    Mutation(
        "forget to ask again for what boots",
        instance_lifecycle,
        "recovery",
        replacing("elif instance.environment:", "elif False:"),
    ),
    Mutation(
        "launch all nodes together",
        scheduler,
        "_apply",
        replacing(
            "world.effects.append(launch_of(world, placed, spec.main_node))",
            "world.effects.extend(launch_of(world, placed, node) for node in range(len(attempt.placements)))",
        ),
    ),
    Mutation(
        "decide at the main node's end",
        gangs,
        "_ended",
        replacing("if not any(run.is_live for run in attempt.nodes):", "if node == attempt.main_node:"),
    ),
    Mutation(
        "let the last node speak for all",
        gangs,
        "_ended",
        replacing("if node == attempt.main_node:  # its outcome", "if True:  # its outcome"),
    ),
    Mutation("ignore a lost node", gangs, "_ended", replacing("elif ended.is_lost:", "elif False:")),
    Mutation(
        "stop the main node alone",
        attempts,
        "stops_of",
        replacing("attempt.nodes[node].is_live", "node == attempt.main_node"),
    ),
    Mutation(
        "ask for nodes that were not launched after a restart",
        launches,
        "recoveries_of",
        replacing("if run.is_live]", "if not run.stopped_at_ms]"),
    ),
    Mutation(
        "forget nodes that have not started after a restart",
        launches,
        "recoveries_of",
        replacing("if run.is_live]", "if run.is_live and run.started_at_ms]"),
    ),
    Mutation(
        "launch instances for a part of the nodes",
        gang_capacity,
        "_launch_for",
        replacing("if end.why is not NoLaunchReason.NO_DEMAND:", "if not choices:"),
    ),
    Mutation(
        "give two multi-node jobs the same addresses",
        scheduler,
        "gang_attempt",
        replacing("choose(pool, spec.num_nodes, attempt_id, others)", '"198.18.0.2"'),
    ),
    Mutation(
        "keep a lost GPU",
        machine_gpus,
        "_with_gpus",
        replacing("gpu_ids=device_ids, ", ""),
    ),
    Mutation(
        "count a lost GPU",
        machine_gpus,
        "_with_gpus",
        replacing("gpus=len(device_ids)", "gpus=len(machine.gpu_ids)"),
    ),
    Mutation(
        "let the job of a lost GPU run on",
        machine_gpus,
        "_stop_attempts",
        replacing("attempts.stop(world, world.jobs[key], StopCause.HOST, lost_instance=instance_id)", "pass"),
    ),
    Mutation(
        "keep an instance with a lost GPU",
        machine_gpus,
        "_drain_instances",
        replacing("drain_and_stop(world, instance, world.limits.stop_grace_seconds)", "pass"),
    ),
    Mutation(
        "believe the exit code of a job whose host was lost",
        attempts,
        "decide",
        replacing("if attempt.stopping is StopCause.HOST and not succeeded:", "if False:"),
    ),
    Mutation(
        "call for an execution that has been stopped",
        WorkflowsMachine,
        "is_calling",
        replacing("return found is not None and", "return found is None or"),
    ),
    Mutation(
        "forget after a restart which job is waited for",
        restoring,
        "_restore_frame",
        replacing("world.jobs[frame.target] = place", "pass"),
    ),
    Mutation(
        "forget after a restart when a retry is due",
        restoring,
        "_restore_frame",
        replacing("world.set_timers_of(execution, frame)", "pass"),
    ),
    Mutation(
        "forget after a restart what has not begun",
        restoring,
        "_restore_frame",
        replacing("restore_progress(world, execution, frame)", "pass"),
    ),
    Mutation(
        "do not repeat the calls of executions",
        machine,
        "recovered_effects",
        replacing("effects.append(tasks.call_of(world, execution, frame))", "pass"),
    ),
    Mutation(
        "do not repeat what ends abandoned calls",
        endings,
        "abandon_call",
        replacing("world.changes.documents[ABANDONED_CALL, call.key] = ", ""),
    ),
    Mutation(
        "let the job of a stopped execution run on",
        endings,
        "abandon_call",
        replacing("world.effects.append(call.effect)", "pass"),
    ),
    Mutation(
        "count an iteration twice",
        children,
        "_child_ended",
        replacing("progress.done += 1", "progress.done += 1 + (progress.done == 1)"),
    ),
    Mutation(
        "give a Map the items of the Map before it",
        open_executions.OpenExecutions,
        "items_of",
        replacing("known is None or known.text is not frame.work", "known is None"),
    ),
    Mutation(
        "run children again that have succeeded",
        redrives,
        "_has_succeeded",
        replacing("not frame.is_failed", "frame.is_failed"),
    ),
    Mutation(
        "forget what is reported while the service ends",
        scheduler,
        "run_pass",
        replacing("queue_head.keep(world)  # jobs are", "pass  # jobs are"),
    ),
]
