"""What every engine promises about GPUs, with the machine that assigns them and the watch over a made-up NVML: a task
sees its own, and one that is lost leaves the ledger and ends its task's job as the loss of its host does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import count
from pathlib import Path
from random import SystemRandom
from typing import Any, Protocol
from uuid import UUID

import pytest
from msgspec.structs import replace

from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.effects import AcknowledgeTask, LaunchTask, StopTask
from batchyard.core.model.gang import Gang
from batchyard.core.model.gpus import NVIDIA, Gpu
from batchyard.core.model.names import Account
from batchyard.core.model.node_addresses import address_of, choose
from batchyard.core.model.records import EnvironmentOrder, Instance, Job, Status, TaskSpec
from batchyard.core.model.resources import Resources
from batchyard.core.registry.machine_gpus import devices_in_use
from batchyard.core.state.world import Limits
from batchyard.engines.base import Launch
from batchyard.engines.gpus import GpuFinder
from batchyard.server.engines.gpu_watch import GpuWatch
from batchyard.server.settings.offered_gpus import offer_and_remember
from tests.engines.conformance import FINAL, Harness, codes, final_of, wait_for_end, wait_for_run
from tests.engines.fake_nvml import LOST, FakeNvml
from tests.engines.node_conformance import NodesHarness

HOST = "i-1"
HOST_LOST = f"Host EC2 (instance {HOST}) terminated."
H100 = "NVIDIA H100 80GB HBM3"
FIRST, SECOND = ("GPU-aaaa", H100, 80), ("GPU-bbbb", H100, 80)
RETRIES = {"attempts": 2, "evaluateOnExit": [{"action": "RETRY", "onStatusReason": "Host EC2*"}]}
# From anywhere, like those of the rest of the suite. The machine numbers its own jobs, so the job's id must differ.
_numbers = count(SystemRandom().getrandbits(60))


class GpuHarness(Harness, Protocol):
    def shows_gpus(self) -> TaskSpec:
        """Prints the GPUs that it sees on one line, separated by commas, and sleeps."""


class GpuMachine:
    """A machine with two GPUs, whose jobs of one GPU each run on the engine of a harness."""

    def __init__(self, harness: GpuHarness, directory: Path) -> None:
        self.harness = harness
        self.nvml = FakeNvml(FIRST, SECOND)
        finder = GpuFinder(load=lambda: self.nvml, run=lambda command: None, root=directory)
        self.offered = offer_and_remember(finder.find(), None, directory)
        self.machine = Machine(Account("123456789012", "us-east-1"), Limits(stop_grace_seconds=1))
        self.watch = GpuWatch(self.offered, self._ask, lambda: devices_in_use(self.machine.world), finder)
        self._now_ms, self._seen = 1000, 0
        self._keys: dict[str, int] = {}  # the three by job id
        self._tasks: dict[str, TaskSpec] = {}
        self._attempts: dict[str, list[str]] = {}
        self._jobs: dict[int, Job] = {}  # by key
        self._devices: dict[str, tuple[int, ...]] = {}  # by task id, of those that may run
        engine = harness.engine
        for command in (
            c.SetHost(Instance(HOST, Resources(8000, 8192, 2), gpu_ids=(0, 1)), {engine.name: engine.abilities}),
            c.CreateComputeEnvironment("local", "u", "UNMANAGED", "ENABLED", engine.name, {}),
            c.CreateJobQueue("default", "ENABLED", 1, (EnvironmentOrder(1, "local"),)),
            c.RegisterJobDefinition("gpu", {"type": "container", "containerProperties": _container()}),
        ):
            self.machine.handle(command, self._now_ms)
        self.step()

    async def _ask(self, command: c.Command[Any]) -> Any:
        return self.machine.handle(command, self._now_ms)

    def submit(self, task: TaskSpec, **members: Any) -> str:
        """Submits a job of one GPU that runs this task; its id."""
        job_id = str(UUID(int=next(_numbers), version=4))
        self._tasks[job_id] = task
        self.machine.handle(c.SubmitJob(job_id, "n", "default", "gpu", **members), self._now_ms)
        self._keys[job_id] = self.machine.world.jobs.by_id[job_id]
        self.step()
        return job_id

    def lose(self, index: int) -> None:
        self.nvml.errors[index] = LOST
        self.look()

    def look(self) -> None:
        asyncio.run(self.watch.look())
        self.step()

    def step(self) -> None:
        """Handles what the engine has reported since the last step, and does what follows from it."""
        self._now_ms += 1
        reports = self.harness.reports[self._seen :]
        self._seen += len(reports)
        for report in reports:
            if isinstance(report, FINAL):
                self._devices.pop(report.task_id, None)
            self.machine.report(self.harness.engine.name, report, self._now_ms)
        self.machine.schedule(self._now_ms)
        changes, effects = self.machine.take()
        self._jobs.update(changes.jobs)
        for effect in effects:
            if isinstance(effect, LaunchTask):
                self._launch(effect)
            elif isinstance(effect, StopTask):
                self.harness.engine.stop(effect.attempt_node, effect.grace_seconds)
            elif isinstance(effect, AcknowledgeTask):
                self.harness.engine.acknowledge([effect.attempt_node])

    def _launch(self, effect: LaunchTask) -> None:
        held = {device for devices in self._devices.values() for device in devices}
        assert held.isdisjoint(effect.device_ids), f"{effect.device_ids} are given a second time"
        lost = {gpu.device_id for gpu in self.offered.gpus if gpu.index in self.nvml.errors}
        assert lost.isdisjoint(effect.device_ids), f"{effect.device_ids} are given, and {lost} are lost"
        node, task = effect.attempt_node, self._tasks[effect.job_id]
        self._devices[node.task_id] = effect.device_ids
        self._attempts.setdefault(effect.job_id, []).append(effect.attempt_id)
        task = replace(task, resources=replace(task.resources, gpus=len(effect.device_ids)))
        launch = Launch(node, effect.spec_key, task, effect.environment, device_ids=effect.device_ids)
        gpus, vendor = self.offered.named(effect.device_ids), self.offered.vendor
        self.harness.engine.launch([replace(launch, gpus=gpus, gpu_vendor=vendor)])

    def job(self, job_id: str) -> Job:
        """The job, as of the last step that changed it."""
        return self._jobs[self._keys[job_id]]

    def until(self, job_id: str, status: Status) -> Job:
        def is_there() -> bool:
            self.step()
            return self.job(job_id).status is status

        self.harness.until(is_there)
        return self.job(job_id)

    def attempt_id(self, job_id: str) -> str:
        """The id of its latest attempt."""
        return self._attempts[job_id][-1]

    def attempts(self, job_id: str) -> int:
        return len(self._attempts.get(job_id, []))

    def seen(self, job_id: str) -> str:
        """Waits for the line of the latest attempt, of a task that shows its GPUs; returns it."""
        self.until(job_id, Status.RUNNING)
        self.harness.until(lambda: self.harness.log(self.attempt_id(job_id)))
        return self.harness.log(self.attempt_id(job_id))[0][1]

    def gpus(self) -> tuple[tuple[int, ...], list[int]]:
        """The numbers of the GPUs that the machine has, and of those that are free."""
        (provider,) = self.machine.world.instances.providers.values()
        return provider.machine.gpu_ids, provider.ledger.gpu_ids


def _container() -> dict[str, Any]:
    asked = (("VCPU", "1"), ("MEMORY", "64"), ("GPU", "1"))
    requirements = [{"type": kind, "value": value} for kind, value in asked]
    return {"image": "x", "command": ["x"], "resourceRequirements": requirements}


class GpuConformance:
    """Inherit, and give a `harness` fixture of an engine whose tasks can have GPUs."""

    @pytest.fixture
    def gpu_machine(self, harness: GpuHarness, tmp_path: Path) -> Iterator[GpuMachine]:
        yield GpuMachine(harness, tmp_path)
        harness.settle()  # acknowledgements remove containers, which the harness would remove too

    def test_each_task_sees_its_own_gpu(self, harness: GpuHarness, gpu_machine: GpuMachine) -> None:
        one, two, three = (gpu_machine.submit(harness.shows_gpus()) for _ in range(3))
        assert (gpu_machine.seen(one), gpu_machine.seen(two)) == ("GPU-aaaa", "GPU-bbbb")
        assert gpu_machine.gpus() == ((0, 1), [])
        assert gpu_machine.job(three).status is Status.RUNNABLE

    def test_a_lost_gpu_leaves_the_ledger_and_its_job_ends_as_its_host_did(
        self, harness: GpuHarness, gpu_machine: GpuMachine
    ) -> None:
        lost, kept = (gpu_machine.submit(harness.shows_gpus()) for _ in range(2))
        assert (gpu_machine.seen(lost), gpu_machine.seen(kept)) == ("GPU-aaaa", "GPU-bbbb")
        waiting = gpu_machine.submit(harness.shows_gpus())
        gpu_machine.lose(0)
        assert gpu_machine.gpus() == ((1,), [])
        (attempt,) = gpu_machine.until(lost, Status.FAILED).past
        assert (attempt.is_lost, attempt.exit_code, attempt.status_reason) == (True, None, HOST_LOST)
        assert gpu_machine.job(lost).status_reason == HOST_LOST
        assert codes(wait_for_end(harness, gpu_machine.attempt_id(lost))) == {"default": 143}
        assert gpu_machine.job(waiting).status is Status.RUNNABLE, "what the lost job had is not given again"
        assert final_of(harness, gpu_machine.attempt_id(kept)) is None
        harness.engine.stop(AttemptNode(gpu_machine.attempt_id(kept)), 30)
        assert gpu_machine.until(kept, Status.FAILED).past[-1].exit_code == 143
        assert gpu_machine.seen(waiting) == "GPU-bbbb"
        assert gpu_machine.gpus() == ((1,), [])

    def test_its_retry_runs_on_another_gpu(self, harness: GpuHarness, gpu_machine: GpuMachine) -> None:
        job_id = gpu_machine.submit(harness.shows_gpus(), retry_strategy=RETRIES)
        assert gpu_machine.seen(job_id) == "GPU-aaaa"
        first = gpu_machine.attempt_id(job_id)
        gpu_machine.lose(0)
        harness.until(lambda: gpu_machine.step() or gpu_machine.attempts(job_id) == 2)
        assert gpu_machine.seen(job_id) == "GPU-bbbb"
        assert [one.is_lost for one in gpu_machine.job(job_id).past] == [True]
        assert [harness.runs(one) for one in (first, gpu_machine.attempt_id(job_id))] == [1, 1]

    def test_a_task_that_ignores_sigterm_is_killed_and_is_lost_too(
        self, harness: GpuHarness, gpu_machine: GpuMachine
    ) -> None:
        job_id = gpu_machine.submit(harness.ignores_term())
        gpu_machine.until(job_id, Status.RUNNING)
        wait_for_run(harness, gpu_machine.attempt_id(job_id))
        gpu_machine.lose(0)
        job = gpu_machine.until(job_id, Status.FAILED)
        assert codes(wait_for_end(harness, gpu_machine.attempt_id(job_id))) == {"default": 137}
        assert (job.status_reason, job.past[-1].exit_code) == (HOST_LOST, None)

    def test_a_task_that_succeeds_all_the_same_has_succeeded(
        self, harness: GpuHarness, gpu_machine: GpuMachine
    ) -> None:
        job_id = gpu_machine.submit(harness.ends_on_term(0))
        gpu_machine.until(job_id, Status.RUNNING)
        wait_for_run(harness, gpu_machine.attempt_id(job_id))
        gpu_machine.lose(0)
        assert gpu_machine.until(job_id, Status.SUCCEEDED).past[-1].exit_code == 0
        assert gpu_machine.gpus() == ((1,), [1])

    def test_one_that_is_back_is_given_again(self, harness: GpuHarness, gpu_machine: GpuMachine) -> None:
        lost = gpu_machine.submit(harness.shows_gpus())
        assert gpu_machine.seen(lost) == "GPU-aaaa"
        gpu_machine.lose(0)
        gpu_machine.until(lost, Status.FAILED)
        gpu_machine.nvml.errors.clear()
        gpu_machine.look()
        assert gpu_machine.gpus() == ((0, 1), [0, 1])
        assert gpu_machine.seen(gpu_machine.submit(harness.shows_gpus())) == "GPU-aaaa"


class GpuNodesHarness(GpuHarness, NodesHarness, Protocol):
    """The promises of an engine that runs multi-node jobs."""


class GpuNodeConformance:
    """Nodes with GPUs. `pool`: where the engine's nodes have their addresses."""

    pool: IPv4Network

    def start(self, harness: GpuNodesHarness, gpus: tuple[Gpu, ...], script: str, **members: Any) -> list[str]:
        """Runs a main node with these GPUs; returns its lines."""
        number = next(_numbers)
        attempt_id = f"{number:032x}"
        first = choose(self.pool, 2, attempt_id, [])
        gang = Gang(0, (first, address_of(first, 1)), (1, 1))
        task = harness.shell(script, **members)
        task = replace(task, resources=replace(task.resources, gpus=len(gpus)))
        devices = tuple(gpu.device_id for gpu in gpus)
        launch = Launch(AttemptNode(attempt_id), number, task, (), device_ids=devices, gang=gang)
        harness.engine.launch([replace(launch, gpus=gpus, gpu_vendor=NVIDIA)])
        assert codes(wait_for_end(harness, attempt_id)) == {"default": 0}
        return harness.words(attempt_id)

    def test_torchrun_starts_one_process_a_gpu_and_nccl_is_left_alone(self, harness: GpuNodesHarness) -> None:
        pair = (Gpu(0, 0, NVIDIA, "GPU-aaaa"), Gpu(1, 1, NVIDIA, "GPU-bbbb"))
        script = 'echo "$NVIDIA_VISIBLE_DEVICES $PET_NPROC_PER_NODE $NNODES"; env | grep ^NCCL_ || true'
        assert self.start(harness, pair, script) == ["GPU-aaaa,GPU-bbbb 2 2"], "none of NCCL's is set here"
        own = (("NCCL_DEBUG", "INFO"), ("NCCL_SOCKET_IFNAME", "eth7"), ("PET_NPROC_PER_NODE", "1"))
        first, *nccl = self.start(harness, pair, script, environment=own)
        assert first == "GPU-aaaa,GPU-bbbb 1 2"
        assert sorted(nccl) == ["NCCL_DEBUG=INFO", "NCCL_SOCKET_IFNAME=eth7"]

    def test_a_node_without_a_gpu_has_no_number_of_processes(self, harness: GpuNodesHarness) -> None:
        assert self.start(harness, (), 'echo "${PET_NPROC_PER_NODE-none}"') == ["none"]
