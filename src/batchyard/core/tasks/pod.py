"""Translates a pod of eksProperties into a task (AWS Batch behaviour 6.11, 7.2; Kubernetes: Pods, Init Containers).

All main containers start together once the init containers have succeeded one by one; the pod ends when all of them
have, and fails when one did (restartPolicy Never). Takes AWS documents that were checked for shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from batchyard.core.model.records import ContainerDependency, ContainerSpec, Mount, TaskSpec
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import MILLI_PER_VCPU, Resources
from batchyard.core.model.text import quoted
from batchyard.core.tasks import task_spec

Document = dict[str, Any]

DEFAULT_NAME = "Default"  # API: EksContainer.name
CPU, MEMORY, GPU = "cpu", "memory", "nvidia.com/gpu"  # the kinds of `resources`
MEMBERS = ("containers", "initContainers")
METADATA_MAPS = ("labels", "annotations")
# What a container gets that asks for none, as from a LimitRange of its namespace: pods that ask for nothing must not
# start without end. The cpu is the smallest that can be asked for (API: EksContainerResourceRequirements).
DEFAULT_AMOUNTS = {CPU: "0.25", MEMORY: "256Mi", GPU: "0"}
# A name becomes a part of file names and log streams, as one of ecsProperties does (rules of tasks).
NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")  # a part of the name of a Docker volume
POD_NETWORK = "awsvpc"  # the containers of a task share one network, which is not the host's
PAUSE_NAME = "pause"
OF_THE_IMAGE = ("repositoryCredentials", "imagePullPolicy")  # members of a container's document
# Docker has no namespace without a process in it: this one lasts as long as the pod. Without `sleep` it ends at once.
PAUSE_COMMAND = ("/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $! || exit 1; done")
_REFERENCE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")  # $$, which is a $, or $(VARIABLE)


# -- Overrides --


def merge(properties: Document, override: Document) -> Document:
    """Returns eksProperties merged with an eksPropertiesOverride: containers by name, their variables by name, their
    resources by kind, labels and annotations by key."""
    pod, change = properties["podProperties"], override.get("podProperties", {})
    changed = dict(pod)
    for member in MEMBERS:
        if change.get(member):
            changed[member] = _merge_containers(pod.get(member, []), change[member], member)
    if change.get("metadata"):
        before = pod.get("metadata", {})
        labels = {kind: {**before.get(kind, {}), **change["metadata"].get(kind, {})} for kind in METADATA_MAPS}
        changed["metadata"] = before | change["metadata"] | labels
    return properties | {"podProperties": changed}


def _merge_containers(containers: list[Document], overrides: list[Document], member: str) -> list[Document]:
    """Returns the containers with their overrides. The override of an only container needs no name; among several
    the name is required."""
    named = {name_of(container): container for container in containers}
    for override in overrides:
        name = override.get("name") or (next(iter(named)) if len(named) == 1 else "")
        if name not in named:
            raise Refused(
                f"eksPropertiesOverride.podProperties.{member} is for "
                f"{f'the container {quoted(name)}' if name else 'none'}"
                f", and the job definition has {', '.join(named) or 'none'} there."
            )
        named[name] = _merge_container(named[name], override)
    return list(named.values())


def _merge_container(container: Document, override: Document) -> Document:
    merged = container | {m: override[m] for m in ("image", "command", "args") if m in override}
    if "env" in override:
        variables = {entry["name"]: entry for entry in [*container.get("env", []), *override["env"]]}
        merged["env"] = list(variables.values())
    if "resources" in override:
        before = container.get("resources", {})
        merged["resources"] = {
            kind: {**before.get(kind, {}), **override["resources"].get(kind, {})} for kind in ("limits", "requests")
        }
    return merged


# -- The task --


def name_of(container: Document) -> str:
    return str(container.get("name", DEFAULT_NAME))


def containers_of_pod(pod: Document) -> list[Document]:
    """Returns the main containers, then the init containers: the order of the task's."""
    return [container for member in MEMBERS for container in pod.get(member, [])]


def network_of(pod: Document, job_tags: Mapping[str, str], definition_tags: Mapping[str, str]) -> str:
    """Returns TaskSpec.network. Refused: the tag that is for other jobs."""
    if task_spec.NETWORK_TAG in job_tags or task_spec.NETWORK_TAG in definition_tags:
        raise Refused(f"The tag {task_spec.NETWORK_TAG} is not for pods: hostNetwork names the network of one.")
    return "" if pod.get("hostNetwork", True) else POD_NETWORK


def build(
    pod: Document, parameters: Mapping[str, str], working_directory: str = "", *, is_node: bool = False
) -> TaskSpec:
    """Builds the task. A pod of a single container is a plain one, which every engine runs. `is_node`: the pod is a
    node of a multi-node job. Refused: what a pod has and no engine can do."""
    _check_pod(pod)
    main = [_container(one, pod, parameters) for one in pod["containers"]]
    first = [_container(one, pod, parameters) for one in pod.get("initContainers", [])]
    resources = _resources(main, first)
    if len(main) == 1 and not first:
        (alone,) = main
        return TaskSpec(
            alone.command,
            alone.environment,
            resources,
            image=alone.image,
            user=alone.user,
            mounts=alone.mounts,
            working_directory=working_directory,
            container=alone.document,
            entrypoint_words=alone.entrypoint_words,
            is_pod=True,
        )
    containers = _in_order(main, first)
    pause = _pause(pod, main, first, is_node=is_node)
    if pause is not None:
        running = ContainerDependency(pause.name, "START")
        containers = [replace(one, depends_on=(running, *one.depends_on)) for one in containers] + [pause]
    # What the containers share, in the words of EcsTaskProperties.
    around = {"pidMode": "task", "ipcMode": "task"} if _shares_processes(pod, main) else {}
    return TaskSpec(
        (),
        (),
        resources,
        working_directory=working_directory,
        container=around,
        containers=tuple(containers),
        is_pod=True,
    )


def _resources(main: Sequence[ContainerSpec], first: Sequence[ContainerSpec]) -> Resources:
    """Returns what the pod takes: the sum of its main containers, or the most that an init container asks for."""
    total = Resources()
    for one in main:
        total = total.plus(one.resources)
    for one in first:
        total = total.most(one.resources)
    return total


def _in_order(main: Sequence[ContainerSpec], first: Sequence[ContainerSpec]) -> list[ContainerSpec]:
    """Returns the containers, each of which waits for what must have succeeded before."""
    waits: tuple[ContainerDependency, ...] = ()
    ordered = []
    for one in first:
        ordered.append(replace(one, depends_on=waits, is_init=True))
        waits = (ContainerDependency(one.name, "SUCCESS"),)
    return [*(replace(one, depends_on=waits) for one in main), *ordered]


def _shares_processes(pod: Document, main: Sequence[ContainerSpec]) -> bool:
    return bool(pod.get("shareProcessNamespace")) and len(main) > 1


def _pause(
    pod: Document, main: Sequence[ContainerSpec], first: Sequence[ContainerSpec], *, is_node: bool
) -> ContainerSpec | None:
    """Returns the container that holds what must last as long as the pod and would end with one container: a process
    namespace, a network, a volume in memory. None: nothing must. A node's address is that of its pod, so that all its
    containers share a network, whatever hostNetwork is."""
    everyone = [*main, *first]
    in_memory = {mount.volume: mount for one in everyone for mount in one.mounts if mount.in_memory}
    shared = [
        replace(mount, target=f"/{PAUSE_NAME}/{volume}", read_only=False)
        for volume, mount in in_memory.items()
        if sum(any(each.volume == volume for each in one.mounts) for one in everyone) > 1
    ]
    has_network = is_node or (not pod.get("hostNetwork", True) and len(main) > 1)
    if not (shared or has_network or _shares_processes(pod, main)):
        return None
    name = PAUSE_NAME
    while any(one.name == name for one in everyone):
        name += "_"
    kept = {member: main[0].document[member] for member in OF_THE_IMAGE if member in main[0].document}
    return ContainerSpec(
        name,
        PAUSE_COMMAND,
        image=main[0].image,
        mounts=tuple(shared),
        essential=False,
        document=kept | {"mountPoints": [{"sourceVolume": mount.volume} for mount in shared]},
        entrypoint_words=len(PAUSE_COMMAND),
        is_pause=True,
    )


def _container(container: Document, pod: Document, parameters: Mapping[str, str]) -> ContainerSpec:
    """Returns one container. None is essential in the sense of ECS: each runs to its own end."""
    command = task_spec.substitute(container.get("command", []), parameters)
    arguments = task_spec.substitute(container.get("args", []), parameters)
    context = pod.get("securityContext", {}) | container.get("securityContext", {})
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    user = str(context.get("runAsUser", ""))
    if "runAsGroup" in context:
        user += f":{context['runAsGroup']}"
    return ContainerSpec(
        name_of(container),
        command=command + arguments,
        environment=tuple((entry["name"], entry.get("value", "")) for entry in container.get("env", [])),
        resources=Resources(
            int(_amount(container, CPU) * MILLI_PER_VCPU), int(_amount(container, MEMORY)), int(_amount(container, GPU))
        ),
        image=container["image"],
        user=user,
        mounts=tuple(_mount(mount, volumes[mount["name"]]) for mount in container.get("volumeMounts", [])),
        essential=False,
        document=_document(container, context, pod),
        entrypoint_words=len(command),
    )


def _amount(container: Document, kind: str) -> Decimal:
    """Returns what it asks for: its request, which is its limit where there is no request."""
    resources = container.get("resources", {})
    text = resources.get("requests", {}).get(kind) or resources.get("limits", {}).get(kind) or DEFAULT_AMOUNTS[kind]
    return Decimal(text.removesuffix("Mi"))


def _document(container: Document, context: Document, pod: Document) -> Document:
    """Returns what only some engines look at, in the words of containerProperties and of ECS's ContainerDefinition."""
    document: Document = {"mountPoints": [{"sourceVolume": one["name"]} for one in container.get("volumeMounts", [])]}
    for member, ours in (("privileged", "privileged"), ("readOnlyRootFilesystem", "readonlyRootFilesystem")):
        if context.get(member):
            document[ours] = True
    if context.get("capabilities"):
        document["linuxParameters"] = {"capabilities": context["capabilities"]}
    options = []
    if context.get("allowPrivilegeEscalation") is False:
        options.append("no-new-privileges")
    if context.get("seccompProfile", {}).get("type") == "Unconfined":
        options.append("seccomp=unconfined")
    if options:
        document["dockerSecurityOptions"] = options
    cpu = container.get("resources", {}).get("limits", {}).get(CPU)
    if cpu:
        document["cpuLimit"] = cpu
    if container.get("imagePullPolicy"):
        document["imagePullPolicy"] = container["imagePullPolicy"]
    for secret in pod.get("imagePullSecrets", []):
        document["repositoryCredentials"] = {"credentialsParameter": secret["name"]}
    return document


def _mount(mount: Document, volume: Document) -> Mount:
    target, read_only, name = mount["mountPath"], mount.get("readOnly", False), volume["name"]
    if "hostPath" in volume:
        source, below = volume["hostPath"]["path"], mount.get("subPath", "").strip("/")
        if below:
            return Mount(f"{source.rstrip('/')}/{below}", target, read_only, name, root=source)
        return Mount(source, target, read_only, name)
    if "secret" in volume:
        secret = volume["secret"]
        return Mount("", target, volume=name, secret=secret["secretName"], is_optional=secret.get("optional", False))
    empty = volume.get("emptyDir", {})
    if empty.get("medium") == "Memory":
        size_mib = int(empty.get("sizeLimit", "0Mi").removesuffix("Mi"))
        return Mount("", target, read_only, name, in_memory=True, size_mib=size_mib)
    return Mount("", target, read_only, name)


# -- What can't be done --


def _check_pod(pod: Document) -> None:
    _refuse(pod.get("serviceAccountName"), "serviceAccountName", "there is no Kubernetes whose account it would be")
    _refuse(len(pod.get("imagePullSecrets", [])) > 1, "several imagePullSecrets", "an image has one registry: name one")
    for secret in pod.get("imagePullSecrets", []):
        _refuse(not secret.get("name"), "an entry of imagePullSecrets without a name", "give it one")
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for name, volume in volumes.items():
        _check_name("volume", name, VOLUME_NAME)
        claim = f"the volume '{name}' (persistentVolumeClaim)"
        _refuse("persistentVolumeClaim" in volume, claim, "use a hostPath or an emptyDir")
        path = volume.get("hostPath", {}).get("path", "")
        if "hostPath" in volume and not path.startswith("/"):
            raise Refused(f"hostPath.path of the volume '{name}' must be an absolute path, got {quoted(path)!r}.")
    _refuse("fsGroup" in pod.get("securityContext", {}), "securityContext.fsGroup", "give runAsUser and runAsGroup")
    for container in containers_of_pod(pod):
        _check_name("container", name_of(container), NAME)
        _check_context(pod.get("securityContext", {}) | container.get("securityContext", {}))
        for mount in container.get("volumeMounts", []):
            _check_mount(mount, volumes)


def _check_name(kind: str, name: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(name):
        raise Refused(
            f"The name of the pod's {kind} {quoted(name)!r} can't be used: give it at most 200 letters, digits, "
            "hyphens and underscores."
        )


def _check_context(context: Document) -> None:
    user = context.get("runAsUser")
    _refuse(
        context.get("runAsNonRoot") and user is None,
        "securityContext.runAsNonRoot without runAsUser",
        "the user of an image is not known before it runs: give runAsUser",
    )
    if context.get("runAsNonRoot") and user == 0:
        raise Refused("securityContext.runAsNonRoot and runAsUser 0 contradict each other: 0 is root.")
    _refuse(
        "runAsGroup" in context and user is None,
        "securityContext.runAsGroup without runAsUser",
        "a group is given along with a user: give both",
    )
    local = context.get("seccompProfile", {}).get("type") == "Localhost"
    _refuse(local, "a seccompProfile of type Localhost", "use RuntimeDefault or Unconfined")


def _check_mount(mount: Document, volumes: Mapping[str, Document]) -> None:
    name, target, below = mount.get("name", ""), mount.get("mountPath", ""), mount.get("subPath", "")
    if name not in volumes:
        raise Refused(f"volumeMounts names the volume {quoted(name)!r}, which is not among the pod's.")
    if not target.startswith("/"):
        raise Refused(
            f"volumeMounts.mountPath of the volume '{name}' must be an absolute path, got {quoted(target)!r}."
        )
    on_other = bool(below) and "hostPath" not in volumes[name]
    _refuse(on_other, f"volumeMounts.subPath on the volume '{name}'", "only a hostPath can be mounted in part")
    if ".." in below.split("/") or below.startswith("/"):
        raise Refused(f"volumeMounts.subPath {quoted(below)!r} must be a relative path without '..'.")


def _refuse(condition: object, named: str, advice: str) -> None:
    if condition:
        raise Refused(f"The pod has {named}, which this service can't do: {advice}.")


# -- At the launch --


def expand(task: TaskSpec, attempt: Mapping[str, str]) -> TaskSpec:
    """Returns the task of a pod with $(VARIABLE) replaced in command, args and env, as Kubernetes does: a variable of
    `env` can name those before it, a reference without a value stays as it is. `attempt`: the variables of this
    attempt, which are stronger than the container's."""
    if not task.containers:
        command, environment = _expanded(task.command, task.environment, attempt)
        return replace(task, command=command, environment=environment)
    containers = []
    for one in task.containers:
        if not one.is_pause:
            command, environment = _expanded(one.command, one.environment, attempt)
            one = replace(one, command=command, environment=environment)
        containers.append(one)
    return replace(task, containers=tuple(containers))


def refers(task: TaskSpec) -> bool:
    """Whether anything of the task is replaced by `expand`."""
    texts = [*task.command, *(value for _, value in task.environment)]
    for one in task.containers:
        if not one.is_pause:
            texts += [*one.command, *(value for _, value in one.environment)]
    return task.is_pod and any(_REFERENCE.search(text) for text in texts)


def _expanded(
    command: Sequence[str], environment: Sequence[tuple[str, str]], attempt: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    known = dict(attempt)

    def value_of(match: re.Match[str]) -> str:
        return "$" if match[1] else known.get(match[2], match[0])

    variables = []
    for name, value in environment:
        variables.append((name, _REFERENCE.sub(value_of, value)))
        known[name] = attempt.get(name, variables[-1][1])
    return tuple(_REFERENCE.sub(value_of, word) for word in command), tuple(variables)
