"""Daemon and server die at any moment: nothing runs twice, nothing is lost that Docker still knows, nothing leaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchyard import failpoints
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.reports import Exited, Lost, NotStarted
from batchyard.engines.base import RECOVERED_SILENT, Launch, Recovery, StaleEpochError
from batchyard.engines.docker import engine as engine_module
from batchyard.engines.docker import logs as logs_module
from batchyard.engines.docker import task_run as task_run_module
from batchyard.engines.docker.api import ApiError
from tests.engines.conformance import final_of, is_started, launch_of, run_to_end, wait_for_end, wait_for_run
from tests.engines.docker_child import WITH_PODS, pod_of
from tests.engines.docker_harness import DockerHarness
from tests.engines.dockerd import IMAGE, Dockerd

ROOT = Path(__file__).parents[2]
ATTEMPTS = [f"{number:032x}" for number in range(0xC0, 0xC6)]


@pytest.fixture
def mortal(tmp_path: Path, own_dockerd: Dockerd) -> Iterator[DockerHarness]:
    """On a daemon that may be killed."""
    harness = DockerHarness(tmp_path, own_dockerd)
    yield harness
    harness.close()


# -- the daemon --


def test_a_job_outlives_the_daemon_and_its_exit_code_is_read_afterwards(mortal: DockerHarness) -> None:
    script = "trap 'echo after; exit 5' TERM; echo before; while :; do sleep 0.02; done"
    running = launch_of(mortal.traced("", script))
    ends = launch_of(mortal.traced("", "while [ ! -e /trace/go ]; do sleep 0.02; done; exit 6"), "e" * 32)
    mortal.engine.launch([running, ends])
    wait_for_run(mortal, running.attempt_id)
    wait_for_run(mortal, ends.attempt_id)
    mortal.daemon.kill()
    (mortal.trace_dir / "go").touch()
    late = launch_of(mortal.exits(3))
    mortal.engine.launch([late])
    mortal.engine.stop(running.attempt_node, 30)
    mortal.daemon.start()
    for launch, code in ((running, 5), (ends, 6), (late, 3)):
        final = wait_for_end(mortal, launch.attempt_id)
        assert isinstance(final, Exited)
        assert final.containers[0].exit_code == code
        assert mortal.runs(launch.attempt_id) == 1
    assert mortal.words(running.attempt_id) == ["before", "after"]


def test_a_daemon_that_ends_its_containers_says_how_they_ended(mortal: DockerHarness) -> None:
    launch = launch_of(mortal.sleeps())
    mortal.engine.launch([launch])
    wait_for_run(mortal, launch.attempt_id)
    mortal.daemon.kill()
    mortal.daemon.start(live_restore=False)
    final = wait_for_end(mortal, launch.attempt_id)
    assert isinstance(final, Exited)
    assert final.containers[0].exit_code != 0
    assert mortal.runs(launch.attempt_id) == 1
    mortal.daemon.kill()
    mortal.daemon.start()


def test_an_end_that_went_down_with_the_daemon_is_lost(mortal: DockerHarness) -> None:
    """Docker makes up a code of 255 then."""
    launch = launch_of(mortal.sleeps())
    mortal.engine.launch([launch])
    wait_for_run(mortal, launch.attempt_id)
    program = int(mortal.inspect(f"batchyard-{launch.attempt_id}")["State"]["Pid"])
    shim = int(Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[1])
    mortal.daemon.kill()
    for pid in (shim, program):  # who would have known the code, and who had it
        os.kill(pid, signal.SIGKILL)
    mortal.daemon.start()
    final = wait_for_end(mortal, launch.attempt_id)
    assert isinstance(final, Lost)
    assert final.reason == task_run_module.UNRECORDED_END
    assert final.started_at_ms > 0


@pytest.mark.parametrize("is_served", [True, False])
def test_a_start_that_went_down_with_the_daemon_is_not_repeated(mortal: DockerHarness, is_served: bool) -> None:
    """Docker shows the container as created then, as if it had never run."""
    launch = launch_of(mortal.sleeps())
    mortal.engine.launch([launch])
    wait_for_run(mortal, launch.attempt_id)
    if not is_served:
        mortal.drop()
    found = mortal.inspect(f"batchyard-{launch.attempt_id}")
    program = int(found["State"]["Pid"])
    shim = int(Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[1])
    mortal.daemon.kill()
    for pid in (shim, program):
        os.kill(pid, signal.SIGKILL)
    forget_start(mortal.daemon, found["Id"])
    mortal.daemon.start()
    assert mortal.inspect(f"batchyard-{launch.attempt_id}")["State"]["Status"] == "created"
    if not is_served:
        mortal.connect(2)  # the report of the start was never committed
        mortal.engine.recover([Recovery(launch, may_launch=True, known_started=False)])
    final = wait_for_end(mortal, launch.attempt_id)
    assert isinstance(final, Lost)
    assert final.reason == task_run_module.UNRECORDED_START
    assert mortal.runs(launch.attempt_id) == 1


def forget_start(daemon: Dockerd, container_id: str) -> None:
    """What a daemon that is dead has written down of a container is made what it was before the start."""
    assert daemon._root is not None
    path = daemon._root / "data" / "containers" / container_id / "config.v2.json"
    document = json.loads(path.read_text())
    never = "0001-01-01T00:00:00Z"
    document["State"] |= {"Running": False, "Pid": 0, "StartedAt": never, "FinishedAt": never, "ExitCode": 0}
    path.write_text(json.dumps(document))


def test_a_program_may_end_with_255(docker: DockerHarness) -> None:
    final = run_to_end(docker, docker.exits(255))
    assert isinstance(final, Exited)
    assert final.containers[0].exit_code == 255


def test_without_a_daemon_the_engine_says_so(
    docker: DockerHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience_seconds = engine_module.CONNECT_SECONDS
    monkeypatch.setattr(engine_module, "CONNECT_SECONDS", 0.2)
    there, docker.daemon = docker.daemon, Dockerd(tmp_path / "nobody.sock")
    with pytest.raises(OSError, match=r"no Docker daemon answered within 0.2 s.*nobody.sock"):
        docker.connect(2)
    monkeypatch.setattr(engine_module, "CONNECT_SECONDS", patience_seconds)
    docker.daemon = there
    docker.engines.pop()
    docker.connect(2)


# -- the server --


def killed_at(docker: DockerHarness, point: str, times: int = 1, **more: str) -> None:
    """Another server launches ATTEMPTS and dies at the point."""
    docker.drop()
    variables = {**os.environ, failpoints.VARIABLE: f"{point}=crash@{times}", **more}
    command = [sys.executable, "-m", "tests.engines.docker_child", str(docker.daemon.socket_path), str(docker.root)]
    died = subprocess.run([*command, *ATTEMPTS], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("point", ["after-create-before-start", "after-start-before-report"])
def test_a_server_killed_in_the_middle_of_its_launches(docker: DockerHarness, point: str, times: int) -> None:
    killed_at(docker, point, times)
    docker.connect(2)
    launches = [Launch(AttemptNode(attempt), 1, docker.exits(7), ()) for attempt in ATTEMPTS]
    docker.engine.recover([Recovery(launch, may_launch=True, known_started=False) for launch in launches])
    for attempt in ATTEMPTS:
        final = wait_for_end(docker, attempt)
        assert isinstance(final, Exited), final
        assert final.containers[0].exit_code == 7
    assert [docker.runs(attempt) for attempt in ATTEMPTS] == [1] * len(ATTEMPTS)
    docker.engine.acknowledge([AttemptNode(attempt) for attempt in ATTEMPTS])
    docker.settle()
    assert docker.containers() == []


def name_taken_for(docker: DockerHarness, times: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The daemon refuses a container's name so often before it makes one, as while it carries out the request of a
    server that died: its name is taken, and there is no such container yet. Returns the names asked for."""
    api, asked = docker.engine._daemon.api, list[str]()
    plain = api.json

    async def refusing(method: str, path: str, query: Any = None, body: Any = None) -> Any:
        if path == "/containers/create":
            asked.append(query["name"])
            if len(asked) <= times:
                raise ApiError(409, f'Conflict. The container name "/{query["name"]}" is already in use')
        return await plain(method, path, query, body)

    monkeypatch.setattr(api, "json", refusing)
    return asked


def test_a_name_that_a_dead_server_took_is_waited_for(docker: DockerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = name_taken_for(docker, 3, monkeypatch)
    final = run_to_end(docker, docker.exits(7))
    assert isinstance(final, Exited), final
    assert final.containers[0].exit_code == 7
    assert len(asked) == 4


def test_a_name_that_stays_taken_is_the_reason(docker: DockerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_run_module, "NAME_TAKEN_SECONDS", 0.0)
    name_taken_for(docker, 1, monkeypatch)
    final = run_to_end(docker, docker.exits(7))
    assert isinstance(final, NotStarted), final
    assert "is already in use" in final.reason


@pytest.mark.parametrize("times", [1, 2, 8])
@pytest.mark.parametrize("point", ["after-create-before-start", "after-start-before-report"])
def test_a_server_killed_in_the_middle_of_its_pods(docker: DockerHarness, point: str, times: int) -> None:
    killed_at(docker, point, times, **{WITH_PODS: "1"})
    docker.connect(2)
    launches = [Launch(AttemptNode(attempt), 1, pod_of(docker), ()) for attempt in ATTEMPTS]
    docker.engine.recover([Recovery(launch, may_launch=True, known_started=False) for launch in launches])
    for attempt in ATTEMPTS:
        final = wait_for_end(docker, attempt)
        assert isinstance(final, Exited), final
        assert {one.name: one.exit_code for one in final.containers} == {"first": 0, "then": 7, "pause": 143}
        for name in ("first", "then", "pause"):
            assert docker.words(attempt, name) == [name], "it ran once"
    docker.engine.acknowledge([AttemptNode(attempt) for attempt in ATTEMPTS])
    docker.settle()
    assert docker.containers() == []


def test_what_was_created_and_is_not_wanted_any_more_is_not_started(docker: DockerHarness) -> None:
    killed_at(docker, "after-create-before-start")
    assert docker.containers(), "the story begins with containers that nobody has started"
    docker.connect(2)
    launches = [Launch(AttemptNode(attempt), 1, docker.exits(7), ()) for attempt in ATTEMPTS]
    docker.engine.recover([Recovery(launch, may_launch=False, known_started=False) for launch in launches])
    finals = [wait_for_end(docker, attempt) for attempt in ATTEMPTS]
    assert finals[0] == NotStarted(ATTEMPTS[0], finals[0].at_ms, RECOVERED_SILENT)  # type: ignore[attr-defined]
    docker.engine.acknowledge([AttemptNode(attempt) for attempt in ATTEMPTS])
    docker.settle()
    assert docker.containers() == []
    assert [docker.runs(attempt) for attempt in ATTEMPTS] == [0] * len(ATTEMPTS)


def test_what_nobody_asks_about_is_removed(docker: DockerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "REAP_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(engine_module, "REAP_SECONDS", 0.1)
    killed_at(docker, "after-start-before-report", 3)
    body = {"Image": IMAGE, "Cmd": ["true"], "Labels": labels("another", "x")}
    foreign = docker.daemon.json("POST", "/containers/create", {"name": f"by-test-{os.getpid()}"}, body)
    docker.connect(2)
    docker.engine.recover([])
    docker.engine.acknowledge(
        [AttemptNode(report.attempt_id) for report in docker.reports]
    )  # some may have ended in time
    docker.until_asked(lambda: docker.containers() == [])
    docker.daemon.json("DELETE", f"/containers/{foreign['Id']}")


def labels(store: str, attempt: str) -> dict[str, str]:
    return {"batchyard.store": store, "batchyard.attempt": attempt}


def test_an_acknowledgement_whose_removal_was_cut_short_is_carried_out(docker: DockerHarness) -> None:
    final = run_to_end(docker, docker.exits(0))
    docker.engine._journal.acknowledge(final.attempt_id)  # what acknowledge does first, and the server dies then
    docker.drop()
    assert len(docker.containers()) == 1
    docker.connect(2)
    docker.engine.recover([])
    docker.settle()
    assert docker.containers() == []
    assert docker.reports == []


def test_an_end_that_was_not_acknowledged_keeps_its_container(docker: DockerHarness) -> None:
    final = run_to_end(docker, docker.exits(0))
    docker.drop()
    docker.connect(2)
    docker.engine.recover([])
    docker.settle()
    assert docker.reports == [final]
    assert len(docker.containers()) == 1


def test_a_grace_goes_on_while_servers_change(docker: DockerHarness) -> None:
    launch = launch_of(docker.ignores_term())
    docker.engine.launch([launch])
    wait_for_run(docker, launch.attempt_id)
    docker.engine.stop(launch.attempt_node, 1)
    docker.settle()
    docker.drop()
    docker.connect(2)
    docker.engine.recover([Recovery(launch, may_launch=False, known_started=True)])
    docker.engine.stop(launch.attempt_node, 3600)
    final = wait_for_end(docker, launch.attempt_id)
    assert isinstance(final, Exited)
    assert final.containers[0].exit_code == 137


def test_what_fell_with_the_host_is_lost(docker: DockerHarness) -> None:
    """Docker gives it a code when it starts again, which is not the program's."""
    launch = launch_of(docker.sleeps())
    journal = docker.engine._journal
    now, journal.boot_id = journal.boot_id, "an earlier boot"
    docker.engine.launch([launch])
    wait_for_run(docker, launch.attempt_id)
    journal.boot_id = now
    docker.engine.stop(launch.attempt_node, 0)
    final = wait_for_end(docker, launch.attempt_id)
    assert isinstance(final, Lost)
    assert "went down" in final.reason


def test_a_later_server_ends_this_one(docker: DockerHarness) -> None:
    launch = launch_of(docker.sleeps())
    docker.engine.launch([launch])
    wait_for_run(docker, launch.attempt_id)
    before = docker.engine
    docker.connect(2)
    before.launch([launch_of(docker.exits(0))])
    before.stop(launch.attempt_node, 0)
    with pytest.raises(StaleEpochError, match="a server of epoch 2 has taken over"):
        docker.run(before.failed())
    docker.engine.recover([Recovery(launch, may_launch=False, known_started=True)])
    docker.until(lambda: is_started(docker, launch.attempt_id))
    docker.settle()
    assert final_of(docker, launch.attempt_id) is None, "nobody obeyed the earlier server"


# -- somebody else --


@pytest.mark.parametrize("is_served", [True, False])
def test_a_container_that_somebody_removed_is_lost(docker: DockerHarness, is_served: bool) -> None:
    launch = launch_of(docker.sleeps())
    docker.engine.launch([launch])
    wait_for_run(docker, launch.attempt_id)
    if not is_served:
        docker.drop()
    remove(docker, launch.attempt_id)
    if not is_served:
        docker.connect(2)
        # The report of its start may not have been committed: that it was about to start is in the journal.
        docker.engine.recover([Recovery(launch, may_launch=True, known_started=False)])
    assert isinstance(wait_for_end(docker, launch.attempt_id), Lost)
    assert docker.runs(launch.attempt_id) == 1


def test_a_removed_container_leaves_no_follower_of_its_log(
    docker: DockerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs_module, "YOUNG_SECONDS", 3600.0)  # the follower has not begun when the container goes
    launch = launch_of(docker.sleeps())
    docker.engine.launch([launch])
    docker.until(lambda: followers(docker))
    remove(docker, launch.attempt_id)
    assert isinstance(wait_for_end(docker, launch.attempt_id), Lost)
    assert followers(docker) == []


def followers(docker: DockerHarness) -> list[str]:
    return [name for task in asyncio.all_tasks(docker.loop) if (name := task.get_name()).startswith("log of ")]


def remove(docker: DockerHarness, attempt_id: str) -> Any:
    return docker.daemon.json("DELETE", f"/containers/batchyard-{attempt_id}", {"force": "1"})


def test_a_container_of_another_service_is_not_adopted(docker: DockerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_run_module, "NAME_TAKEN_SECONDS", 1.0)  # so long is a name waited for
    launch = launch_of(docker.exits(0), "d" * 32)
    body = {"Image": IMAGE, "Cmd": ["true"], "Labels": labels("another", launch.attempt_id)}
    docker.daemon.json("POST", "/containers/create", {"name": f"batchyard-{launch.attempt_id}"}, body)
    docker.engine.launch([launch])
    final = wait_for_end(docker, launch.attempt_id)
    assert isinstance(final, NotStarted)
    assert final.reason.startswith("CannotCreateContainerError: Error response from daemon: Conflict.")
    docker.engine.acknowledge([launch.attempt_node])
    docker.settle()
    remove(docker, launch.attempt_id)  # it is still there


def test_two_services_on_one_daemon_leave_each_other_alone(docker: DockerHarness, tmp_path: Path) -> None:
    launch = launch_of(docker.sleeps())
    docker.engine.launch([launch])
    wait_for_run(docker, launch.attempt_id)
    with contextlib.closing(DockerHarness(tmp_path / "other", docker.daemon)) as other:
        other.engine.recover([])
        other.settle()
    assert docker.inspect(f"batchyard-{launch.attempt_id}")["State"]["Running"]
    assert is_started(docker, launch.attempt_id)
    assert final_of(docker, launch.attempt_id) is None
