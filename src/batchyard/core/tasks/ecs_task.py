"""Merges what a job runs: a container of containerProperties, a task of ecsProperties with its containers, or a pod of
eksProperties (AWS Batch behaviour 6.10, 6.11, 7.2). Takes AWS documents that were checked for shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.model.records import (
    DEFAULT_CONTAINER,
    ContainerDependency,
    ContainerLog,
    ContainerSpec,
    TaskSpec,
    containers_of,
)
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.core.tasks import pod, task_spec

Document = dict[str, Any]


class Body(Struct, frozen=True):
    """Definition with overrides: `container` (ContainerProperties), or else `task` (EcsTaskProperties), or else `pod`
    (EksPodProperties)."""

    container: Document = {}
    task: Document = {}
    pod: Document = {}

    @property
    def containers(self) -> list[Document]:
        if self.pod:
            return pod.containers_of_pod(self.pod)
        found: list[Document] = self.task["containers"] if self.task else [self.container]
        return found

    def substitute(self, parameters: Mapping[str, str]) -> None:
        """For its refusal: a reference without a value."""
        for container in self.containers:
            for member in ("command", "args"):  # only containers of pods have the second
                task_spec.substitute(container.get(member, []), parameters)

    def unbuilt(self) -> str:
        """Returns what is not implemented yet, in words; empty when there is nothing. A pod's is refused as it is
        built."""
        if self.pod:
            return ""
        return next(filter(None, map(task_spec.unbuilt, [*self.containers, self.task])), "")

    def build(
        self,
        parameters: Mapping[str, str],
        working_directory: str,
        *,
        fractions: bool,
        file_systems: Mapping[str, str] = task_spec.NO_FILE_SYSTEMS,
        is_node: bool = False,
    ) -> TaskSpec:
        """Builds the task. One of a single container is a plain one, which every engine runs. `file_systems`: as in
        filesystems.place_of; `is_node`: it is run by nodes of a multi-node job."""
        if self.pod:
            return pod.build(self.pod, parameters, working_directory, is_node=is_node)
        build = partial(task_spec.build_task, parameters=parameters, fractions=fractions, file_systems=file_systems)
        if not self.task:
            return build(self.container, working_directory=working_directory)
        around = {member: value for member, value in self.task.items() if member != "containers"}
        if "taskRoleArn" in around:
            around["jobRoleArn"] = around.pop("taskRoleArn")  # as containerProperties call it
        if len(self.containers) == 1:
            return build(around | self.containers[0], working_directory=working_directory)
        containers = tuple(_container(one, around, build) for one in self.containers)
        total = Resources()
        for one in containers:
            total = total.plus(one.resources)
        return TaskSpec((), (), total, working_directory=working_directory, container=around, containers=containers)

    def network(self, job_tags: Mapping[str, str], definition_tags: Mapping[str, str]) -> str:
        """TaskSpec.network. Refused: a tag that names none."""
        if self.pod:
            return pod.network_of(self.pod, job_tags, definition_tags)
        return task_spec.network_of(job_tags, definition_tags, self.task)

    def container_logs(self, definition_name: str) -> tuple[ContainerLog, ...]:
        """Returns one log for each container of ecsProperties or of a pod; none for a plain job."""
        several = self.containers if self.task or self.pod else []
        locations = [task_spec.log_location(one, definition_name) for one in several]
        names = [pod.name_of(one) if self.pod else one["name"] for one in several]
        return tuple(ContainerLog(name, at.group, at.prefix) for name, at in zip(names, locations, strict=True))


OVERRIDE_OF = {
    "containerProperties": "containerOverrides",
    "ecsProperties": "ecsPropertiesOverride",
    "eksProperties": "eksPropertiesOverride",
}


def merge(
    document: Document, container_overrides: Document, task_override: Document, pod_override: Document | None = None
) -> Body:
    """Merges overrides into a definition. `document`: of a definition with containerProperties, ecsProperties or
    eksProperties. `task_override`: an entry of ecsPropertiesOverride.taskProperties; `pod_override`: an
    eksPropertiesOverride. Overrides of another kind are refused."""
    if "eksProperties" in document:
        for override, kind in ((container_overrides, "containerProperties"), (task_override, "ecsProperties")):
            if override:
                raise Refused(
                    f"{OVERRIDE_OF[kind]} needs a job definition with {kind}; this one has eksProperties: use "
                    "eksPropertiesOverride."
                )
        return Body(pod=pod.merge(document["eksProperties"], pod_override or {})["podProperties"])
    if pod_override:
        own = next((kind for kind in OVERRIDE_OF if kind in document), "containerProperties")
        raise Refused(
            f"eksPropertiesOverride needs a job definition with eksProperties; this one has {own}: use "
            f"{OVERRIDE_OF[own]}."
        )
    tasks = document.get("ecsProperties", {}).get("taskProperties", [])
    if not tasks:
        if task_override:
            raise Refused(
                "ecsPropertiesOverride needs a job definition with ecsProperties; this one has containerProperties: "
                "use containerOverrides."
            )
        return Body(container=task_spec.merge_container(document.get("containerProperties", {}), container_overrides))
    if container_overrides:
        raise Refused(
            "containerOverrides needs a job definition with containerProperties; this one has ecsProperties: use "
            "ecsPropertiesOverride, which names the container that each override is for."
        )
    return Body(task=_merge_task(tasks[0], task_override))


def _merge_task(task: Document, override: Document) -> Document:
    """Merges containers by name, each like containerOverrides. One without a name gets that of a plain job's
    container."""
    containers = {one["name"]: one for one in _named(task["containers"])}
    for entry in override.get("containers", []):
        name = entry.get("name", "")
        if not name and len(containers) == 1:
            name = next(iter(containers))
        if name not in containers:
            known = ", ".join(containers)
            said = f"the container {name}, which it has not" if name else "a container without its name"
            raise Refused(f"ecsPropertiesOverride is for {said}; the containers of the job definition are: {known}.")
        containers[name] = task_spec.merge_container(containers[name], entry)
    return task | {"containers": list(containers.values())}


def _named(containers: Sequence[Document]) -> list[Document]:
    return [container | {"name": container.get("name", DEFAULT_CONTAINER)} for container in containers]


def _container(document: Document, around: Document, build: Callable[[Document], TaskSpec]) -> ContainerSpec:
    alone = document | {"volumes": around.get("volumes", [])}
    (container,) = containers_of(build(alone))
    return replace(
        container,
        name=document["name"],
        essential=document.get("essential", True),
        depends_on=tuple(
            ContainerDependency(entry["containerName"], entry["condition"]) for entry in document.get("dependsOn", [])
        ),
        stop_timeout_seconds=document.get("stopTimeout", 0),
        start_timeout_seconds=document.get("startTimeout", 0),
        document=document,
    )
