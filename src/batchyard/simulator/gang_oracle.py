"""Checks the attempts of multi-node jobs, by rules of its own: it reads rows and what really ran, not the machine."""

from __future__ import annotations

from batchyard.core.model import names
from batchyard.core.model.attempt_node import task_id_of
from batchyard.core.model.reasons import StopCause
from batchyard.core.model.records import Attempt, Job, JobSpec, NodeRun
from batchyard.core.model.reports import Exited, Lost, NotStarted, Report
from batchyard.engines.base import Launch
from batchyard.simulator.attempt_ledger import AttemptLedger, ViolationError


def host_lost(instance_id: str) -> str:
    """The text of the user guide, independent of the core's."""
    return f"Host EC2 (instance {instance_id}) terminated."


def exit_code_of(spec: JobSpec, final: Exited, node: int = 0) -> int | None:
    """Returns the exit code of a task: that of the first essential container that failed, else 0. Of a pod all count
    but the one that it has not in its definition."""
    containers = spec.task.containers
    for group in spec.node_groups:
        if any(start <= node < stop for start, stop in group.nodes):
            containers = group.task.containers
    essential = {one.name for one in containers if one.essential} or {final.containers[0].name}
    if spec.pod:
        essential = {one["name"] for kind in ("containers", "initContainers") for one in spec.pod[kind]}
    ended = sorted(final.containers, key=lambda one: one.stopped_at_ms or float("inf"))
    failed = [one.exit_code for one in ended if one.name in essential and one.exit_code != 0]
    return failed[0] if failed else 0


class GangOracle:
    """Compares attempts of several nodes with what the engines received and reported."""

    def __init__(self, ledger: AttemptLedger) -> None:
        self._ledger = ledger

    def _final_of(self, task_id: str) -> Report | None:
        return self._ledger.finals.get(task_id)

    def check_placed(self, spec: JobSpec, attempt: Attempt) -> None:
        """Checks that a new attempt has a place for each of its nodes, and that only its main node is launched."""
        if len(attempt.placements) != spec.num_nodes or len(attempt.nodes) != spec.num_nodes:
            raise ViolationError(f"{spec.job_id} has {spec.num_nodes} nodes and is placed as {attempt}")
        launched = [node for node, run in enumerate(attempt.nodes) if run.launched_at_ms]
        if launched != [spec.main_node] or attempt.main_node != spec.main_node:
            raise ViolationError(f"{spec.job_id} begins with the nodes {launched}, its main node is {spec.main_node}")

    def check_placed_attempt(self, key: int, spec: JobSpec, attempt: Attempt) -> None:
        """Checks the nodes of an attempt that holds its places: others than the main one are launched once that has
        started; none is lost, and none outlives the main one, without a stop of the others; and one node at least
        lives."""
        main = attempt.nodes[spec.main_node]
        task_ids = self._task_ids(key, spec, attempt)
        for node, run in enumerate(attempt.nodes):
            if node != spec.main_node and run.launched_at_ms and not main.started_at_ms:
                raise ViolationError(f"node {node} of {spec.job_id} is launched before its main node runs: {attempt}")
            is_lost = bool(run.stopped_at_ms) and isinstance(self._final_of(task_ids[node]), Lost)
            if is_lost and attempt.stopping is None:
                raise ViolationError(f"node {node} of {spec.job_id} is lost, and its others run on: {attempt}")
            if run.stopped_at_ms:
                self._check_run(spec, node, attempt, task_ids[node])
        live = [node for node, run in enumerate(attempt.nodes) if run.launched_at_ms and not run.stopped_at_ms]
        if not live:
            raise ViolationError(f"no node of {spec.job_id} lives, and it keeps its places: {attempt}")
        if main.stopped_at_ms and attempt.stopping is None:
            raise ViolationError(f"the main node of {spec.job_id} has ended, and the nodes {live} run on: {attempt}")

    def check_ended(self, key: int, spec: JobSpec, attempt: Attempt) -> None:
        """Checks that an attempt is over only after each node's end was reported, and that its outcome is its main
        node's, or the end of a host."""
        task_ids = self._task_ids(key, spec, attempt)
        alive = [task_id for task_id in task_ids if task_id in self._ledger.running]
        if alive:
            raise ViolationError(f"attempt {attempt.number} of {spec.job_id} is over, and {alive} still run")
        for node, run in enumerate(attempt.nodes):
            if run.launched_at_ms:
                self._check_run(spec, node, attempt, task_ids[node])
            elif task_ids[node] in self._ledger.launched or run != NodeRun():
                raise ViolationError(f"node {node} of {spec.job_id} was launched and its attempt has {run}")
        main = attempt.nodes[spec.main_node]
        if attempt.stopping is StopCause.HOST and attempt.status_reason != main.status_reason:
            known = [place.instance_id for place in attempt.placements]
            is_named = attempt.status_reason in [host_lost(one) for one in known]
            if not is_named or attempt.exit_code is not None or attempt.reason or main.exit_code == 0:
                raise ViolationError(f"{spec.job_id} has {attempt} after the end of a host; its main node has {main}")
        elif (attempt.exit_code, attempt.reason, attempt.status_reason) != (
            main.exit_code,
            main.reason,
            main.status_reason,
        ):
            raise ViolationError(f"{spec.job_id} has {attempt}, and its main node {main}")

    def _check_run(self, spec: JobSpec, node: int, attempt: Attempt, task_id: str) -> None:
        """Checks the outcome of one node against what its engine reported. One that could not be given its secrets
        never reached an engine."""
        run, final = attempt.nodes[node], self._final_of(task_id)
        where = f"node {node} of {spec.job_id}"
        if final is None and task_id in self._ledger.withheld:
            if task_id in self._ledger.launched or run.exit_code is not None or run.started_at_ms:
                raise ViolationError(f"{where} has {run}, and its engine received the launch")
            return
        seen = None
        if isinstance(final, Exited):
            seen = exit_code_of(spec, final, node)
        elif isinstance(final, NotStarted):
            seen = final.exit_code
        elif isinstance(final, Lost):
            if run.status_reason != host_lost(attempt.placements[node].instance_id):
                raise ViolationError(f"{where} has {run}, the engine reported {final}")
        else:
            raise ViolationError(f"{where} is over; no engine reported it: {run}")
        if run.exit_code != seen or (isinstance(final, NotStarted) and run.started_at_ms):
            raise ViolationError(f"{where} has {run}, the engine reported {final}")

    def check_launch(self, key: int, spec: JobSpec, job: Job, launch: Launch) -> None:
        """Checks a launch of a node at the moment it arrives: it is committed, and other nodes than the main one come
        after the main one's start was reported."""
        attempt, node = job.attempt, launch.attempt_node.node
        assert attempt is not None, f"job {key} is launched without an attempt"
        if not attempt.nodes[node].launched_at_ms:
            raise ViolationError(f"{launch.job_id} is launched, and the store has {attempt}")
        main = self._ledger.launched.get(self._task_ids(key, spec, attempt)[spec.main_node])
        if node != spec.main_node and (main is None or not main.starts):
            raise ViolationError(f"{launch.job_id} is launched before its main node has started: {main}")
        if launch.gang is None or len({*launch.gang.addresses}) != spec.num_nodes:
            raise ViolationError(f"{launch.job_id} has not an address for each node: {launch.gang}")
        for other in self._ledger.running.values():
            gang = other.launch.gang
            if gang is not None and other.launch.attempt_id != launch.attempt_id:
                shared = {*gang.addresses} & {*launch.gang.addresses}
                if shared and other.engine == attempt.engine:
                    raise ViolationError(f"{launch.job_id} and {other.launch.job_id} have the addresses {shared}")

    def _task_ids(self, key: int, spec: JobSpec, attempt: Attempt) -> list[str]:
        attempt_id = names.task_id(key, attempt.number, spec.job_id)
        return [task_id_of(attempt_id, node) for node in range(spec.num_nodes)]
