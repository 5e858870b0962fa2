"""Builds what an engine runs: definition + overrides + Ref:: parameters (AWS Batch behaviour 6.3-6.8, 7.2).

All functions take AWS documents that were checked for shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from batchyard.core.model.records import Abilities, ContainerSpec, Mount, TaskSpec, Ulimit, containers_of
from batchyard.core.model.refusal import Refused
from batchyard.core.tasks.filesystems import mount_source
from batchyard.core.tasks.requirements import resources_of

Document = dict[str, Any]

DEFAULT_LOG_GROUP = "/aws/batch/job"
LOG_PREFIX_CHARACTERS = 200  # of the definition's name in a stream name (user guide: job_states)
# A tag of a job, else of its definition: the network of its containers, where ecsProperties do not say it (AWS has no
# such choice for containerProperties).
NETWORK_TAG = "batchyard:network"
HOST_NETWORK = "host"
NO_NETWORK = "none"
NETWORKS = (HOST_NETWORK, "bridge", "awsvpc", NO_NETWORK)
LINUX = "LINUX"  # API: RuntimePlatform.operatingSystemFamily; the only one that any engine runs
KEPT_LOG_DRIVERS = ("awslogs", "json-file")  # those whose output goes nowhere but to this service
FIRELENS = "awsfirelens"
NO_FILE_SYSTEMS: Mapping[str, str] = {}
_REFERENCE = re.compile(r"Ref::([A-Za-z0-9_-]+)")


class LogLocation(Struct, frozen=True):
    group: str
    prefix: str


def merge_container(properties: Document, overrides: Document) -> Document:
    """Returns ContainerProperties merged with containerOverrides: environment per name, command replaced,
    resourceRequirements per type. The deprecated vcpus and memory replace only themselves, as on AWS."""
    merged = dict(properties)
    if "command" in overrides:
        merged["command"] = overrides["command"]
    if "environment" in overrides:
        merged["environment"] = _merge_by(properties.get("environment", []), overrides["environment"], "name")
    if "resourceRequirements" in overrides:
        merged["resourceRequirements"] = _merge_by(
            properties.get("resourceRequirements", []), overrides["resourceRequirements"], "type"
        )
    given = {entry["type"] for entry in merged.get("resourceRequirements", [])}
    for old, kind in (("vcpus", "VCPU"), ("memory", "MEMORY")):
        if old in overrides and old in properties and kind not in given:
            merged[old] = overrides[old]
        elif kind in given:
            merged.pop(old, None)
    return merged


def _merge_by(base: list[Document], extra: list[Document], member: str) -> list[Document]:
    merged = {entry.get(member, ""): entry for entry in base}
    merged.update({entry.get(member, ""): entry for entry in extra})
    return list(merged.values())


def substitute(command: list[str], parameters: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the command with each `Ref::name` replaced. A reference without a value refuses the job."""

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in parameters:
            raise Refused(f"Unable to substitute value. No parameter found for reference {name}", is_bare=True)
        return parameters[name]

    return tuple(_REFERENCE.sub(value_of, word) if "Ref::" in word else word for word in command)


def build_task(
    container: Document,
    parameters: Mapping[str, str],
    working_directory: str = "",
    *,
    fractions: bool = False,
    file_systems: Mapping[str, str] = NO_FILE_SYSTEMS,
) -> TaskSpec:
    """Returns the task of a merged container document. `file_systems`: as in filesystems.place_of."""
    volumes = {volume.get("name", ""): mount_source(volume, file_systems) for volume in container.get("volumes", [])}
    mounts = []
    for point in container.get("mountPoints", []):
        name = point.get("sourceVolume", "")
        if name not in volumes:
            named = f"names the volume '{name}'" if name else "has an entry without sourceVolume"
            raise Refused(f"mountPoints {named}, which is not among the volumes of the definition.")
        if not point.get("containerPath"):
            raise Refused(f"mountPoints has the volume '{name}' without a containerPath: say where it is to be seen.")
        source, root = volumes[name]
        mounts.append(Mount(source, point["containerPath"], point.get("readOnly", False), name, root))
    return TaskSpec(
        command=substitute(container.get("command", []), parameters),
        environment=tuple((e["name"], e.get("value", "")) for e in container.get("environment", [])),
        resources=resources_of(container, fractions=fractions),
        image=container.get("image", ""),
        user=container.get("user", ""),
        ulimits=tuple(Ulimit(u["name"], u["softLimit"], u["hardLimit"]) for u in container.get("ulimits", [])),
        mounts=tuple(mounts),
        working_directory=working_directory,
        container=container,
        secrets=tuple((entry["name"], entry["valueFrom"]) for entry in container.get("secrets", [])),
    )


def network_of(job_tags: Mapping[str, str], definition_tags: Mapping[str, str], task: Document) -> str:
    """TaskSpec.network. `task`: EcsTaskProperties, or empty. Refused: a tag that names none."""
    tagged = job_tags.get(NETWORK_TAG) or definition_tags.get(NETWORK_TAG)
    if tagged and tagged not in NETWORKS:
        raise Refused(f"The tag {NETWORK_TAG} must be one of {', '.join(NETWORKS)}, got {tagged}.")
    network = tagged or task.get("networkMode") or HOST_NETWORK
    return "" if network == HOST_NETWORK else str(network)


def log_location(container: Document, definition_name: str) -> LogLocation:
    """Returns where AWS users look for the log (user guide: using_awslogs)."""
    options = container.get("logConfiguration", {}).get("options", {})
    return LogLocation(
        options.get("awslogs-group") or DEFAULT_LOG_GROUP,
        options.get("awslogs-stream-prefix") or definition_name[:LOG_PREFIX_CHARACTERS],
    )


def log_driver(container: Document) -> str:
    """Returns the additional log driver; empty where the output only goes to this service."""
    driver = container.get("logConfiguration", {}).get("logDriver", "")
    return "" if driver in KEPT_LOG_DRIVERS else str(driver)


def secret_log_options(container: Document) -> tuple[tuple[str, str], ...]:
    """Returns (option, valueFrom) of its log driver."""
    entries = container.get("logConfiguration", {}).get("secretOptions") or []
    return tuple((entry["name"], entry["valueFrom"]) for entry in entries)


def reads_secrets(container: ContainerSpec) -> bool:
    """Whether secrets must be read before it can start."""
    document = container.document
    has_files = any(mount.secret for mount in container.mounts)
    return bool(container.secrets or has_files or "repositoryCredentials" in document or secret_log_options(document))


def unbuilt(container: Document) -> str:
    """Returns what the document requests and is not implemented yet, in words; empty when there is nothing."""
    if container.get("logConfiguration", {}).get("logDriver") == FIRELENS:
        return f"the log driver {FIRELENS}"
    if container.get("firelensConfiguration"):
        return "firelensConfiguration"
    for volume in container.get("volumes", []):
        if "s3filesVolumeConfiguration" in volume:
            return f"the volume '{volume.get('name', '')}' (s3filesVolumeConfiguration)"
    return ""


def wrong_kind(engine: str, abilities: Abilities, images: bool | None) -> str:
    """Returns why an engine is not of the kind that a caller wants: one that runs images, or one that runs none."""
    if images is None or images == abilities.images:
        return ""
    if images:
        return f"the {engine} engine runs no images: use a queue whose environment runs containers."
    return f"the {engine} engine runs images: name one, or use a queue whose environment runs processes."


def cannot_run(task: TaskSpec, engine: str, abilities: Abilities) -> str:
    """Returns why an engine of these abilities can't run the task, as a sentence; empty when it can."""
    if len(task.containers) > 1 and not abilities.multiple_containers:
        names = [container.name for container in task.containers if not container.is_pause]
        return (
            f"the {engine} engine runs one container in a task, and this job has {len(names)} ({', '.join(names)}): "
            "use a queue whose environment runs several."
        )
    if task.container.get("enableExecuteCommand") and not abilities.execute_command:
        return _remove("enableExecuteCommand", engine)
    if task.network and not abilities.networks:
        named = "hostNetwork false" if task.is_pod else f"networkMode {task.network} (or the tag {NETWORK_TAG})"
        return _remove(named, engine)
    return next(filter(None, (_cannot_hold(one, engine, abilities, task.is_pod) for one in containers_of(task))), "")


def wrong_platform(task: TaskSpec, abilities: Abilities) -> str:
    """Returns why the machine of an engine is not the runtimePlatform of the task, as a sentence; empty when it is.
    Absent members are not compared, though AWS has defaults: a definition without it runs on any machine."""
    asked = task.container.get("runtimePlatform", {})
    family = asked.get("operatingSystemFamily", LINUX)
    if family != LINUX:
        return f"The job is for {family}, and this machine runs {LINUX}."
    architecture = asked.get("cpuArchitecture", "")
    if architecture and abilities.architecture and architecture != abilities.architecture:
        return f"The job is for {architecture}, and this machine is {abilities.architecture}."
    return ""


def _remove(name: str, engine: str) -> str:
    return f"the {engine} engine can't do {name}: remove it, or use a queue whose environment runs containers."


def _cannot_hold(container: ContainerSpec, engine: str, abilities: Abilities, is_pod: bool) -> str:
    document = container.document
    linux, driver = document.get("linuxParameters", {}), log_driver(document)
    read_only_root = "securityContext.readOnlyRootFilesystem" if is_pod else "readonlyRootFilesystem"
    wants = (
        (driver, abilities.log_drivers, f"the log driver {driver}"),
        (document.get("privileged"), abilities.privileged, "privileged"),
        (document.get("readonlyRootFilesystem"), abilities.read_only_root, read_only_root),
        (linux.get("capabilities"), abilities.images, "securityContext.capabilities"),
        (
            document.get("dockerSecurityOptions"),
            abilities.images,
            "securityContext.allowPrivilegeEscalation false, or a seccompProfile of type Unconfined",
        ),
        (linux.get("tmpfs"), abilities.tmpfs, "linuxParameters.tmpfs"),
        (linux.get("devices"), abilities.container_devices, "linuxParameters.devices"),
        ("maxSwap" in linux or "swappiness" in linux, abilities.swap, "linuxParameters.maxSwap and swappiness"),
        (linux.get("sharedMemorySize"), abilities.shared_memory_size, "linuxParameters.sharedMemorySize"),
    )
    for asked, able, name in wants:
        if asked and not able:
            return _remove(name, engine)
    if abilities.needs_command and not container.command:
        return (
            f"the {engine} engine needs a command, and neither the job definition nor containerOverrides gives one "
            "(the image is recorded there, not used)."
        )
    for mount in container.mounts:
        if not abilities.any_mount and not mount.source:
            if is_pod:
                has = f"is {'a secret' if mount.secret else 'an emptyDir'}: give it the hostPath of a directory"
            else:
                has = "has no host.sourcePath: name the directory"
            return (
                f"the {engine} engine has no mounts, and the volume '{mount.volume}' {has} of this machine"
                f"{'' if is_pod else ' there'}, and the same in {'mountPath' if is_pod else 'containerPath'}, or use a "
                "queue whose environment runs containers."
            )
        if not abilities.any_mount and (mount.source != mount.target or mount.read_only):
            return (
                f"the {engine} engine has no mounts: '{mount.source}' can be seen at the same path only, for reading "
                f"and writing, and the job wants it at '{mount.target}'{' read-only' if mount.read_only else ''}."
            )
    return ""
