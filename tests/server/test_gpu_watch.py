"""GPUs that fall off the bus while the service runs: by a made-up NVML, which a real server loads as NVIDIA's."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.model.commands import Command, NoteGpuUse, SetGpus
from batchyard.core.model.gpus import GpuSample
from batchyard.engines.gpus import GpuFinder
from batchyard.loop import Busy, Stopped
from batchyard.server.engines import gpu_watch
from batchyard.server.engines.gpu_watch import GpuWatch
from batchyard.server.settings.offered_gpus import offer_and_remember
from tests.engines.fake_nvml import LOST, NO_DRIVER, UNKNOWN, FakeNvml
from tests.server.running import Server, command
from tests.waiting import until

ROOT = Path(__file__).parents[2]
H100 = "NVIDIA H100 80GB HBM3"
FIRST, SECOND = ("GPU-aaaa", H100, 80), ("GPU-bbbb", H100, 80)


class Watched:
    """A watch over a made-up NVML, and the commands that it gives."""

    def __init__(self, directory: Path, nvml: FakeNvml) -> None:
        finder = GpuFinder(load=lambda: nvml, run=lambda command: None, root=directory)
        self.asked: list[Command[None]] = []
        self.in_use: set[int] = set()
        self.refusals: list[Exception] = []
        self.was_asked = asyncio.Event()
        self.watch = GpuWatch(
            offer_and_remember(finder.find(), None, directory), self._ask, lambda: self.in_use, finder
        )

    async def _ask(self, command: Command[None]) -> None:
        if self.refusals:
            raise self.refusals.pop()
        self.asked.append(command)
        self.was_asked.set()

    def look(self) -> None:
        asyncio.run(self.watch.look())


@pytest.fixture
def nvml() -> FakeNvml:
    return FakeNvml(FIRST, SECOND)


def test_a_loss_and_a_return_are_reported_once(
    tmp_path: Path, nvml: FakeNvml, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Watched(tmp_path, nvml)
    watched.look()
    assert watched.asked == []
    nvml.errors[0] = LOST
    watched.look()
    watched.look()
    assert watched.asked == [SetGpus((1,), (0,))]
    assert capsys.readouterr().err == f"batchyard: The GPU GPU-aaaa ({H100}) is lost; jobs that use it are stopped.\n"
    nvml.errors.clear()
    watched.look()
    assert watched.asked[1:] == [SetGpus((0, 1), ())]
    assert capsys.readouterr().err == f"batchyard: The GPU GPU-aaaa ({H100}) is back.\n"


def test_a_shorter_list_is_a_loss_too(tmp_path: Path, nvml: FakeNvml) -> None:
    watched = Watched(tmp_path, nvml)
    nvml.gpus = [SECOND]
    watched.look()
    assert watched.asked == [SetGpus((1,), (0,))]


@pytest.mark.parametrize("error", [UNKNOWN, NO_DRIVER])
def test_a_tool_that_does_not_answer_takes_nothing_away(tmp_path: Path, nvml: FakeNvml, error: int) -> None:
    watched = Watched(tmp_path, nvml)
    nvml.init_error = error
    watched.look()
    nvml.init_error, nvml.errors[1] = 0, UNKNOWN
    watched.look()
    assert watched.asked == []


def test_a_tool_that_does_not_answer_is_reported_once(
    tmp_path: Path, nvml: FakeNvml, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Watched(tmp_path, nvml)
    nvml.errors[1] = UNKNOWN
    watched.look()
    watched.look()
    said = "The GPUs can't be looked at: NVML: Unknown Error. The loss of one is not noticed meanwhile."
    assert capsys.readouterr().err == f"batchyard: {said}\n"
    nvml.errors.clear()
    watched.look()
    assert capsys.readouterr().err == "batchyard: The GPUs are looked at again.\n"
    nvml.init_error = NO_DRIVER
    watched.look()
    assert "can't be looked at" in capsys.readouterr().err


def test_an_error_at_the_end_of_a_look_is_a_tool_that_does_not_answer(tmp_path: Path, nvml: FakeNvml) -> None:
    watched = Watched(tmp_path, nvml)
    nvml.shutdown_error = UNKNOWN
    watched.look()
    assert watched.asked == []


def test_a_busy_loop_gets_it_later(tmp_path: Path, nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_watch, "BUSY_SECONDS", 0.0)
    watched = Watched(tmp_path, nvml)
    nvml.errors[1] = LOST
    watched.refusals = [Busy(), Busy()]
    watched.look()
    assert watched.asked == [SetGpus((0,), (1,))]
    nvml.errors[0] = LOST
    watched.refusals = [Stopped()]
    watched.look()
    assert len(watched.asked) == 1


def test_what_was_lost_without_a_service_is_reported_at_the_start(tmp_path: Path, nvml: FakeNvml) -> None:
    Watched(tmp_path, nvml)
    nvml.errors[0] = LOST
    watched = Watched(tmp_path, nvml)

    async def start() -> None:
        running = asyncio.create_task(watched.watch.run())
        await watched.was_asked.wait()
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(start())
    assert watched.asked == [SetGpus((1,), (0,))]


def test_use_is_noted_of_gpus_that_jobs_have(tmp_path: Path, nvml: FakeNvml) -> None:
    watched = Watched(tmp_path, nvml)
    nvml.use = {0: (1, 10), 1: (2, 20)}
    watched.look()
    assert watched.asked == []
    watched.in_use = {1}
    watched.look()
    assert watched.asked == [NoteGpuUse((GpuSample(1, 2048, 20),))]


def test_without_uuids_nothing_is_watched(tmp_path: Path) -> None:
    watched = Watched(tmp_path, FakeNvml())
    asyncio.run(watched.watch.run())
    assert watched.asked == []


MODULE = """
import json, sys
from pathlib import Path
from batchyard.server.engines import gpu_watch
from tests.engines.fake_nvml import FakeNvml

gpu_watch.NVML_LOOK_SECONDS = 0.05

class FromFile(FakeNvml):
    def nvmlInit(self):
        state = json.loads(Path(__file__).with_name("gpus.json").read_text())
        self.gpus = [tuple(gpu) for gpu in state["gpus"]]
        self.errors = {int(index): error for index, error in state["errors"].items()}
        self.use = {0: (3, 70), 1: (5, 40)}
        super().nvmlInit()

sys.modules[__name__] = FromFile()
"""


class Machine:
    """A machine with two GPUs, and a server on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "modules").mkdir()
        (directory / "modules" / "pynvml.py").write_text(MODULE)
        self.set()
        variables = {"PYTHONPATH": f"{directory / 'modules'}:{ROOT}"}
        self.server = Server(directory, "--vcpus", "8", "--memory", "1024", variables=variables)

    def set(self, **errors: int) -> None:
        state = {"gpus": [FIRST, SECOND], "errors": {name.removeprefix("gpu"): error for name, error in errors.items()}}
        path = self.directory / "modules" / "gpus.json"
        path.with_suffix(".new").write_text(json.dumps(state))
        path.with_suffix(".new").replace(path)

    def submit(self, name: str) -> str:
        """A job of one GPU that notes which it sees, and runs until a file of its name is there."""
        seen, end = self.directory / f"{name}.seen", self.directory / f"{name}.end"
        script = (
            f"echo $CUDA_VISIBLE_DEVICES > {seen}.new; mv {seen}.new {seen}; until [ -e {end} ]; do sleep 0.05; done"
        )
        asked = {"jobName": name, "command": ["sh", "-c", script], "vcpus": 1, "memory": 64, "gpus": 1}
        return str(self.server.call("RunJob", asked, "/yard/v1/")["jobId"])

    def seen(self, name: str) -> str:
        path = self.directory / f"{name}.seen"
        until(path.exists)
        return path.read_text().strip()

    def job(self, job_id: str) -> Any:
        return self.server.call("DescribeJobs", {"jobs": [job_id]})["jobs"][0]

    def uuids(self) -> list[str]:
        (host,) = self.server.call("ListInstances", {}, "/yard/v1/")["instances"]
        return [gpu["uuid"] for gpu in host["gpus"]]


def test_a_lost_gpu_ends_its_job_and_no_gpu_is_given_twice(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with machine.server as server:
        assert f"GPUs       2 × {H100} (80.0 GiB)" in server.said()
        one, two = machine.submit("one"), machine.submit("two")
        assert (machine.seen("one"), machine.seen("two")) == ("GPU-aaaa", "GPU-bbbb")
        machine.set(gpu0=LOST)
        until(lambda: machine.job(one)["status"] == "FAILED")
        lost = machine.job(one)
        assert lost["statusReason"].startswith("Host EC2 (instance i-")
        assert "exitCode" not in lost["attempts"][0]["container"]
        assert machine.uuids() == ["GPU-bbbb"]
        server.signal(signal.SIGKILL)
        server.start()
        assert machine.job(two)["status"] == "RUNNING"
        three = machine.submit("three")
        until(lambda: machine.job(three)["status"] == "RUNNABLE")
        assert not (tmp_path / "three.seen").exists()
        (tmp_path / "two.end").touch()
        assert machine.seen("three") == "GPU-bbbb"
        assert machine.job(two)["status"] == "SUCCEEDED"
        (attempt,) = server.call("ListAttempts", {"jobId": two}, "/yard/v1/")["attempts"]
        assert attempt["gpu"] == {"peakMemory": 5 * 1024, "utilization": 40}
        assert (
            "GPU, attempt 1: 5120 MiB, 40 % busy"
            in command(tmp_path, "describe", two, BATCHYARD_URL=server.address).stdout
        )
        (tmp_path / "three.end").touch()
        until(lambda: machine.job(three)["status"] == "SUCCEEDED")


def test_each_node_of_a_gang_has_its_own_and_a_jobs_own_value_selects(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with machine.server as server:
        own = f"{tmp_path}/node-$AWS_BATCH_JOB_NODE_INDEX"
        notes = f"echo $CUDA_VISIBLE_DEVICES $NCCL_DEBUG > {own}.new; mv {own}.new {own}"
        script = f"{notes}; until [ -e {tmp_path}/node-1 ]; do sleep 0.05; done"  # the others end with the main node
        requirements = [
            {"type": kind, "value": value} for kind, value in (("VCPU", "1"), ("MEMORY", "64"), ("GPU", "1"))
        ]
        container = {
            "image": "any",
            "command": ["sh", "-c", script],
            "resourceRequirements": requirements,
            "environment": [{"name": "CUDA_VISIBLE_DEVICES", "value": "0"}, {"name": "NCCL_DEBUG", "value": "INFO"}],
        }
        nodes = {
            "numNodes": 2,
            "mainNode": 0,
            "nodeRangeProperties": [{"targetNodes": "0:1", "container": container}],
        }
        definition = {"jobDefinitionName": "training", "type": "multinode", "nodeProperties": nodes}
        server.call("RegisterJobDefinition", definition)
        asked = {"jobName": "training", "jobQueue": "default", "jobDefinition": "training"}
        job_id = server.call("SubmitJob", asked)["jobId"]
        until(lambda: machine.job(job_id)["status"] in ("SUCCEEDED", "FAILED"))
        assert machine.job(job_id)["status"] == "SUCCEEDED", machine.job(job_id)
        seen = [(tmp_path / f"node-{node}").read_text() for node in (0, 1)]
        assert seen == ["GPU-aaaa INFO\n", "GPU-bbbb INFO\n"]
