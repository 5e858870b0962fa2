"""What the operations of CloudWatch Logs have in common: names, limits, refusals, changes of what is written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, TypeVar

from batchyard.api import page_tokens
from batchyard.api.checks import quoted
from batchyard.api.context import Context
from batchyard.core.model.refusal import Refused
from batchyard.store.logs.log_records import WrittenGroup
from batchyard.store.logs.log_writer import NotWritten
from batchyard.wire.messages import Document

INVALID_PARAMETER = "InvalidParameterException"
NOT_FOUND = "ResourceNotFoundException"
GROUP_NAME = re.compile(r"[.\-_/#A-Za-z0-9]+", re.ASCII)
STREAM_NAME = re.compile(r"[^:*]*")
MAX_NAME_LENGTH = 512
MAX_PAGE = 50  # API: DescribeLimit
MAX_TIME_MS = 10**13 - 1  # the year 2286: places of events have 13 digits for it

Result = TypeVar("Result")


def invalid(message: str) -> Refused:
    return Refused(message, code=INVALID_PARAMETER)


def no_group() -> Refused:
    return Refused("The specified log group does not exist.", code=NOT_FOUND)


def no_stream() -> Refused:
    return Refused("The specified log stream does not exist.", code=NOT_FOUND)


def bad_token() -> Refused:
    return page_tokens.bad_token(INVALID_PARAMETER)


async def change(context: Context, work: Callable[[Any, int], Result], size: int = 1) -> Result:
    """Does `work` in the next transaction of the written events, and returns its result once that is durable."""
    try:
        return await asyncio.wrap_future(context.log_writer.run(work, size))
    except NotWritten as error:
        raise Refused(str(error), "ServiceUnavailableException") from error


# -- groups and streams by name --


def group_name(request: Document) -> str:
    """Returns the name of the group that a request names, by name or by identifier."""
    name, identifier = request.get("logGroupName"), request.get("logGroupIdentifier")
    if name and identifier:
        raise invalid("Cannot specify both logGroupName and logGroupIdentifier: give one of them.")
    if name:
        return str(name)
    if not identifier:
        raise invalid("Give the log group: logGroupName, or logGroupIdentifier with its name or ARN.")
    return name_of(str(identifier), "logGroupIdentifier")


def name_of(identifier: str, member: str) -> str:
    """Returns the name in a group's name or ARN."""
    if not identifier.startswith("arn:"):
        return identifier
    _, found, resource = identifier.partition(":log-group:")
    if not found:
        raise invalid(f"{member} is not the ARN of a log group: {quoted(identifier)}.")
    return resource.removesuffix(":*")


def check_group_name(name: str) -> str:
    _check_length(name)
    if not GROUP_NAME.fullmatch(name):
        raise _unmatched(name, "logGroupName", r"[\.\-_/#A-Za-z0-9]+")
    return name


def check_stream_name(name: str) -> str:
    _check_length(name)
    if not STREAM_NAME.fullmatch(name):
        raise _unmatched(name, "logStreamName", "[^:*]*")
    return name


def _check_length(name: str) -> None:
    if len(name) > MAX_NAME_LENGTH:
        raise invalid(f"Invalid LogGroup or LogStream, both must have length less than or equal to {MAX_NAME_LENGTH}.")


def _unmatched(name: str, member: str, pattern: str) -> Refused:
    return invalid(
        f"1 validation error detected: Value {quoted(name)} at '{member}' failed to satisfy constraint: Member must "
        f"satisfy regular expression pattern: {pattern}"
    )


async def find_group(context: Context, name: str) -> WrittenGroup:
    group = await context.read(context.log_catalogue.group, name)
    if group is None:
        raise no_group()
    return group


def require_group(context: Context, name: str) -> WrittenGroup:
    """As find_group, in a reader's thread."""
    group = context.log_catalogue.group(name)
    if group is None:
        raise no_group()
    return group


def group_arn(context: Context, name: str) -> str:
    return context.account.arn("logs", f"log-group:{name}")


# -- pages --


def limit_of(request: Document, maximum: int = MAX_PAGE, member: str = "limit", default: int = 0) -> int:
    asked = request.get(member)
    if asked is None:
        return default or maximum
    if not 1 <= asked <= maximum:
        raise invalid(f"{member} must be between 1 and {maximum}, got {asked}.")
    return int(asked)


def page(document: Document, cursor: str | None) -> Document:
    return document if cursor is None else {**document, "nextToken": cursor}
