"""eksProperties: what is refused, what is kept, and what submitting says (AWS Batch behaviour 6.11)."""

from typing import Any

import pytest

from tests.api.service import Service, container, refusal_of


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


def test_submitting_a_pod_says_what_is_missing(shared: Service) -> None:
    shared.call("RegisterJobDefinition", {"jobDefinitionName": "pod", "type": "container"} | WHOLE)
    message = refusal_of(lambda: shared.submit("pod"))
    assert message == "Job definition pod has eksProperties, which this service can't run yet."


def test_a_container_is_no_pod(shared: Service) -> None:
    request = {"jobDefinitionName": "both", "type": "container", "containerProperties": container()} | WHOLE
    message = refusal_of(lambda: shared.call("RegisterJobDefinition", request))
    assert message == "Cannot use both ECS containerProperties and eksProperties"
