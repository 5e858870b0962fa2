"""State machines and executions: found, listed, and their histories read."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from typing import Any, TypeVar

from batchyard.analysis.execution_paths import Answer, Asked
from batchyard.cli.client import STATES, Client, ClientError, ServiceError

PAGE = 100  # rows of one answer
MACHINES_PAGE = 1000
NEWEST = 1000  # executions of each machine among which the beginning of a name is looked for
MIN_PREFIX = 4  # characters: fewer name too many executions

Found = TypeVar("Found")


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
    """Returns all state machines, oldest first."""
    return list(pages(client, "ListStateMachines", {"maxResults": MACHINES_PAGE}, "stateMachines"))


def machine_arn(client: Client, name: str) -> str:
    """Returns the ARN of a state machine. Raises ClientError."""
    if name.startswith("arn:"):
        return name
    for one in machines(client):
        if one["name"] == name:
            return str(one["stateMachineArn"])
    raise ClientError(f"There is no workflow {name!r}. Those there are: batchyard workflows")


def newest(client: Client, machine: str, limit: int, status: str = "") -> list[dict[str, Any]]:
    """Returns the newest executions of the state machine with this ARN, at most `limit` (0: all), with `status` those
    that have it; none of an EXPRESS one, which keeps none."""
    found: list[dict[str, Any]] = []
    request: dict[str, Any] = {"stateMachineArn": machine, "maxResults": min(limit or MACHINES_PAGE, MACHINES_PAGE)}
    try:
        listed = pages(client, "ListExecutions", request | ({"statusFilter": status} if status else {}), "executions")
        found += islice(listed, limit or None)
    except ServiceError as error:
        if error.code != "StateMachineTypeNotSupported":
            raise
    return found


def find_execution(client: Client, text: str) -> str:
    """Returns the ARN of an execution that an ARN, a name, WORKFLOW/NAME, or the beginning of a name names. Raises
    ClientError."""
    if text.startswith("arn:"):
        return text
    workflow, is_qualified, name = text.rpartition("/")
    within = [machine_arn(client, workflow)] if is_qualified else [one["stateMachineArn"] for one in machines(client)]
    exact = [arn for machine in within if (arn := _named(client, machine, name))]
    if len(exact) == 1:
        return exact[0]
    if len(name) < MIN_PREFIX and not exact:
        raise ClientError(f"{text!r} is too short for an execution: give at least {MIN_PREFIX} characters of its name.")
    found = exact or [
        row["executionArn"]
        for machine in within
        for row in newest(client, machine, NEWEST)
        if row["name"].startswith(name)
    ]
    if len(found) == 1:
        return str(found[0])
    if found:
        raise ClientError(
            f"{len(found)} executions are called {text!r}: give more of the name, WORKFLOW/NAME, or the ARN."
        )
    raise ClientError(f"There is no execution {text!r}. Those there are: batchyard workflows NAME")


def _named(client: Client, machine: str, name: str) -> str:
    """Returns the ARN of the execution of a state machine that has exactly this name; empty: there is none."""
    arn = f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"
    try:
        client.call("DescribeExecution", {"executionArn": arn, "includedData": "METADATA_ONLY"}, STATES)
    except ServiceError as error:
        if error.code not in ("ExecutionDoesNotExist", "InvalidArn", "ValidationException"):
            raise
        return ""
    return arn


def milliseconds(at_seconds: float) -> int:
    return round(at_seconds * 1000)


def answered(client: Client, asking: Generator[Asked, Answer, Found]) -> Found:
    """Returns the result of a generator, whose questions the service answers."""
    try:
        asked = next(asking)
        while True:
            asked = asking.send(client.call(asked.operation, asked.request, asked.service))
    except StopIteration as end:
        found: Found = end.value
        return found
