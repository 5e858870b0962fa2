"""What containers used is measured: from their cgroups' files, or by asking Docker (AWS Batch behaviour has no such
numbers; they are this service's)."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import ContainerSpec, TaskSpec
from batchyard.core.model.reports import ContainerExit, Exited
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Recovery
from batchyard.engines.docker import task_run
from batchyard.engines.docker.containers import Seen, State
from batchyard.engines.docker.usage import Meter, cpu_ms_of
from tests.engines.conformance import is_started, launch_of, wait_for_end
from tests.engines.docker_harness import DEADLINE_SECONDS, POLL_SECONDS, DockerHarness
from tests.engines.dockerd import IMAGE

MIB = 1024 * 1024
ID = "c" * 64
WORKED = {"cpu_usage": {"total_usage": 5_000_000}}  # nanoseconds
# Fills so much memory, which its cgroup remembers.
HUNGRY = "head -c 40000000 /dev/zero | tail -c 40000000 > /dev/null"
BUSY = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
# Goes on until the test has seen what it wanted to see.
AND_STAYS = "echo ready; exec sleep 1000"


def running(docker: DockerHarness, task: TaskSpec, *containers: str) -> str:
    """Launches it; returns when each of its containers is ready, and was measured since."""
    launch = launch_of(task)
    docker.engine.launch([launch])
    docker.until(lambda: all(docker.words(launch.attempt_id, name) == ["ready"] for name in containers))
    run = docker.engine._runs[launch.attempt_id]
    docker.until(lambda: all(name in run.meters for name in containers))
    for name in containers:
        run.meters[name].read()
    return launch.attempt_id


def stopped(docker: DockerHarness, attempt_id: str) -> tuple[ContainerExit, ...]:
    docker.engine.stop(AttemptNode(attempt_id), 30)
    final = wait_for_end(docker, attempt_id)
    assert isinstance(final, Exited), final
    return final.containers


def test_memory_and_time_of_a_container_are_measured(docker: DockerHarness) -> None:
    task = docker.shell(f"{HUNGRY}; {BUSY}; {AND_STAYS}", memory_mib=200)
    (exit,) = stopped(docker, running(docker, task, "default"))
    assert 38 <= exit.peak_memory_mib <= 90
    assert exit.cpu_ms > 50


def test_each_container_of_a_task_has_its_own(docker: DockerHarness) -> None:
    containers = tuple(
        ContainerSpec(name, ("sh", "-c", script), resources=Resources(1000, 200), image=IMAGE)
        for name, script in (("large", f"{HUNGRY}; {AND_STAYS}"), ("small", AND_STAYS))
    )
    task = TaskSpec((), (), Resources(2000, 400), containers=containers)
    large, small = stopped(docker, running(docker, task, "large", "small"))
    assert large.peak_memory_mib >= 38 > small.peak_memory_mib > 0


def test_a_new_server_goes_on_measuring(docker: DockerHarness) -> None:
    """What was used before it is in the cgroup's own highest."""
    launch = launch_of(docker.shell(f"{HUNGRY}; {AND_STAYS}", memory_mib=200))
    docker.engine.launch([launch])
    docker.until(lambda: docker.words(launch.attempt_id) == ["ready"])
    docker.drop()
    docker.connect(2)
    docker.engine.recover([Recovery(launch, may_launch=True, known_started=True)])
    docker.until(lambda: is_started(docker, launch.attempt_id))
    (exit,) = stopped(docker, launch.attempt_id)
    assert exit.peak_memory_mib >= 38


def test_docker_is_asked_where_the_files_can_not_be_read(
    docker: DockerHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(task_run, "Meter", lambda: Meter(tmp_path / "no-proc"))
    task = docker.shell(f"{HUNGRY}; {BUSY}; {AND_STAYS}", memory_mib=200)
    attempt_id = running(docker, task, "default")
    run = docker.engine._runs[attempt_id]
    run.wake()  # as after an event, or STATS_SECONDS
    docker.until(lambda: run.meters["default"].cpu_ms > 50)
    (exit,) = stopped(docker, attempt_id)
    assert exit.peak_memory_mib >= 30
    assert exit.cpu_ms > 50


def test_what_is_used_up_to_the_end_counts(tmp_path: Path) -> None:
    """The end of the first process is noticed by itself, and the files are read once more."""

    async def watch() -> Meter:
        child = await asyncio.create_subprocess_exec("sleep", "1000")
        proc = version_2(tmp_path, child.pid, memory_peak="1\n", cpu_stat="usage_usec 0\n")
        meter = Meter(proc)
        meter.open(seen(pid=child.pid), asyncio.get_running_loop())
        (tmp_path / "cg" / f"docker-{ID}.scope" / "memory.peak").write_text(f"{7 * MIB}\n")
        child.kill()
        await child.wait()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while meter.is_open:
            assert time.monotonic() < deadline, "its end was never noticed"
            await asyncio.sleep(POLL_SECONDS)
        return meter

    meter = asyncio.run(watch())
    assert (meter.peak_memory_mib, meter.needs_asking) == (7, False)


def version_2(tmp_path: Path, pid: int = os.getpid(), **files: str) -> Path:
    """A /proc in which this process is the container's, and its cgroup's files."""
    place = tmp_path / "cg" / f"docker-{ID}.scope"
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name.replace("_", ".")).write_text(text)
    proc = tmp_path / "proc"
    for name in ("self", str(pid)):
        (proc / name).mkdir(parents=True)
    mount = f"25 30 0:26 / {tmp_path}/cg rw - cgroup2 cgroup2 rw,nsdelegate"
    (proc / "self" / "mountinfo").write_text(f"{mount}\n")
    (proc / str(pid) / "cgroup").write_text(f"0::/docker-{ID}.scope\n")
    return proc


def seen(container_id: str = ID, pid: int = os.getpid()) -> Seen:
    return Seen("default", State.RUNNING, container_id, pid=pid)


def test_files_of_version_2(tmp_path: Path) -> None:
    proc = version_2(tmp_path, memory_peak=f"{3 * MIB + 1}\n", cpu_stat="usage_usec 1234567\nuser_usec 1\n")
    meter = Meter(proc)
    meter.open(seen())
    assert (meter.peak_memory_mib, meter.cpu_ms, meter.needs_asking) == (4, 1234, False)
    meter.close()


def test_without_a_peak_of_the_kernels_the_highest_that_was_read_counts(tmp_path: Path) -> None:
    proc = version_2(tmp_path, memory_current=f"{5 * MIB}\n", cpu_stat="usage_usec 1\n")
    meter = Meter(proc)
    meter.open(seen())
    (tmp_path / "cg" / f"docker-{ID}.scope" / "memory.current").write_text(f"{2 * MIB}\n")
    meter.read()
    meter.close()
    assert meter.peak_memory_mib == 5


def test_a_process_of_another_container_is_not_measured(tmp_path: Path) -> None:
    """A pid from a daemon in a virtual machine is another process's here."""
    meter = Meter(version_2(tmp_path, memory_peak="1\n", cpu_stat="usage_usec 1\n"))
    meter.open(seen("d" * 64))
    assert (meter.is_open, meter.needs_asking, meter.peak_memory_mib) == (False, True, 0)


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        ({"memory_stats": {"max_usage": 3 * MIB, "usage": MIB}, "cpu_stats": WORKED}, (3, 5)),
        ({"memory_stats": {"usage": MIB}, "cpu_stats": {"cpu_usage": {}}}, (1, 0)),
        ({"memory_stats": {}, "cpu_stats": None}, (0, 0)),
    ],
)
def test_dockers_own_words(stats: dict[str, object], expected: tuple[int, int]) -> None:
    meter = Meter()
    meter.take(stats)
    assert (meter.peak_memory_mib, meter.cpu_ms) == expected


def test_both_ways_to_write_a_time() -> None:
    assert cpu_ms_of(b"1234567890\n") == 1234
    assert cpu_ms_of(b"nr_periods 0\nusage_usec 7654321\n") == 7654
