"""Finds the log streams of a job: of each attempt and, in a task of several or a pod, of each container."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from batchyard.cli.client import ClientError, Document

DEFAULT_GROUP = "/aws/batch/job"
POD_CONTAINER = "Default"  # the name of a pod's container that has none
KINDS = {"cpu": "VCPU", "memory": "MEMORY", "nvidia.com/gpu": "GPU"}  # of resources: their names in ecsProperties
PLAIN_CONTAINER = "default"  # the name of a plain job's one container in the name of its stream


class Source(NamedTuple):
    """One container's stream of one attempt. `container` is empty where the task has one only."""

    container: str
    group: str
    stream: str


def containers(detail: Document) -> list[Document]:
    """Returns the containers of ecsProperties, as in DescribeJobs, and those of a pod in the same words; none for a
    plain job."""
    pod = _pod(detail)
    if pod:
        stream = (detail.get("container") or {}).get("logStreamName") or ""
        return [_task_container(one, stream) for one in pod]
    tasks = (detail.get("ecsProperties") or {}).get("taskProperties") or []
    return list((tasks[0].get("containers") or []) if tasks else [])


def attempts(detail: Document) -> list[Document]:
    """Returns the entries of `attempts`; of a pod with its containers in the words of ecsProperties."""
    found = list(detail.get("attempts") or [])
    pods = (detail.get("eksAttempts") or []) if _pod(detail) else []
    for number, (attempt, ran) in enumerate(zip(found, pods, strict=False)):
        stream = (attempt.get("container") or {}).get("logStreamName") or ""
        several = [*(ran.get("containers") or []), *(ran.get("initContainers") or [])]
        task = {"containers": [one | _stream_of(one["name"], stream) for one in several]}
        found[number] = attempt | {"taskProperties": [task]}
    return found


def attempt_containers(attempt: Document) -> list[Document]:
    """Returns the containers of one of `attempts`; none for a plain job."""
    tasks = attempt.get("taskProperties") or []
    return list((tasks[0].get("containers") or []) if tasks else [])


def log_group(container: Document) -> str:
    options = (container.get("logConfiguration") or {}).get("options") or {}
    return str(options.get("awslogs-group") or DEFAULT_GROUP)


def sources(detail: Document, container: str = "") -> list[list[Source]]:
    """Returns the streams of each attempt, oldest first, none where an attempt has none; the live attempt's are the
    last. `container`: only that one's."""
    several = containers(detail)
    groups = {one["name"]: log_group(one) for one in several} or {"": log_group(detail.get("container") or {})}

    def found(ran: list[Document]) -> list[Source]:
        return [
            Source(one.get("name", "") if len(several) > 1 else "", groups[one.get("name", "")], one["logStreamName"])
            for one in ran
            if one.get("logStreamName") and container in ("", one.get("name", PLAIN_CONTAINER))
        ]

    ran = [found(attempt_containers(attempt) or [attempt.get("container") or {}]) for attempt in attempts(detail)]
    current = found(several or [detail.get("container") or {}])
    if current and current not in ran:
        ran.append(current)
    return ran


def check_container(detail: Document, container: str, nodes: Sequence[Document] = ()) -> None:
    """Raises ClientError when the job has no container of that name, in none of its nodes."""
    names = list(dict.fromkeys(name for each in nodes or [detail] for name in _names(each)))
    if container and container not in names:
        have = f"its containers are {', '.join(names)}" if len(names) > 1 else f"its one container is {names[0]}"
        raise ClientError(f"Job {detail['jobId']} has no container {container}: {have}.")


def _names(detail: Document) -> list[str]:
    return [one["name"] for one in containers(detail)] or [PLAIN_CONTAINER]


def recorded_exit_code(detail: Document) -> int | None:
    """Returns the exit code of the last attempt: with several containers, that of the first essential one that did
    not end with 0."""
    several = containers(detail)
    if not several:
        code = (detail.get("container") or {}).get("exitCode")
        return None if code is None else int(code)
    codes = [one.get("exitCode") for one in several if one.get("essential", True)]
    return next((code for code in codes if code), 0 if 0 in codes else None)


# -- pods --


def _pod(detail: Document) -> list[Document]:
    """Returns the main containers of a pod, then its init containers."""
    pod = (detail.get("eksProperties") or {}).get("podProperties") or {}
    return [*(pod.get("containers") or []), *(pod.get("initContainers") or [])]


def _task_container(container: Document, stream: str) -> Document:
    """Returns a container of a pod in the words of ecsProperties. `stream`: of one of the pod's containers."""
    name, resources = container.get("name") or POD_CONTAINER, container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    needs = [{"type": KINDS[kind], "value": text.removesuffix("Mi")} for kind, text in asked.items() if kind in KINDS]
    found = {
        "name": name,
        "image": container.get("image") or "",
        "command": [*(container.get("command") or []), *(container.get("args") or [])],
        "environment": container.get("env") or [],
        "resourceRequirements": needs,
    }
    ended = {member: container[member] for member in ("exitCode", "reason") if member in container}
    return found | ended | _stream_of(name, stream)


def _stream_of(container: str, stream: str) -> Document:
    """Returns the member that names the stream of a container, from that of another one of its task."""
    parts = stream.split("/")
    if len(parts) != 3:  # none, or not one of ours
        return {}
    return {"logStreamName": f"{parts[0]}/{container}/{parts[2]}"}
