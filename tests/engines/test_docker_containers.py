"""What containers are asked for, and that they are so (AWS Batch behaviour 6.4-6.7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import ContainerDependency, ContainerSpec, Mount, TaskSpec, Ulimit, containers_of
from batchyard.core.model.reports import ContainerExit, Exited, NotStarted
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch
from batchyard.engines.docker.containers import MIB, Placing, create_request, milliseconds, seen_of
from tests.engines.conformance import is_started, launch_of, run_to_end, wait_for_end, wait_for_run
from tests.engines.docker_harness import DockerHarness

ATTEMPT = "a" * 32


def request(**members: Any) -> dict[str, Any]:
    """The request for a plain job of 2 vCPUs and 100 MiB."""
    launch_members = {name: members.pop(name) for name in ("device_ids", "secrets", "log_options") if name in members}
    members.setdefault("resources", Resources(2000, 100))
    environment = members.pop("environment", ())
    task = TaskSpec(command=members.pop("command", ("true",)), environment=environment, image="tool:1", **members)
    launch = Launch(AttemptNode(ATTEMPT), 1, task, (("AWS_BATCH_JOB_ID", "job"),), job_id="job", **launch_members)
    return create_request(launch, containers_of(task)[0], Placing("me", 7, 64 * MIB))


def host_config(**members: Any) -> dict[str, Any]:
    found: dict[str, Any] = request(**members)["HostConfig"]
    return found


def linux(**parameters: Any) -> dict[str, Any]:
    return host_config(container={"linuxParameters": parameters})


def test_a_plain_job() -> None:
    body = request(user="worker")
    assert body["Image"], body["Cmd"] == ("tool:1", ["true"])
    assert body["User"] == "worker"
    assert body["Labels"] == {
        "batchyard.store": "me",
        "batchyard.attempt": ATTEMPT,
        "batchyard.job": "job",
        "batchyard.container": "default",
        "batchyard.epoch": "7",
    }
    config = body["HostConfig"]
    assert config["NetworkMode"] == "host"
    assert config["CpuShares"] == 2048
    assert (config["Memory"], "MemorySwap" in config) == (100 * MIB, False)
    assert config["Init"] is True
    assert not {"Privileged", "Binds", "Mounts", "Devices", "DeviceRequests", "Tmpfs", "Ulimits"} & set(config)


def test_without_a_command_the_images_own_holds() -> None:
    assert "Cmd" not in request(command=())


def test_an_attempts_own_variables_win_and_nothing_of_the_servers_is_there() -> None:
    body = request(
        environment=(("A", "1"), ("AWS_BATCH_JOB_ID", "forged")), secrets=(("default", "KEY", "word"), ("x", "B", "2"))
    )
    assert sorted(body["Env"]) == ["A=1", "AWS_BATCH_JOB_ID=job", f"BATCHYARD_ATTEMPT={ATTEMPT}", "KEY=word"]


def test_swap() -> None:
    assert linux(maxSwap=0)["MemorySwap"] == 100 * MIB
    assert linux(maxSwap=50, swappiness=10)["MemorySwap"] == 150 * MIB
    assert linux(maxSwap=50, swappiness=10)["MemorySwappiness"] == 10
    assert "MemorySwappiness" not in linux(swappiness=10)


def test_memory_below_what_docker_can_do_is_raised() -> None:
    assert host_config(resources=Resources(1000, 4))["Memory"] == 6 * MIB


def test_linux_parameters() -> None:
    assert linux(initProcessEnabled=False)["Init"] is False
    assert linux(sharedMemorySize=128)["ShmSize"] == 128 * MIB
    tmpfs = [{"containerPath": "/run/x", "size": 16, "mountOptions": ["noexec", "nosuid"]}]
    assert linux(tmpfs=tmpfs)["Tmpfs"] == {"/run/x": "size=16m,noexec,nosuid"}
    devices = [{"hostPath": "/dev/fuse"}, {"hostPath": "/dev/a", "containerPath": "/dev/b", "permissions": ["READ"]}]
    assert linux(devices=devices)["Devices"] == [
        {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"},
        {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"},
    ]


def test_privileged_read_only_and_ulimits() -> None:
    config = host_config(
        container={"privileged": True, "readonlyRootFilesystem": True}, ulimits=(Ulimit("nofile", 10, 20),)
    )
    assert config["Privileged"] is True
    assert config["ReadonlyRootfs"] is True
    assert config["Ulimits"] == [{"Name": "nofile", "Soft": 10, "Hard": 20}]


def test_gpus_are_those_that_were_assigned() -> None:
    body = request(resources=Resources(1000, 100, 2), device_ids=(3, 5))
    assert body["HostConfig"]["DeviceRequests"] == [
        {"Driver": "nvidia", "DeviceIDs": ["3", "5"], "Capabilities": [["gpu"]]}
    ]
    assert "NVIDIA_VISIBLE_DEVICES=3,5" in body["Env"]


def test_containers_of_a_task_share_out_its_gpus() -> None:
    specs = tuple(
        ContainerSpec(name, image="i", resources=Resources(0, 10, gpus)) for name, gpus in (("a", 1), ("b", 2))
    )
    task = TaskSpec((), (), Resources(1000, 20, 3), containers=specs)
    launch = Launch(AttemptNode(ATTEMPT), 1, task, (), (4, 6, 7))
    bodies = [create_request(launch, spec, Placing("me", 1, MIB)) for spec in specs]
    assert [body["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] for body in bodies] == [["4"], ["6", "7"]]


def test_init_containers_have_the_gpus_that_the_main_ones_have_later() -> None:
    gpu = Resources(0, 10, 1)
    specs = (
        ContainerSpec("a", resources=gpu),
        ContainerSpec("b", resources=gpu),
        ContainerSpec("x", resources=Resources(0, 10, 2), is_init=True),
        ContainerSpec("y", resources=gpu, is_init=True),
    )
    task = TaskSpec((), (), Resources(1000, 20, 2), containers=specs)
    launch = Launch(AttemptNode(ATTEMPT), 1, task, (), (4, 6))
    bodies = [create_request(launch, spec, Placing("me", 1, MIB)) for spec in specs]
    found = [body["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] for body in bodies]
    assert found == [["4"], ["6"], ["4", "6"], ["4"]]


def test_the_first_words_may_replace_the_entrypoint() -> None:
    body = request(command=("a", "b", "c"), entrypoint_words=2)
    assert (body["Entrypoint"], body["Cmd"]) == (["a", "b"], ["c"])
    assert "Cmd" not in request(command=("a",), entrypoint_words=1)
    assert "Entrypoint" not in request(command=("a",))


def test_what_a_pod_says_of_security_and_cpu() -> None:
    container = {
        "linuxParameters": {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}},
        "dockerSecurityOptions": ["no-new-privileges"],
        "cpuLimit": "0.5",
    }
    config = host_config(container=container)
    assert (config["CapAdd"], config["CapDrop"]) == (["NET_ADMIN"], ["ALL"])
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert (config["CpuPeriod"], config["CpuQuota"]) == (100_000, 50_000)
    assert not {"CapAdd", "CapDrop", "SecurityOpt", "CpuQuota"} & host_config().keys()


def test_a_volume_in_memory() -> None:
    mounts = (Mount("", "/a", volume="a", in_memory=True, size_mib=8), Mount("", "/b", volume="b", in_memory=True))
    limited, free = (one["VolumeOptions"]["DriverConfig"] for one in host_config(mounts=mounts)["Mounts"])
    assert limited == {"Name": "local", "Options": {"type": "tmpfs", "device": "tmpfs", "o": "size=8m"}}
    assert free == {"Name": "local", "Options": {"type": "tmpfs", "device": "tmpfs"}}


def test_containers_of_a_pod_join_its_pause_container() -> None:
    specs = (ContainerSpec("a", essential=False), ContainerSpec("pause", essential=False, is_pause=True))
    shares = {"pidMode": "task", "ipcMode": "task"}
    task = TaskSpec((), (), Resources(1000, 20), containers=specs, network="awsvpc", container=shares)
    launch = Launch(AttemptNode(ATTEMPT), 1, task, ())
    main, pause = (create_request(launch, spec, Placing("me", 1, MIB))["HostConfig"] for spec in specs)
    joined = f"container:batchyard-{ATTEMPT}-pause"
    assert (main["NetworkMode"], main["PidMode"], main["IpcMode"]) == (joined, joined, joined)
    assert (pause["NetworkMode"], pause.get("PidMode"), pause["IpcMode"]) == ("bridge", None, "shareable")


def test_networks() -> None:
    assert host_config(network="none")["NetworkMode"] == "none"
    assert host_config(network="bridge")["NetworkMode"] == "bridge"
    assert host_config(network="awsvpc")["NetworkMode"] == "bridge"


def test_log_drivers() -> None:
    """What is kept here alone is Docker's own matter; another driver has the definition's options and secrets."""
    logging = {"logDriver": "awslogs", "options": {"awslogs-group": "g"}}
    options = (("default", "splunk-token", "word"), ("x", "gelf-address", "udp://elsewhere"))
    for container in ({}, {"logConfiguration": logging}):
        config = request(container=container, log_options=options)["HostConfig"]["LogConfig"]
        assert config == {"Type": "json-file", "Config": {"max-size": str(128 * MIB), "max-file": "2"}}
    splunk = {"logDriver": "splunk", "options": {"splunk-url": "u", "splunk-token": "weaker"}}
    config = request(container={"logConfiguration": splunk}, log_options=options)["HostConfig"]["LogConfig"]
    assert config == {"Type": "splunk", "Config": {"splunk-url": "u", "splunk-token": "word"}}


AFTER_INIT = (ContainerDependency("init", "SUCCESS"),)


@pytest.mark.parametrize(
    ("network", "containers", "expected"),
    [
        ("bridge", (ContainerSpec("a"), ContainerSpec("b")), ["bridge", "bridge"]),
        ("none", (ContainerSpec("a"), ContainerSpec("b")), ["none", "none"]),
        ("awsvpc", (ContainerSpec("a", essential=False), ContainerSpec("b")), ["container:b", "bridge"]),
        # The first that runs ends before the others start: they can't join what is gone.
        ("awsvpc", (ContainerSpec("init", essential=False), ContainerSpec("b", depends_on=AFTER_INIT)), ["bridge"] * 2),
    ],
)
def test_networks_of_several_containers(
    network: str, containers: tuple[ContainerSpec, ...], expected: list[str]
) -> None:
    launch = Launch(
        AttemptNode(ATTEMPT), 1, TaskSpec((), (), Resources(1000, 20), containers=containers, network=network), ()
    )
    found = [create_request(launch, spec, Placing("me", 1, MIB))["HostConfig"]["NetworkMode"] for spec in containers]
    assert found == [one.replace("container:", f"container:batchyard-{ATTEMPT}-") for one in expected]


def test_mounts() -> None:
    points = [{"sourceVolume": "data"}, {"sourceVolume": "fresh"}]
    config = host_config(mounts=(Mount("/data", "/in", True), Mount("", "/scratch")), container={"mountPoints": points})
    assert config["Binds"] == ["/data:/in:ro"]
    (mount,) = config["Mounts"]
    assert (mount["Type"], mount["Source"], mount["Target"]) == ("volume", f"batchyard-{ATTEMPT}-fresh", "/scratch")
    assert mount["VolumeOptions"]["Labels"]["batchyard.attempt"] == ATTEMPT
    assert host_config(mounts=(Mount("/a:b", "/in"),))["Mounts"][0]["Source"] == "/a:b"


def test_the_callers_directory() -> None:
    body = request(working_directory="/srv/work")
    assert body["WorkingDir"] == "/srv/work"
    assert [(m["Source"], m["Target"]) for m in body["HostConfig"]["Mounts"]] == [("/srv/work", "/srv/work")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
        ("1970-01-01T00:00:01.234567891Z", 1234),
        ("1970-01-01T01:00:01.2+01:00", 1200),
        ("1970-01-01T00:00:01Z", 1000),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


def test_a_killed_child_alone_is_not_out_of_memory() -> None:
    state = {"Status": "exited", "OOMKilled": True, "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z"}
    assert not seen_of("c", {"State": state}).out_of_memory
    assert seen_of("c", {"State": {**state, "ExitCode": 137}}).out_of_memory


# -- on a real daemon --


def ended(docker: DockerHarness, task: TaskSpec) -> tuple[ContainerExit, list[str]]:
    final = run_to_end(docker, task)
    assert isinstance(final, Exited), final
    return final.containers[0], docker.words(final.attempt_id)


def refused(docker: DockerHarness, task: TaskSpec) -> NotStarted:
    final = run_to_end(docker, task)
    assert isinstance(final, NotStarted), final
    return final


def test_it_sees_what_was_asked_for(docker: DockerHarness, tmp_path: Path) -> None:
    script = """
        id -u; echo $(ulimit -n) $(ulimit -Hn); grep -c ' /run/x tmpfs.*size=2048k' /proc/mounts
        df -m /dev/shm | tail -1; touch /tmp/no 2>/dev/null || echo read-only; touch /run/x/yes && echo tmpfs
        cat /data/file; pwd; echo $PATH $A
    """
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("from the host\n")
    container = {
        "readonlyRootFilesystem": True,
        "linuxParameters": {
            "tmpfs": [{"containerPath": "/run/x", "size": 2, "mountOptions": ["mode=1777"]}],
            "sharedMemorySize": 5,
        },
    }
    exit, words = ended(
        docker,
        docker.shell(
            script,
            user="worker",
            container=container,
            ulimits=(Ulimit("nofile", 100, 200),),
            mounts=(Mount(str(tmp_path), "/data", True), Mount(str(tmp_path / "new"), "/new")),
            working_directory=str(docker.trace_dir),
            environment=(("A", "b"),),
        ),
    )
    assert exit.exit_code == 0, words
    assert (tmp_path / "new").is_dir(), "a missing directory is made"
    assert words[:3] == ["1000", "100 200", "1"]
    assert words[3].split()[1] == "5"
    assert words[4:] == ["read-only", "tmpfs", "from the host", str(docker.trace_dir), "/bin b"]


def test_the_network_is_the_hosts(docker: DockerHarness) -> None:
    _, words = ended(
        docker, docker.shell("cat /proc/net/unix | wc -l; readlink /proc/self/ns/net || stat -c %N /proc/self/ns/net")
    )
    assert str(Path("/proc/self/ns/net").readlink()) in words[-1]


def test_memory_over_the_limit_is_told(docker: DockerHarness) -> None:
    """Docker begins to watch a container's memory just after its start, and misses what is killed before: so nothing
    is eaten until the start has been reported."""
    waits = "while [ ! -e /trace/{} ]; do sleep 0.02; done; "
    script = waits.format("eat") + "tail -c 200000000 /dev/zero | wc -c; " + waits.format("go") + "exit 9"
    hungry = launch_of(docker.shell(script, memory_mib=16, mounts=docker.traces()))
    docker.engine.launch([hungry])
    docker.until(lambda: is_started(docker, hungry.attempt_id))
    (docker.trace_dir / "eat").touch()
    # Docker hears of the kernel's kill and of the container's end on two ways: the first may come last, under load.
    docker.until_asked(lambda: docker.daemon.events(f"batchyard-{hungry.attempt_id}", "oom"))
    (docker.trace_dir / "go").touch()
    final = wait_for_end(docker, hungry.attempt_id)
    assert isinstance(final, Exited)
    # Only a child was killed: the shell went on, and ended with a code of its own.
    assert (final.containers[0].exit_code, final.containers[0].out_of_memory) == (9, True)


def test_a_program_that_is_killed_for_its_memory_is_told(docker: DockerHarness) -> None:
    script = "while [ ! -e /trace/eat ]; do sleep 0.02; done; echo; exec tail -c 200000000 /dev/zero"
    hungry = launch_of(docker.shell(script, memory_mib=16, mounts=docker.traces()))
    docker.engine.launch([hungry])
    docker.until(lambda: is_started(docker, hungry.attempt_id))
    (docker.trace_dir / "eat").touch()
    final = wait_for_end(docker, hungry.attempt_id)
    assert isinstance(final, Exited)
    alone = final.containers[0]
    assert (alone.exit_code, alone.signal, alone.out_of_memory) == (137, 9, True)


def test_a_fresh_volume_goes_with_its_attempt(docker: DockerHarness) -> None:
    task = docker.shell("echo kept > /scratch/x; cat /scratch/x", mounts=(Mount("", "/scratch"),))
    final = run_to_end(docker, task)
    assert docker.words(final.attempt_id) == ["kept"]
    assert [one["Labels"]["batchyard.attempt"] for one in docker.volumes()] == [final.attempt_id]
    docker.engine.acknowledge([AttemptNode(final.attempt_id)])
    docker.settle()
    assert docker.volumes() == []
    assert docker.containers() == []


def test_without_an_init_the_job_is_process_1(docker: DockerHarness) -> None:
    _, words = ended(docker, docker.shell("echo $$", container={"linuxParameters": {"initProcessEnabled": False}}))
    assert words == ["1"]
    _, words = ended(docker, docker.shell("echo $$"))
    assert words != ["1"]


def test_a_program_that_can_not_be_run(docker: DockerHarness) -> None:
    """The same words with an init, which would start all the same, and without one, from Docker itself."""
    bare = {"linuxParameters": {"initProcessEnabled": False}}
    for container in ({}, bare):
        final = refused(docker, docker.program("no-such-program", container=container))
        assert final.exit_code == 127
        assert 'exec: "no-such-program": executable file not found in $PATH' in final.reason
        final = refused(docker, docker.program("/etc/not-a-program", container=container))
        assert final.exit_code == 126
        assert "permission denied" in final.reason
        final = refused(docker, docker.program("/bin/missing", container=container))
        assert (final.exit_code, "no such file or directory" in final.reason) == (127, True)


def test_what_docker_refuses_is_told_in_its_words(docker: DockerHarness) -> None:
    twice = (Mount(str(docker.trace_dir), "/x"), Mount(str(docker.trace_dir), "/x"))
    final = refused(docker, docker.shell("true", mounts=twice))
    assert final.reason == "CannotCreateContainerError: Error response from daemon: Duplicate mount point: /x"
    assert final.exit_code is None


def test_what_must_not_be_started_is_not(docker: DockerHarness) -> None:
    launch = Launch(
        AttemptNode("b" * 32), 1, docker.exits(0), (), problem="ResourceInitializationError: no such secret"
    )
    docker.engine.launch([launch])
    final = wait_for_end(docker, launch.attempt_id)
    assert isinstance(final, NotStarted)
    assert final.reason == "ResourceInitializationError: no such secret"
    assert docker.containers() == []


def test_its_name_and_labels_tell_whose_it_is(docker: DockerHarness) -> None:
    launch = launch_of(docker.sleeps())
    docker.engine.launch([launch])
    wait_for_run(docker, launch.attempt_id)
    found = docker.inspect(f"batchyard-{launch.attempt_id}")
    assert found["Config"]["Labels"]["batchyard.attempt"] == launch.attempt_id
    assert found["Config"]["Labels"]["batchyard.epoch"] == "1"
