"""eksProperties: what is refused, what is kept, and what submitting says (AWS Batch behaviour 6.11)."""

from typing import Any

import pytest

from batchyard.core.model import commands, names, reports
from batchyard.core.model.records import Abilities, Instance
from batchyard.core.model.resources import Resources
from tests.api.service import ENGINE, Service, container, refusal_of


def one(name: str = "a", **members: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", **members}


def pod(*containers: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"eksProperties": {"podProperties": {"containers": list(containers) or [one()], **members}}}


def limits(**amounts: str) -> dict[str, Any]:
    return pod(one(resources={"limits": {name.replace("gpu", "nvidia.com/gpu"): v for name, v in amounts.items()}}))


def both(kind: str, limit: str, request: str) -> dict[str, Any]:
    return pod(one(resources={"limits": {kind: limit}, "requests": {kind: request}}))


def metadata(**members: Any) -> dict[str, Any]:
    return pod(metadata=members)


VALID_CPU = "Provide a valid number and unit."
ONE_KIND = "When the volume parameter is specified, only one volume configuration type should be used."

# fmt: off
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"eksProperties": {"podProperties": {}}}, "Containers must be provided for Batch on EKS jobs."),
    ({"eksProperties": {}}, "Containers must be provided for Batch on EKS jobs."),
    (pod() | {"platformCapabilities": ["EC2"]}, "platformCapabilities is not applicable for EKS jobs."),
    (pod() | {"propagateTags": True}, "Batch on EKS does not support tag propagation."),
    (pod(*(one(f"c{number}") for number in range(11))),
     "podProperties.containers must hold at most 10 entries, got 11."),
    (pod(initContainers=[one(f"c{number}") for number in range(11)]),
     "podProperties.initContainers must hold at most 10 entries, got 11."),
    (pod(one("a"), one("a")), "The container name: a must be unique in multi-container job."),
    (pod(one("a"), initContainers=[one("a")]), "The container name: a must be unique in multi-container job."),
    (pod({"image": "a"}, {"image": "b"}), "The container name: Default must be unique in multi-container job."),
    (pod(one(image="")), "EKS container image must be provided."),
    (pod(dnsPolicy="None"), "Unsupported DNS policy value."),
    (pod(one(imagePullPolicy="Sometimes")), "Unsupported image pull policy value."),
    (pod(one(env=[{"name": "AWS_BATCH_X", "value": "1"}])),
     ("Environment variable name AWS_BATCH_X must not start with AWS_BATCH: this prefix is reserved for the variables "
     "that the service sets.")),
    # resources
    (limits(disk="1Gi"), "disk is not a supported type for resources."),
    *((limits(memory=text), f"Value {text} for type memory is not valid.")
      for text in ("512", "1Gi", "3Mi", "1.5Mi", "-8Mi")),
    *((limits(cpu=text), f"Value {text} for type cpu in resources is not valid. {VALID_CPU}")
      for text in ("0.3", "100m", "0", "one", "-1")),
    *((limits(gpu=text), f"Value {text} for type nvidia.com/gpu in resources is not valid.") for text in ("0.5", "x")),
    (both("memory", "64Mi", "32Mi"), "memory request must be equal to memory limit if both are provided."),
    (both("cpu", "1", "1.25"), "cpu request must be <= to cpu limit if both are provided."),
    (both("nvidia.com/gpu", "2", "1"), "gpu request must be equal to gpu limit if both are provided."),
    # volumes
    (pod(volumes=[{"name": "v"}, {"name": "v"}]), "The names of a pod's volumes must be unique."),
    (pod(volumes=[{"name": "v", "hostPath": {"path": "/x"}, "emptyDir": {}}]), ONE_KIND),
    (pod(volumes=[{"name": "v", "emptyDir": {"medium": "Disk"}}]),
     "Invalid Volume mount. Allowed values - Memory or null."),
    (pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]), "Invalid empty dir size limit."),
    (pod(one(volumeMounts=[{"name": "w", "mountPath": "/x"}]), volumes=[{"name": "v"}]),
     "volumeMounts names the volume 'w', which is not among the pod's."),
    # security, metadata
    *((pod(one(securityContext={"seccompProfile": profile})),
       "seccompProfile.localhostProfile must be given for type Localhost, and for no other type.")
      for profile in ({"type": "Localhost"}, {"type": "Unconfined", "localhostProfile": "p"})),
    (pod(securityContext={"seccompProfile": {"type": "Localhost"}}),
     "seccompProfile.localhostProfile must be given for type Localhost, and for no other type."),
    (metadata(namespace="default"), "kubernetesNamespace cannot be the default Kubernetes namespace."),
    (metadata(namespace="kube-system"), "kubernetesNamespace cannot be a reserved Kubernetes system namespace."),
    *((metadata(namespace=name), "kubernetesNamespace must be a valid Kubernetes namespace.")
      for name in ("", "Upper", "a" * 64, "-a")),
    (metadata(labels={"-x": "1"}), "The name -x of the pod label key does not match a valid pattern."),
    (metadata(labels={"a/" + "x" * 64: "1"}),
     f"The name {'x' * 64} of the pod label key does not match a valid pattern."),
    (metadata(labels={"Up/x": "1"}), "The prefix Up of the pod label key does not match a valid pattern."),
    *((metadata(labels={f"{prefix}/x": "1"}),
       (f"The prefix {prefix} of the pod label key cannot contain terms from the Kubernetes reserved namespaces."))
      for prefix in ("kubernetes.io", "node.k8s.io", "batch.amazonaws.com")),
    (metadata(labels={"x": "1" * 64}), "The value of the pod label x must have at most 63 characters, got 64."),
    (metadata(annotations={"x": "1" * 256}),
     "The value of the pod annotation x must have at most 255 characters, got 256."),
]
# fmt: on


@pytest.mark.parametrize(("members", "message"), REFUSALS, ids=[message[:60] for _, message in REFUSALS])
def test_a_pod_is_refused_with_its_text(members: dict[str, Any], message: str, shared: Service) -> None:
    request = {"jobDefinitionName": "refused", "type": "container"} | members
    before = len(shared.asked)
    assert refusal_of(lambda: shared.call("RegisterJobDefinition", request)) == message
    assert len(shared.asked) == before, "a refused request reached the machine"


WHOLE = pod(
    one(
        "main",
        imagePullPolicy="Always",
        command=["sleep"],
        args=["60"],
        env=[{"name": "A", "value": "1"}],
        resources={
            "limits": {"cpu": "1.25", "memory": "64Mi", "nvidia.com/gpu": "1"},
            "requests": {"cpu": "0.25", "memory": "64Mi", "nvidia.com/gpu": "1"},
        },
        volumeMounts=[{"name": "v", "mountPath": "/v", "readOnly": True}],
        securityContext={"runAsUser": 1, "seccompProfile": {"type": "Localhost", "localhostProfile": "p"}},
    ),
    initContainers=[one("first")],
    serviceAccountName="account",
    hostNetwork=False,
    dnsPolicy="ClusterFirst",
    imagePullSecrets=[{"name": "registry"}],
    volumes=[
        {"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "100Mi"}},
        {"name": "w", "persistentVolumeClaim": {"claimName": "claim"}},
    ],
    metadata={"labels": {"example.com/team": "data"}, "annotations": {"x": "y"}, "namespace": "jobs"},
    shareProcessNamespace=True,
)


@pytest.mark.parametrize("members", [WHOLE, pod({"image": "a"}), pod(volumes=[{"name": "v", "emptyDir": {}}])])
def test_a_pod_is_kept_and_described_with_empty_lists(members: dict[str, Any], shared: Service) -> None:
    answer = shared.batch.register_job_definition(**{"jobDefinitionName": "pods", "type": "container"} | members)
    asked = [f"pods:{answer['revision']}"]
    (found,) = shared.batch.describe_job_definitions(jobDefinitions=asked)["jobDefinitions"]
    assert found["containerOrchestrationType"] == "EKS"
    sent, described = members["eksProperties"]["podProperties"], found["eksProperties"]["podProperties"]
    empty: dict[str, Any] = {"args": [], "command": [], "env": [], "volumeMounts": []}
    lists: dict[str, Any] = {"imagePullSecrets": [], "initContainers": [], "volumes": []}
    expected = lists | sent
    for member in ("containers", "initContainers"):
        expected[member] = [empty | container for container in expected[member]]
    assert described == expected


def test_submitting_a_pod_names_what_it_has_that_can_not_be_done(shared: Service) -> None:
    shared.call("RegisterJobDefinition", {"jobDefinitionName": "pod", "type": "container"} | WHOLE)
    message = refusal_of(lambda: shared.submit("pod"))
    assert message == (
        "The pod has serviceAccountName, which this service can't do: there is no Kubernetes whose account it would be."
    )


def several_pods(service: Service) -> None:
    """Lets the engine run pods of several containers."""
    able = Abilities(images=True, multiple_containers=True, needs_command=False, any_mount=True, networks=True)
    service.do(commands.SetHost(Instance("i-0123456789abcdef0", Resources(4000, 4096, 2), (0, 1)), {ENGINE: able}))


def submitted(service: Service, body: dict[str, Any], **members: Any) -> str:
    service.call("RegisterJobDefinition", {"jobDefinitionName": "pod", "type": "container"} | body)
    return service.submit("pod", **members)


def test_a_pod_of_one_container_runs_where_a_plain_job_would(service: Service) -> None:
    main = one("main", command=["sleep"], args=["Ref::seconds"], env=[{"name": "A", "value": "1"}])
    change = {
        "containers": [{"env": [{"name": "B", "value": "2"}], "image": "other"}],
        "metadata": {"labels": {"team": "data"}},
    }
    job_id = submitted(
        service,
        pod(main, metadata={"namespace": "jobs"}),
        parameters={"seconds": "60"},
        eksPropertiesOverride={"podProperties": change},
    )
    launch = service.launched[job_id]
    assert launch.task.command == ("sleep", "60")
    assert launch.task.environment == (("A", "1"), ("B", "2"))
    assert dict(launch.environment)["AWS_BATCH_JOB_KUBERNETES_NODE_UID"] == names.node_uid("i-0123456789abcdef0")
    service.start(job_id)
    detail = service.detail(job_id)
    described = detail["eksProperties"]["podProperties"]
    assert described["containers"] == [
        {
            "name": "main",
            "image": "other",
            "command": ["sleep"],
            "args": ["Ref::seconds"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "volumeMounts": [],
        }
    ]
    assert described["metadata"] == {"namespace": "jobs", "labels": {"team": "data"}, "annotations": {}}
    assert described["nodeName"] == "i-0123456789abcdef0"
    assert described["podName"] == names.pod_name(launch.attempt_id)
    assert detail["container"]["logStreamName"] == f"pod/main/{launch.attempt_id}"
    assert (detail["eksAttempts"], detail.get("ecsProperties")) == ([], None)


def test_the_attempts_of_a_pod_are_described(service: Service) -> None:
    several_pods(service)
    body = pod(one("main"), one("side"), initContainers=[one("first")], metadata={"namespace": "jobs"})
    job_id = submitted(service, body | {"retryStrategy": {"attempts": 2}})
    attempts = [service.launched[job_id].attempt_id]
    service.start(job_id)
    exits = [
        reports.ContainerExit("main", 0, stopped_at_ms=service.now_ms + 5),
        reports.ContainerExit("side", 3, stopped_at_ms=service.now_ms + 6),
        reports.ContainerExit("first", 0, stopped_at_ms=service.now_ms + 1),
    ]
    service.tick(10)
    service.report(reports.Exited(attempts[0], service.now_ms - 10, service.now_ms, tuple(exits)))
    attempts.append(service.launched[job_id].attempt_id)
    service.report(reports.NotStarted(attempts[1], service.now_ms, "CannotPullContainerError: no", container="first"))
    detail = service.detail(job_id)
    assert (detail["status"], detail["statusReason"]) == ("FAILED", "Task failed to start")
    ran, refused = detail["eksAttempts"]
    cluster = ran.pop("eksClusterArn")
    assert cluster.startswith("arn:aws:eks:us-east-1:123456789012:cluster/AWSBatch-local-")
    assert ran == {
        "containers": [{"name": "main", "exitCode": 0}, {"name": "side", "exitCode": 3}],
        "initContainers": [{"name": "first", "exitCode": 0}],
        "podName": names.pod_name(attempts[0]),
        "podNamespace": "jobs",
        "nodeName": "i-0123456789abcdef0",
        "startedAt": service.now_ms - 10,
        "stoppedAt": service.now_ms,
        "statusReason": "Essential container in task exited",
    }
    assert refused["initContainers"] == [{"name": "first", "reason": "CannotPullContainerError: no"}]
    assert refused["containers"] == [{"name": "main"}, {"name": "side"}]
    # The one that failed is the attempt's, for the retry strategy and for clients that know `attempts` only.
    assert [one["container"].get("exitCode") for one in detail["attempts"]] == [3, None]
    described = detail["eksProperties"]["podProperties"]
    assert described["initContainers"][0]["reason"] == "CannotPullContainerError: no"
    (summary,) = service.batch.list_jobs(jobQueue="default", jobStatus="FAILED")["jobSummaryList"]
    assert summary["container"] == {"reason": "CannotPullContainerError: no"}


def test_a_pause_container_is_no_container_of_ecs_tasks_and_metadata(service: Service) -> None:
    several_pods(service)
    job_id = submitted(service, pod(one("main"), one("side"), shareProcessNamespace=True))
    launch = service.launched[job_id]
    assert [container.name for container in launch.task.containers] == ["main", "side", "pause"]
    service.start(job_id)
    cluster, _, task_id = service.detail(job_id)["container"]["taskArn"].rpartition(":task/")[2].partition("/")
    (found,) = service.client("ecs").describe_tasks(cluster=cluster, tasks=[task_id])["tasks"]
    assert [container["name"] for container in found["containers"]] == ["main", "side"]


@pytest.mark.parametrize(
    ("body", "override", "message"),
    [
        (pod(), "containerOverrides", "needs a job definition with containerProperties; this one has eksProperties"),
        (pod(), "ecsPropertiesOverride", "needs a job definition with ecsProperties; this one has eksProperties"),
        ({"containerProperties": container()}, "eksPropertiesOverride",
         "needs a job definition with eksProperties; this one has containerProperties: use containerOverrides."),
    ],
)  # fmt: skip
def test_an_override_of_another_kind_is_refused(
    body: dict[str, Any], override: str, message: str, service: Service
) -> None:
    change: dict[str, Any] = {
        "containerOverrides": {"command": ["true"]},
        "ecsPropertiesOverride": {"taskProperties": [{"containers": [{"name": "a", "command": ["true"]}]}]},
        "eksPropertiesOverride": {"podProperties": {"containers": [{"command": ["true"]}]}},
    }
    text = refusal_of(lambda: submitted(service, body, **{override: change[override]}))
    assert text.startswith(f"{override} {message}")
