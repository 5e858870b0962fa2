"""Merges what a job runs: a container of containerProperties, or a task of ecsProperties with its containers (AWS
Batch behaviour 6.10, 7.2). Takes AWS documents that were checked for shape."""

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
from batchyard.core.tasks import task_spec

Document = dict[str, Any]


class Body(Struct, frozen=True):
    """Definition with overrides: `container` (ContainerProperties), or else `task` (EcsTaskProperties)."""

    container: Document = {}
    task: Document = {}

    @property
    def containers(self) -> list[Document]:
        found: list[Document] = self.task["containers"] if self.task else [self.container]
        return found

    def substitute(self, parameters: Mapping[str, str]) -> None:
        """For its refusal: a reference without a value."""
        for container in self.containers:
            task_spec.substitute(container.get("command", []), parameters)

    def unbuilt(self) -> str:
        """Returns what is not implemented yet, in words; empty when there is nothing."""
        return next(filter(None, map(task_spec.unbuilt, [*self.containers, self.task])), "")

    def build(
        self,
        parameters: Mapping[str, str],
        working_directory: str,
        *,
        fractions: bool,
        file_systems: Mapping[str, str] = task_spec.NO_FILE_SYSTEMS,
    ) -> TaskSpec:
        """Builds the task. One of a single container is a plain one, which every engine runs. `file_systems`: as in
        filesystems.place_of."""
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

    def container_logs(self, definition_name: str) -> tuple[ContainerLog, ...]:
        """Returns one log for each container of ecsProperties; none for a plain job."""
        locations = [task_spec.log_location(one, definition_name) for one in self.containers] if self.task else []
        names = [one["name"] for one in self.containers] if self.task else []
        return tuple(ContainerLog(name, at.group, at.prefix) for name, at in zip(names, locations, strict=True))


def merge(document: Document, container_overrides: Document, task_override: Document) -> Body:
    """Merges overrides into a definition. `document`: of a definition with containerProperties or ecsProperties.
    `task_override`: an entry of ecsPropertiesOverride.taskProperties. Overrides of the other kind are refused."""
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
