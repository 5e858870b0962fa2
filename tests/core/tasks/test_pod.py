"""Pods as tasks: what runs in which order, what they take, what is refused by name (AWS Batch behaviour 6.11)."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.records import Abilities, ContainerDependency, Mount, Status, TaskSpec
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.core.tasks import pod, task_spec
from tests.core.driver import ENGINE, Driver


def one(name: str = "main", **members: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", "command": [name], **members}


def of(*containers: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"containers": list(containers), **members}


def limits(**amounts: str) -> dict[str, Any]:
    return {"resources": {"limits": {kind.replace("gpu", "nvidia.com/gpu"): text for kind, text in amounts.items()}}}


def built(*containers: dict[str, Any], **members: Any) -> TaskSpec:
    return pod.build(of(*containers, **members), {})


def mounted(volume: dict[str, Any], mount: dict[str, Any] | None = None) -> Mount:
    points = [{"name": "v", "mountPath": "/v"} | (mount or {})]
    (found,) = built(one(volumeMounts=points), volumes=[{"name": "v"} | volume]).mounts
    return found


def context(**members: Any) -> dict[str, Any]:
    return {"securityContext": members}


# -- what runs --


def test_a_single_container_is_a_plain_task() -> None:
    container = one(args=["Ref::what"], env=[{"name": "A", "value": "1"}, {"name": "B"}], **limits(cpu="1.5"))
    task = pod.build(of(container), {"what": "this"}, "/work")
    assert (task.command, task.entrypoint_words) == (("main", "this"), 1)
    assert task.environment == (("A", "1"), ("B", ""))
    assert (task.containers, task.image, task.working_directory, task.is_pod) == ((), "busybox", "/work", True)
    assert (task.resources, task.container["cpuLimit"]) == (Resources(1500, 256), "1.5")


def test_init_containers_succeed_one_by_one_before_the_main_ones() -> None:
    task = built(one("a"), one("b"), initContainers=[one("x"), one("y")])
    waits = {one.name: one.depends_on for one in task.containers}
    after_y = (ContainerDependency("y", "SUCCESS"),)
    assert waits == {"a": after_y, "b": after_y, "x": (), "y": (ContainerDependency("x", "SUCCESS"),)}
    assert [one.name for one in task.containers if one.is_init] == ["x", "y"]
    assert not any(one.essential or one.is_pause for one in task.containers)


def test_a_pod_takes_the_sum_of_its_main_containers_or_the_most_of_an_init_container() -> None:
    small, large = limits(cpu="0.5", memory="64Mi", gpu="1"), limits(cpu="4", memory="16Mi", gpu="1")
    task = built(one("a", **small), one("b", **small), initContainers=[one("x", **large), one("y", **large)])
    assert task.resources == Resources(4000, 128, 2)


def test_requests_are_what_is_taken_and_the_cpu_limit_is_kept() -> None:
    resources = {"limits": {"cpu": "2", "memory": "64Mi"}, "requests": {"cpu": "0.5"}}
    task = built(one(resources=resources))
    assert (task.resources, task.container["cpuLimit"]) == (Resources(500, 64), "2")
    assert "cpuLimit" not in built(one()).container
    assert built(one()).resources == Resources(250, 256)


@pytest.mark.parametrize(
    "members", [{"shareProcessNamespace": True}, {"hostNetwork": False}], ids=["processes", "network"]
)
def test_what_containers_share_is_held_by_a_pause_container(members: dict[str, Any]) -> None:
    assert not any(one.is_pause for one in built(one("a"), initContainers=[one("x")], **members).containers)
    task = built(one("pause"), one("b"), initContainers=[one("x")], **members)
    (pause,) = [one for one in task.containers if one.is_pause]
    assert (pause.name, pause.image, pause.resources, pause.depends_on) == ("pause_", "busybox", Resources(), ())
    assert pause.entrypoint_words == len(pause.command)
    started = ContainerDependency("pause_", "START")
    assert all(started in one.depends_on for one in task.containers if not one.is_pause)
    assert task.resources == Resources(500, 512)
    shares = {"pidMode": "task", "ipcMode": "task"} if "shareProcessNamespace" in members else {}
    assert task.container == shares


def test_the_containers_of_a_node_share_a_network_in_any_case() -> None:
    for found in (of(one("a"), one("b")), of(one("a"), initContainers=[one("x")])):
        task = pod.build(found, {}, is_node=True)
        assert [container.name for container in task.containers if container.is_pause] == ["pause"]
    assert pod.build(of(one("a")), {}, is_node=True).containers == ()


def test_a_volume_in_memory_of_several_containers_is_held_by_a_pause_container() -> None:
    volumes = [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}, {"name": "w", "emptyDir": {}}]
    mounts = [{"name": name, "mountPath": f"/{name}", "readOnly": True} for name in "vw"]
    task = built(one(volumeMounts=mounts), initContainers=[one("x", volumeMounts=mounts)], volumes=volumes)
    (pause,) = [one for one in task.containers if one.is_pause]
    assert pause.mounts == (Mount("", "/pause/v", volume="v", in_memory=True, size_mib=8),)
    assert pause.document["mountPoints"] == [{"sourceVolume": "v"}]
    alone = built(one(volumeMounts=mounts), one("b"), volumes=volumes)
    assert not any(one.is_pause for one in alone.containers)


@pytest.mark.parametrize(
    ("volume", "mount", "found"),
    [
        ({"hostPath": {"path": "/h"}}, {"readOnly": True}, Mount("/h", "/v", True, "v")),
        ({"hostPath": {"path": "/h"}}, {"subPath": "a/b"}, Mount("/h/a/b", "/v", False, "v", "/h")),
        ({"emptyDir": {}}, {}, Mount("", "/v", volume="v")),
        ({}, {"readOnly": True}, Mount("", "/v", True, "v")),
        ({"emptyDir": {"medium": "Memory"}}, {}, Mount("", "/v", volume="v", in_memory=True)),
        ({"secret": {"secretName": "s", "optional": True}}, {},
         Mount("", "/v", volume="v", secret="s", is_optional=True)),
    ],
)  # fmt: skip
def test_volumes_are_mounts(volume: dict[str, Any], mount: dict[str, Any], found: Mount) -> None:
    assert mounted(volume, mount) == found


def test_a_container_that_mounts_a_secret_reads_secrets() -> None:
    volumes = [{"name": "v", "secret": {"secretName": "s"}}, {"name": "w", "emptyDir": {}}]
    task = built(
        one("a", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        one("b", volumeMounts=[{"name": "w", "mountPath": "/w"}]),
        volumes=volumes,
    )
    assert [task_spec.reads_secrets(one) for one in task.containers] == [True, False]


def test_the_security_context_of_the_pod_holds_where_a_container_has_none_of_its_own() -> None:
    own = one("b", **context(runAsUser=7, privileged=True, readOnlyRootFilesystem=True))
    dropping = context(allowPrivilegeEscalation=False, capabilities={"drop": ["ALL"]})["securityContext"]
    profile = {"seccompProfile": {"type": "Unconfined"}}
    task = built(one("a"), own, one("c", securityContext=dropping), **context(runAsUser=5, runAsGroup=6, **profile))
    first, second, third = task.containers
    assert [one.user for one in task.containers] == ["5:6", "7:6", "5:6"]
    assert (second.document["privileged"], second.document["readonlyRootFilesystem"]) == (True, True)
    assert first.document["dockerSecurityOptions"] == ["seccomp=unconfined"]
    assert third.document["dockerSecurityOptions"] == ["no-new-privileges", "seccomp=unconfined"]
    assert third.document["linuxParameters"] == {"capabilities": {"drop": ["ALL"]}}
    assert not {"privileged", "readonlyRootFilesystem"} & first.document.keys()


def test_an_image_pull_secret_is_the_credentials_of_all_registries() -> None:
    first = one("a", imagePullPolicy="Never")
    task = built(first, one("b"), imagePullSecrets=[{"name": "registry"}], shareProcessNamespace=True)
    credentials = {"credentialsParameter": "registry"}
    assert [one.document["repositoryCredentials"] for one in task.containers] == [credentials] * 3
    policies = {one.name: one.document.get("imagePullPolicy") for one in task.containers}
    assert policies == {"a": "Never", "b": None, "pause": "Never"}


# -- networks --


def test_a_pod_is_on_the_hosts_network_unless_it_says_otherwise() -> None:
    assert pod.network_of(of(one()), {}, {}) == pod.network_of(of(one(), hostNetwork=True), {}, {}) == ""
    assert pod.network_of(of(one(), hostNetwork=False), {}, {}) == "awsvpc"
    with pytest.raises(Refused, match=r"The tag batchyard:network is not for pods"):
        pod.network_of(of(one()), {}, {task_spec.NETWORK_TAG: "none"})


# -- overrides --


def test_overrides_change_containers_by_name_and_what_they_have_by_name() -> None:
    main = one(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], **limits(cpu="1", memory="64Mi"))
    change = {
        "containers": [
            {"args": ["x"], "env": [{"name": "B", "value": "3"}], "resources": {"limits": {"cpu": "2"}}, "image": "i"}
        ],
        "initContainers": [{"name": "second", "command": ["other"]}],
        "metadata": {"labels": {"b": "2"}},
    }
    properties = {
        "podProperties": of(main, initContainers=[one("first"), one("second")], metadata={"labels": {"a": "1"}})
    }
    merged = pod.merge(properties, {"podProperties": change})["podProperties"]
    (container,) = merged["containers"]
    assert (container["command"], container["args"], container["image"]) == (["main"], ["x"], "i")
    assert container["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]
    assert container["resources"] == {"limits": {"cpu": "2", "memory": "64Mi"}, "requests": {}}
    assert [one["command"] for one in merged["initContainers"]] == [["first"], ["other"]]
    assert merged["metadata"]["labels"] == {"a": "1", "b": "2"}
    with pytest.raises(Refused, match=r"containers is for none, and the job definition has a, b there"):
        pod.merge({"podProperties": of(one("a"), one("b"))}, {"podProperties": {"containers": [{"image": "i"}]}})


# -- what can't be done --


def volume(name: str = "v", **members: Any) -> dict[str, Any]:
    return {"volumes": [{"name": name, **members}]}


def mount(**members: Any) -> dict[str, Any]:
    return one(volumeMounts=[{"name": "v", "mountPath": "/v"} | members])


HOST = volume(hostPath={"path": "/h"})

# fmt: off
REFUSALS: list[tuple[dict[str, Any], str]] = [
    (of(one(), serviceAccountName="a"), "The pod has serviceAccountName, which this service can't do: "),
    (of(one(), imagePullSecrets=[{"name": "a"}, {"name": "b"}]), "The pod has several imagePullSecrets, which "),
    (of(one(), imagePullSecrets=[{"name": ""}]), "The pod has an entry of imagePullSecrets without a name, "),
    (of(one(), **volume(persistentVolumeClaim={"claimName": "c"})),
     "The pod has the volume 'v' (persistentVolumeClaim), which "),
    (of(one(), **volume(hostPath={"path": "h"})),
     "hostPath.path of the volume 'v' must be an absolute path, got 'h'."),
    (of(one(), **volume(hostPath={})), "hostPath.path of the volume 'v' must be an absolute path, got ''."),
    (of(one(), **volume("../v")), "The name of the pod's volume '../v' can't be used: "),
    (of(one("../x")), "The name of the pod's container '../x' can't be used: "),
    (of(one(), initContainers=[one("a/b")]), "The name of the pod's container 'a/b' can't be used: "),
    (of(one(), **context(fsGroup=1)), "The pod has securityContext.fsGroup, which "),
    (of(one(**context(runAsNonRoot=True))), "The pod has securityContext.runAsNonRoot without runAsUser, which "),
    (of(one(**context(runAsNonRoot=True)), **context(runAsUser=0)),
     "securityContext.runAsNonRoot and runAsUser 0 contradict each other: 0 is root."),
    (of(one(**context(runAsGroup=1))), "The pod has securityContext.runAsGroup without runAsUser, which "),
    (of(one(**context(seccompProfile={"type": "Localhost", "localhostProfile": "p"}))),
     "The pod has a seccompProfile of type Localhost, which "),
    (of(mount(mountPath="v"), **HOST), "volumeMounts.mountPath of the volume 'v' must be an absolute path, got 'v'."),
    (of(mount(subPath="a/../.."), **HOST), "volumeMounts.subPath 'a/../..' must be a relative path without '..'."),
    (of(mount(subPath="/a"), **HOST), "volumeMounts.subPath '/a' must be a relative path without '..'."),
    (of(mount(subPath="a"), **volume(emptyDir={})), "The pod has volumeMounts.subPath on the volume 'v', which "),
    (of(mount(name="w"), **HOST), "volumeMounts names the volume 'w', which is not among the pod's."),
]
# fmt: on


@pytest.mark.parametrize(("properties", "message"), REFUSALS, ids=[message for _, message in REFUSALS])
def test_what_no_engine_can_do_is_refused_by_name(properties: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refusal:
        pod.build(properties, {})
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    ("properties", "network", "message"),
    [
        (of(one("a"), one("b"), hostNetwork=False), "",
         "the x engine runs one container in a task, and this job has 2 (a, b)"),
        (of(one(**context(capabilities={"add": ["CHOWN"]}))), "",
         "the x engine can't do securityContext.capabilities"),
        (of(one(**context(allowPrivilegeEscalation=False))), "",
         "the x engine can't do securityContext.allowPrivilegeEscalation false"),
        (of(one()), "awsvpc", "the x engine can't do hostNetwork false: remove it"),
        (of(mount(), **volume(emptyDir={})), "",
         ("the x engine has no mounts, and the volume 'v' is an emptyDir: give it the hostPath of a directory of this "
          "machine, and the same in mountPath, or use a queue")),
        (of(one(**context(readOnlyRootFilesystem=True))), "",
         "the x engine can't do securityContext.readOnlyRootFilesystem"),
    ],
)  # fmt: skip
def test_an_engine_of_processes_says_what_it_can_not_do(properties: dict[str, Any], network: str, message: str) -> None:
    task = pod.build(properties, {})
    task = task if not network else TaskSpec(task.command, (), task.resources, network=network, is_pod=True)
    assert task_spec.cannot_run(task, "x", Abilities(privileged=True)).startswith(message)


# -- references --


def test_references_are_replaced_as_kubernetes_does() -> None:
    env = [
        {"name": "A", "value": "$(LATER) $(JOB)"},
        {"name": "LATER", "value": "$(A)!"},
        {"name": "JOB", "value": "weaker"},
    ]
    words = ["$(LATER)", "$$(A)", "$(NONE)", "$A $( $$", "$(JOB)"]
    task = built(one(command=words, env=env))
    assert pod.refers(task)
    found = pod.expand(task, {"JOB": "7"})
    assert found.environment == (("A", "$(LATER) 7"), ("LATER", "$(LATER) 7!"), ("JOB", "weaker"))
    assert found.command == ("$(LATER) 7!", "$(A)", "$(NONE)", "$A $( $", "7")


def test_references_are_replaced_in_each_container_but_the_pause() -> None:
    env = [{"name": "A", "value": "1"}]
    task = built(one("a", args=["$(A)"], env=env), one("b", args=["$(A)"]), shareProcessNamespace=True)
    first, second, pause = pod.expand(task, {}).containers
    assert (first.command, second.command) == (("a", "1"), ("b", "$(A)"))
    assert pause == task.containers[-1]


def test_only_pods_have_references() -> None:
    assert not pod.refers(built(one(), one("b"), shareProcessNamespace=True))
    assert pod.refers(built(one("a"), one("b", env=[{"name": "A", "value": "$(B)"}])))
    assert not pod.refers(TaskSpec(("$(A)",), (), Resources()))


# -- as jobs --


@pytest.fixture
def yard() -> Driver:
    driver = Driver(vcpus=8, gpus=4)
    driver.do(c.SetHost(driver.host, {ENGINE: Abilities(images=True, multiple_containers=True, any_mount=True)}))
    return driver


def submit(yard: Driver, properties: dict[str, Any], **more: Any) -> str:
    yard.do(c.RegisterJobDefinition("pod", {"type": "container", "eksProperties": {"podProperties": properties}}))
    return yard.submit("pod", **more)


def ended(yard: Driver, job_id: str, *exits: tuple[str, int | None, int]) -> None:
    attempt = yard.attempt_of(job_id)
    yard._forget(attempt)
    found = tuple(reports.ContainerExit(name, code, stopped_at_ms=at_ms) for name, code, at_ms in exits)
    yard.report(reports.Exited(attempt, yard.now_ms, yard.now_ms + 9, found))


@pytest.mark.parametrize(
    ("codes", "status", "code"),
    [
        ({"a": 0, "b": 0, "x": 0, "pause": 137}, Status.SUCCEEDED, 0),
        ({"a": 0, "b": 2, "x": 0, "pause": 0}, Status.FAILED, 2),
        ({"a": None, "b": None, "x": 5, "pause": 0}, Status.FAILED, 5),
    ],
)
def test_a_pod_fails_when_any_of_its_containers_did(
    codes: dict[str, int | None], status: Status, code: int, yard: Driver
) -> None:
    job_id = submit(yard, of(one("a"), one("b"), initContainers=[one("x")], shareProcessNamespace=True))
    ended(yard, job_id, *((name, found, 5 if found is not None else 0) for name, found in codes.items()))
    job = yard.job(job_id)
    assert (job.status, job.past[-1].exit_code) == (status, code)
    assert {one.name: one.exit_code for one in job.past[-1].containers} == {
        name: found for name, found in codes.items() if name != "pause"
    }


def test_a_pause_container_that_can_not_start_is_the_reason_of_the_first(yard: Driver) -> None:
    job_id = submit(yard, of(one("a"), one("b"), shareProcessNamespace=True))
    attempt = yard.attempt_of(job_id)
    yard._forget(attempt)
    yard.report(reports.NotStarted(attempt, yard.now_ms, "no shell", 127, container="pause"))
    (outcome,) = yard.job(job_id).past[-1].containers
    assert (outcome.name, outcome.reason) == ("a", "no shell")


def test_containers_log_under_their_names(yard: Driver) -> None:
    job_id = submit(yard, of(one("a"), one("b"), initContainers=[one("x")], shareProcessNamespace=True))
    (spec,) = [one for one in yard.kept.specs.values() if one.job_id == job_id]
    assert [log.container for log in spec.container_logs] == ["a", "b", "x"]
    assert (spec.container, spec.ecs_task) == ({}, {})


def test_a_parameter_without_a_value_refuses_the_pod(yard: Driver) -> None:
    with pytest.raises(Refused, match="No parameter found for reference what"):
        submit(yard, of(one(args=["Ref::what"])))
