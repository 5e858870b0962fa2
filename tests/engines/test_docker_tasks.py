"""Tasks of several containers on a real daemon (AWS Batch behaviour 6.10)."""

from __future__ import annotations

from typing import Any

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import ContainerDependency, ContainerSpec, Mount, TaskSpec
from batchyard.core.model.reports import ContainerExit, Exited, NotStarted
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch, Recovery
from tests.engines.conformance import is_started, launch_of, wait_for_end
from tests.engines.docker_harness import DockerHarness
from tests.engines.dockerd import IMAGE


def container(
    name: str, script: str, *depends_on: tuple[str, str], essential: bool = True, **members: Any
) -> ContainerSpec:
    return ContainerSpec(
        name,
        command=("sh", "-c", script),
        image=members.pop("image", IMAGE),
        resources=Resources(500, 32),
        essential=essential,
        depends_on=tuple(ContainerDependency(*dependency) for dependency in depends_on),
        **members,
    )


def task(*containers: ContainerSpec, **properties: Any) -> TaskSpec:
    return TaskSpec((), (), Resources(1000, 64), containers=containers, container=properties)


def ended(docker: DockerHarness, work: TaskSpec) -> tuple[str, dict[str, ContainerExit]]:
    launch = launch_of(work)
    docker.engine.launch([launch])
    final = wait_for_end(docker, launch.attempt_id)
    assert isinstance(final, Exited), final
    return launch.attempt_id, {one.name: one for one in final.containers}


def test_a_sidecar_is_stopped_when_the_essential_one_ends(docker: DockerHarness) -> None:
    attempt_id, exits = ended(
        docker,
        task(
            container("main", "echo working; sleep 0.2; exit 4", ("side", "START")),
            container("side", "trap 'echo bye; exit 0' TERM; echo here; while :; do sleep 0.02; done", essential=False),
        ),
    )
    assert (exits["main"].exit_code, exits["side"].exit_code) == (4, 0)
    assert 0 < exits["main"].stopped_at_ms <= exits["side"].stopped_at_ms
    assert docker.words(attempt_id, "main") == ["working"]
    assert docker.words(attempt_id, "side") == ["here", "bye"]
    assert is_started(docker, attempt_id)


def test_one_after_the_other_over_a_shared_volume(docker: DockerHarness) -> None:
    shared = {"mounts": (Mount("", "/shared"),), "document": {"mountPoints": [{"sourceVolume": "shared"}]}}
    attempt_id, exits = ended(
        docker,
        task(
            container("main", "cat /shared/x", ("setup", "SUCCESS"), **shared),
            container("setup", "sleep 0.1; echo made > /shared/x", essential=False, **shared),
        ),
    )
    assert (exits["main"].exit_code, exits["setup"].exit_code) == (0, 0)
    assert docker.words(attempt_id, "main") == ["made"]
    assert len(docker.volumes()) == 1
    docker.engine.acknowledge([AttemptNode(attempt_id)])
    docker.settle()
    assert (docker.containers(), docker.volumes()) == ([], [])


def test_what_waits_for_a_success_that_does_not_come_never_runs(docker: DockerHarness) -> None:
    _, exits = ended(
        docker,
        task(container("main", "exit 0", ("setup", "SUCCESS")), container("setup", "exit 3", essential=False)),
    )
    assert exits["setup"].exit_code == 3
    assert exits["main"].exit_code is None
    assert exits["main"].reason.startswith("It was not started: it depends on setup (SUCCESS)")


def test_its_own_stop_timeout_counts(docker: DockerHarness) -> None:
    stubborn = "trap '' TERM; while :; do sleep 0.05; done"
    _, exits = ended(
        docker,
        task(
            container("main", "sleep 0.1", ("side", "START")),
            container("side", stubborn, essential=False, stop_timeout_seconds=1),
        ),
    )
    assert exits["side"].exit_code == 137


def test_patience_ends_the_task(docker: DockerHarness) -> None:
    _, exits = ended(
        docker,
        task(
            container("main", "exit 0", ("slow", "COMPLETE")),
            container("slow", "exec sleep 100", essential=False, start_timeout_seconds=1),
        ),
    )
    assert (exits["main"].exit_code, exits["slow"].exit_code) == (None, 143)
    assert "startTimeout" in exits["main"].reason


def test_terminating_a_task_stops_all_of_it(docker: DockerHarness) -> None:
    launch = launch_of(task(container("a", "exec sleep 100"), container("b", "exec sleep 100")))
    docker.engine.launch([launch])
    docker.until(lambda: is_started(docker, launch.attempt_id))
    docker.engine.stop(launch.attempt_node, 30)
    final = wait_for_end(docker, launch.attempt_id)
    assert isinstance(final, Exited)
    assert [one.exit_code for one in final.containers] == [143, 143]


def test_a_container_that_can_not_be_started_ends_the_task(docker: DockerHarness) -> None:
    _, exits = ended(
        docker,
        task(
            container("side", "exec sleep 100"),
            ContainerSpec(
                "main", command=("no-such-program",), image=IMAGE, depends_on=(ContainerDependency("side", "START"),)
            ),
        ),
    )
    assert (exits["side"].exit_code, exits["main"].exit_code) == (143, 127)
    assert exits["main"].reason.startswith("CannotStartContainerError: ")


def test_one_image_that_can_not_be_pulled_keeps_all_from_starting(docker: DockerHarness) -> None:
    launch = launch_of(task(container("a", "exit 0"), container("b", "exit 0", image="localhost:1/nothing:1")))
    docker.engine.launch([launch])
    final = wait_for_end(docker, launch.attempt_id)
    assert isinstance(final, NotStarted)
    assert final.reason.startswith("CannotPullContainerError: ")
    assert final.container == "b"
    docker.engine.acknowledge([launch.attempt_node])
    docker.settle()
    assert docker.containers() == []


def test_a_server_that_starts_in_the_middle_goes_on_from_there(docker: DockerHarness) -> None:
    """The first container runs when the server dies; the second is started by the next one, once."""
    traces = {"mounts": docker.traces()}
    work = task(
        container("main", "echo $$ >> /trace/$BATCHYARD_ATTEMPT", ("setup", "SUCCESS"), **traces),
        container("setup", "touch /trace/up; while [ ! -e /trace/go ]; do sleep 0.02; done", essential=False, **traces),
    )
    launch = launch_of(work)
    docker.engine.launch([launch])
    docker.until(lambda: (docker.trace_dir / "up").exists())
    docker.drop()
    (docker.trace_dir / "go").touch()
    docker.connect(2)
    docker.engine.recover([Recovery(launch, may_launch=True, known_started=False)])
    final = wait_for_end(docker, launch.attempt_id)
    assert isinstance(final, Exited)
    assert [one.exit_code for one in final.containers] == [0, 0]
    assert docker.runs(launch.attempt_id) == 1


def test_processes_and_shared_memory_of_one_task(docker: DockerHarness) -> None:
    """pidMode and ipcMode `task`: one container sees the other's."""
    attempt_id, exits = ended(
        docker,
        task(
            container("main", "ps | grep -c 'sleep 12[3]'; ls /dev/shm", ("side", "START")),
            container("side", "touch /dev/shm/mark; exec sleep 123", essential=False),
            pidMode="task",
            ipcMode="task",
        ),
    )
    assert exits["main"].exit_code == 0
    assert docker.words(attempt_id, "main")[-1] == "mark"
    assert docker.words(attempt_id, "main")[0] != "0"


def test_only_the_named_container_gets_a_secret(docker: DockerHarness) -> None:
    work = task(container("a", "echo [$KEY]", essential=False), container("b", "echo [$KEY]", ("a", "COMPLETE")))
    launch = Launch(AttemptNode("7" * 32), 1, work, (), secrets=(("a", "KEY", "word"),))
    docker.engine.launch([launch])
    wait_for_end(docker, launch.attempt_id)
    assert docker.words(launch.attempt_id, "a") == ["[word]"]
    assert docker.words(launch.attempt_id, "b") == ["[]"]
