"""How containers get GPUs: by what the daemon has, of made-up answers; and what a real daemon without any says."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchyard.core.jobs.attempts import REASON_CHARACTERS
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.gpus import AMD, NVIDIA, Gpu
from batchyard.core.model.node_addresses import NETWORK_POOL
from batchyard.core.model.records import TaskSpec, containers_of
from batchyard.core.model.reports import Exited, NotStarted
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch
from batchyard.engines.docker.containers import Placing, create_request
from batchyard.engines.docker.gpus import access_of, device_requests, note_of
from batchyard.engines.start_failures import CannotStart
from tests.engines.conformance import launch_of, wait_for_end
from tests.engines.docker_harness import DockerHarness
from tests.engines.dockerd import IMAGE, Dockerd, busybox_files, our_own
from tests.engines.gpu_conformance import GpuConformance, GpuNodeConformance

PAIR = (Gpu(0, 0, NVIDIA, "GPU-a"), Gpu(7, 1, NVIDIA, "GPU-b"))
CUDA_FIRST = ("CUDA_VISIBLE_DEVICES", "0")
INSTINCT = (Gpu(0, 0, AMD, "GPU-c"),)
BARE: dict[str, Any] = {"Runtimes": {"runc": {}}, "DefaultRuntime": "runc"}
RUNTIME: dict[str, Any] = {"Runtimes": {"runc": {}, "nvidia": {}}, "DefaultRuntime": "runc"}


def cdi(*names: str) -> dict[str, Any]:
    listed = [{"Source": "cdi", "ID": name} for name in names]
    return BARE | {"CDISpecDirs": ["/etc/cdi"], "DiscoveredDevices": listed}


BY_UUID = cdi("nvidia.com/gpu=0", "nvidia.com/gpu=GPU-a", "nvidia.com/gpu=1", "nvidia.com/gpu=GPU-b")


@pytest.mark.parametrize(
    ("info", "gpus", "requests", "note"),
    [
        (
            RUNTIME,
            PAIR,
            {"Driver": "nvidia", "DeviceIDs": ["GPU-a", "GPU-b"], "Capabilities": [["gpu"]]},
            "GPUs by the runtime nvidia",
        ),
        (
            BY_UUID,
            PAIR,
            {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-a", "nvidia.com/gpu=GPU-b"]},
            "GPUs by CDI (nvidia.com/gpu)",
        ),
        (
            cdi("nvidia.com/gpu=0", "nvidia.com/gpu=1"),
            PAIR[1:],
            {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=1"]},
            "GPUs by CDI (nvidia.com/gpu)",
        ),
        (
            BARE | {"CDISpecDirs": ["/etc/cdi"]},
            PAIR[:1],
            {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-a"]},
            "GPUs by CDI, whose devices it does not list",
        ),
        (
            cdi("amd.com/gpu=0", "amd.com/gpu=all"),
            INSTINCT,
            {"Driver": "cdi", "DeviceIDs": ["amd.com/gpu=0"]},
            "GPUs by CDI (amd.com/gpu)",
        ),
        (
            BARE | {"CDISpecDirs": [], "DiscoveredDevices": None},
            (Gpu(3, 3),),
            {"Driver": "nvidia", "DeviceIDs": ["3"], "Capabilities": [["gpu"]]},
            "neither the runtime nvidia nor CDI devices for GPUs",
        ),
    ],
)
def test_devices_are_asked_for_as_the_daemon_gives_them(
    info: dict[str, Any], gpus: tuple[Gpu, ...], requests: dict[str, Any], note: str
) -> None:
    assert device_requests(access_of(info), gpus, "main") == [requests]
    assert note_of(access_of(info)) == note


def test_a_device_that_the_daemon_does_not_know_is_a_reason_with_a_remedy() -> None:
    with pytest.raises(CannotStart, match=r"no CDI device nvidia\.com/gpu=GPU-b; generate its specification") as why:
        device_requests(access_of(cdi("nvidia.com/gpu=GPU-a")), PAIR, "main")
    assert why.value.container == "main"
    with pytest.raises(CannotStart, match=r"no CDI devices amd\.com/gpu; install amd-container-toolkit"):
        device_requests(access_of(RUNTIME), INSTINCT, "main")


def variables_of(launch: Launch, info: dict[str, Any]) -> dict[str, str]:
    placing = Placing("me", 1, 1, gpu_access=access_of(info))
    body = create_request(launch, containers_of(launch.task)[0], placing)
    return dict(pair.split("=", 1) for pair in body["Env"])


def test_a_container_without_gpus_gets_none_of_nvidias_default_runtime() -> None:
    own = (("NVIDIA_VISIBLE_DEVICES", "all"), ("CUDA_VISIBLE_DEVICES", "0"))
    bare = Launch(AttemptNode("a" * 32), 1, TaskSpec(("true",), own, Resources(1000, 64), image="tool:1"), ())
    default = RUNTIME | {"DefaultRuntime": "nvidia"}
    assert variables_of(bare, default)["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert variables_of(bare, RUNTIME)["NVIDIA_VISIBLE_DEVICES"] == "all", "another runtime does not read it"
    task = TaskSpec(("true",), own, Resources(1000, 64, 1), image="tool:1")
    with_one = replace(bare, task=task, device_ids=(7,), gpus=PAIR, gpu_vendor=NVIDIA)
    found = variables_of(with_one, default)
    assert (found["NVIDIA_VISIBLE_DEVICES"], found["CUDA_VISIBLE_DEVICES"]) == ("GPU-b", "0")


def test_a_daemon_without_a_way_is_a_reason_with_a_remedy(docker: DockerHarness) -> None:
    task = docker.program("true")
    task = replace(task, resources=replace(task.resources, gpus=1))
    launch = replace(launch_of(task), device_ids=(0,), gpus=PAIR, gpu_vendor=NVIDIA)
    docker.engine.launch([launch])
    final = wait_for_end(docker, launch.attempt_id)
    assert isinstance(final, NotStarted), final
    assert 'could not select device driver "nvidia"' in final.reason
    assert final.reason[:REASON_CHARACTERS].endswith(
        "install nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker` and restart Docker."
    )


HOOK = """#!/bin/sh
bundle=$(sed 's/.*"bundle":"\\([^"]*\\)".*/\\1/')
cp "$bundle/config.json" {kept}
"""


@pytest.fixture(scope="module")
def gpu_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dockerd, Path]]:
    """A daemon that finds NVIDIA's hook, which here only keeps what the daemon gives to runc, in this file."""
    tools = tmp_path_factory.mktemp("tools")
    hook, kept = tools / "nvidia-container-runtime-hook", tools / "config.json"
    hook.write_text(HOOK.format(kept=kept))
    hook.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        daemon = our_own()
    try:
        daemon.import_image(IMAGE, busybox_files(), "ENV PATH=/bin")
        yield daemon, kept
    finally:
        daemon.end()


@pytest.fixture
def harness(gpu_daemon: tuple[Dockerd, Path], tmp_path: Path) -> Iterator[DockerHarness]:
    harness = DockerHarness(tmp_path, gpu_daemon[0])
    yield harness
    harness.close()


class TestDocker(GpuConformance, GpuNodeConformance):
    pool = NETWORK_POOL


def test_a_real_daemon_gives_the_devices_that_are_named_by_uuid(
    harness: DockerHarness, gpu_daemon: tuple[Dockerd, Path]
) -> None:
    task = harness.shell("echo $NVIDIA_VISIBLE_DEVICES $CUDA_VISIBLE_DEVICES", environment=(CUDA_FIRST,))
    task = replace(task, resources=replace(task.resources, gpus=1))
    launch = replace(launch_of(task), device_ids=(7,), gpus=PAIR, gpu_vendor=NVIDIA)
    harness.engine.launch([launch])
    final = wait_for_end(harness, launch.attempt_id)
    assert isinstance(final, Exited), final
    assert harness.words(launch.attempt_id) == ["GPU-b 0"]
    given = json.loads(gpu_daemon[1].read_text())["process"]["env"]
    assert "NVIDIA_VISIBLE_DEVICES=GPU-b" in given
