"""State machines and executions: found, listed, and their histories read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchyard.cli.client import STATES, Client, ClientError, ServiceError

PAGE = 100  # rows of one answer
NEWEST = 1000  # executions of each machine among which a name is looked for
MIN_PREFIX = 4  # characters: fewer name too many executions


def pages(client: Client, operation: str, request: dict[str, Any], member: str) -> Iterator[dict[str, Any]]:
    """Yields all rows of a list operation."""
    token: dict[str, str] = {}
    while True:
        answer = client.call(operation, {"maxResults": PAGE, **request, **token}, STATES)
        yield from answer[member]
        if not answer.get("nextToken"):
            return
        token = {"nextToken": answer["nextToken"]}


def machines(client: Client) -> list[dict[str, Any]]:
    return list(pages(client, "ListStateMachines", {}, "stateMachines"))


def newest(client: Client, machine_arn: str, limit: int) -> list[dict[str, Any]]:
    """Returns the newest executions of a state machine; none of an EXPRESS one, which keeps none."""
    found: list[dict[str, Any]] = []
    try:
        for row in pages(client, "ListExecutions", {"stateMachineArn": machine_arn}, "executions"):
            found.append(row)
            if len(found) == limit:
                break
    except ServiceError as error:
        if error.code != "StateMachineTypeNotSupported":
            raise
    return found


def find_execution(client: Client, text: str) -> str:
    """Returns the ARN of an execution that an ARN, a name or the beginning of one names. Raises ClientError."""
    if text.startswith("arn:"):
        return text
    if len(text) < MIN_PREFIX:
        raise ClientError(f"{text!r} is too short for an execution: give at least {MIN_PREFIX} characters of its name.")
    found = [
        row["executionArn"]
        for machine in machines(client)
        for row in newest(client, machine["stateMachineArn"], NEWEST)
        if row["name"].startswith(text)
    ]
    exact = [arn for arn in found if arn.rpartition(":")[2] == text]
    if len(exact or found) == 1:
        return str((exact or found)[0])
    if found:
        raise ClientError(f"{len(exact or found)} executions are called {text!r}: give more of the name, or the ARN.")
    raise ClientError(f"There is no execution {text!r}. Those there are: batchyard workflows NAME")


def events_after(client: Client, arn: str, last_id: int) -> list[dict[str, Any]]:
    """Returns the events of an execution that came after the event `last_id`, in their order: by pages from the end,
    so that following a long history costs what is new."""
    found: list[dict[str, Any]] = []
    request = {"executionArn": arn, "reverseOrder": True}
    for event in pages(client, "GetExecutionHistory", request, "events"):
        if event["id"] <= last_id:
            break
        found.append(event)
    return found[::-1]


def milliseconds(at_seconds: float) -> int:
    return round(at_seconds * 1000)
