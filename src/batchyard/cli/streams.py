"""Finds the log streams of a job: of each attempt and, in a task of several, of each container."""

from __future__ import annotations

from typing import NamedTuple

from batchyard.cli.client import ClientError, Document

DEFAULT_GROUP = "/aws/batch/job"
PLAIN_CONTAINER = "default"  # the name of a plain job's one container in the name of its stream


class Source(NamedTuple):
    """One container's stream of one attempt. `container` is empty where the task has one only."""

    container: str
    group: str
    stream: str


def containers(detail: Document) -> list[Document]:
    """Returns the containers of ecsProperties, as in DescribeJobs; none for a plain job."""
    tasks = (detail.get("ecsProperties") or {}).get("taskProperties") or []
    return list((tasks[0].get("containers") or []) if tasks else [])


def attempt_containers(attempt: Document) -> list[Document]:
    """Returns the containers of one entry of `attempts`; none for a plain job."""
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

    attempts = [
        found(attempt_containers(attempt) or [attempt.get("container") or {}]) for attempt in detail.get("attempts", [])
    ]
    current = found(several or [detail.get("container") or {}])
    if current and current not in attempts:
        attempts.append(current)
    return attempts


def check_container(detail: Document, container: str) -> None:
    """Raises ClientError when the job has no container of that name."""
    names = [one["name"] for one in containers(detail)] or [PLAIN_CONTAINER]
    if container and container not in names:
        have = f"its containers are {', '.join(names)}" if len(names) > 1 else f"its one container is {names[0]}"
        raise ClientError(f"Job {detail['jobId']} has no container {container}: {have}.")


def recorded_exit_code(detail: Document) -> int | None:
    """Returns the exit code of the last attempt: with several containers, that of the first essential one that did
    not end with 0."""
    several = containers(detail)
    if not several:
        code = (detail.get("container") or {}).get("exitCode")
        return None if code is None else int(code)
    codes = [one.get("exitCode") for one in several if one.get("essential", True)]
    return next((code for code in codes if code), 0 if 0 in codes else None)
