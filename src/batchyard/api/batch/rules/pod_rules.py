"""Checks eksProperties (AWS Batch behaviour 6.11). What can be registered and not run is refused at submission
(core.tasks.pod)."""

from __future__ import annotations

import re
from decimal import Decimal

from batchyard.api.batch.rules.container_rules import check_environment
from batchyard.api.batch.rules.volume_rules import check_one_kind
from batchyard.api.checks import has_duplicates, quoted, require
from batchyard.core.tasks.pod import name_of
from batchyard.core.tasks.requirements import MIN_MEMORY_MIB
from batchyard.wire.messages import Document

MAX_CONTAINERS = 10  # API: EksPodProperties, of containers and of initContainers
DNS_POLICIES = frozenset({"Default", "ClusterFirst", "ClusterFirstWithHostNet"})
PULL_POLICIES = frozenset({"Always", "IfNotPresent", "Never"})
RESOURCES = ("memory", "cpu", "nvidia.com/gpu")
MEMORY = re.compile(r"[0-9]{1,9}Mi")
CPU = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
CPU_STEP = Decimal("0.25")
GPU = re.compile(r"[0-9]{1,6}")
VOLUME_KINDS = ("hostPath", "emptyDir", "secret", "persistentVolumeClaim")
MEDIA = ("", "Memory")

NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
MAX_NAMESPACE_LENGTH = 63  # a DNS label
KEY_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?")  # API: EksMetadata
KEY_PREFIX = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
RESERVED_DOMAINS = ("kubernetes.io", "k8s.io", "batch.amazonaws.com")
MAX_VALUE_LENGTH = {"label": 63, "annotation": 255}  # API: EksMetadata


def check_pod(properties: Document) -> None:
    """Checks one eksProperties document."""
    pod = properties.get("podProperties", {})
    containers, first = pod.get("containers", []), pod.get("initContainers", [])
    require(containers, "Containers must be provided for Batch on EKS jobs.")
    for member, found in (("containers", containers), ("initContainers", first)):
        require(
            len(found) <= MAX_CONTAINERS,
            f"podProperties.{member} must hold at most {MAX_CONTAINERS} entries, got {len(found)}.",
        )
    names = [name_of(container) for container in [*containers, *first]]
    for name in names:
        require(names.count(name) == 1, f"The container name: {quoted(name)} must be unique in multi-container job.")
    policy = pod.get("dnsPolicy")
    require(policy is None or policy in DNS_POLICIES, "Unsupported DNS policy value.")
    volumes = _check_volumes(pod.get("volumes", []))
    for container in [*containers, *first]:
        _check_container(container, volumes)
    _check_seccomp(pod.get("securityContext", {}))
    _check_metadata(pod.get("metadata", {}))


def namespace_of(properties: Document) -> str:
    """Returns the pod's namespace; empty: the compute environment's."""
    return str(properties.get("podProperties", {}).get("metadata", {}).get("namespace", ""))


def _check_container(container: Document, volumes: set[str]) -> None:
    require(container.get("image"), "EKS container image must be provided.")
    policy = container.get("imagePullPolicy")
    require(policy is None or policy in PULL_POLICIES, "Unsupported image pull policy value.")
    check_environment(container.get("env", []))
    _check_resources(container.get("resources", {}))
    for mount in container.get("volumeMounts", []):
        name = mount.get("name", "")
        require(name in volumes, f"volumeMounts names the volume {quoted(name)!r}, which is not among the pod's.")
    _check_seccomp(container.get("securityContext", {}))


def _check_resources(resources: Document) -> None:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for amounts in (limits, requests):
        for kind, value in amounts.items():
            require(kind in RESOURCES, f"{quoted(kind)} is not a supported type for resources.")
            _check_amount(kind, value)
    both = limits.keys() & requests.keys()
    if "memory" in both:
        require(
            limits["memory"] == requests["memory"],
            "memory request must be equal to memory limit if both are provided.",
        )
    if "cpu" in both:
        require(
            Decimal(requests["cpu"]) <= Decimal(limits["cpu"]),
            "cpu request must be <= to cpu limit if both are provided.",
        )
    if "nvidia.com/gpu" in both:
        require(
            int(limits["nvidia.com/gpu"]) == int(requests["nvidia.com/gpu"]),
            "gpu request must be equal to gpu limit if both are provided.",
        )


def _check_amount(kind: str, value: str) -> None:
    if kind == "memory":
        fits = MEMORY.fullmatch(value) and int(value.removesuffix("Mi")) >= MIN_MEMORY_MIB
        require(fits, f"Value {quoted(value)} for type memory is not valid.")
    elif kind == "cpu":
        fits = CPU.fullmatch(value) and Decimal(value) > 0 and Decimal(value) % CPU_STEP == 0
        require(
            fits,
            f"Value {quoted(value)} for type cpu in resources is not valid. Provide a valid number and unit.",
        )
    else:
        require(GPU.fullmatch(value), f"Value {quoted(value)} for type {kind} in resources is not valid.")


def _check_volumes(volumes: list[Document]) -> set[str]:
    """Checks the volumes, and returns their names."""
    names = [volume["name"] for volume in volumes]
    require(not has_duplicates(names), "The names of a pod's volumes must be unique.")
    for volume in volumes:
        check_one_kind(volume, VOLUME_KINDS)
        empty = volume.get("emptyDir", {})
        require(empty.get("medium", "") in MEDIA, "Invalid Volume mount. Allowed values - Memory or null.")
        limit = empty.get("sizeLimit")
        require(limit is None or MEMORY.fullmatch(limit), "Invalid empty dir size limit.")
    return set(names)


def _check_seccomp(context: Document) -> None:
    profile = context.get("seccompProfile")
    if profile is not None:
        require(
            (profile["type"] == "Localhost") == bool(profile.get("localhostProfile")),
            "seccompProfile.localhostProfile must be given for type Localhost, and for no other type.",
        )


def _check_metadata(metadata: Document) -> None:
    namespace = metadata.get("namespace")
    if namespace is not None:
        require(namespace != "default", "kubernetesNamespace cannot be the default Kubernetes namespace.")
        require(
            not namespace.startswith("kube"), "kubernetesNamespace cannot be a reserved Kubernetes system namespace."
        )
        require(
            len(namespace) <= MAX_NAMESPACE_LENGTH and NAMESPACE.fullmatch(namespace),
            "kubernetesNamespace must be a valid Kubernetes namespace.",
        )
    for kind, member in (("label", "labels"), ("annotation", "annotations")):
        for key, value in metadata.get(member, {}).items():
            _check_entry(kind, key, value)


def _check_entry(kind: str, key: str, value: str) -> None:
    """Checks one of the pod's labels or annotations."""
    prefix, slash, name = key.rpartition("/")
    if slash:
        require(
            not any(prefix == domain or prefix.endswith("." + domain) for domain in RESERVED_DOMAINS),
            f"The prefix {quoted(prefix)} of the pod {kind} key cannot contain terms from the Kubernetes reserved "
            "namespaces.",
        )
        require(
            KEY_PREFIX.fullmatch(prefix),
            f"The prefix {quoted(prefix)} of the pod {kind} key does not match a valid pattern.",
        )
    require(KEY_NAME.fullmatch(name), f"The name {quoted(name)} of the pod {kind} key does not match a valid pattern.")
    most = MAX_VALUE_LENGTH[kind]
    require(
        len(value) <= most,
        f"The value of the pod {kind} {quoted(key)} must have at most {most} characters, got {len(value)}.",
    )
