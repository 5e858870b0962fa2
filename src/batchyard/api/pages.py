"""Paging by maxResults and nextToken (AWS Batch behaviour 1.6). Tokens are the store's cursors, and name the last
row shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from batchyard.api.checks import check_describe_count, check_names_alone, require
from batchyard.api.context import Context
from batchyard.core.model.names import resource_name
from batchyard.core.model.refusal import Refused

MAX_PAGE = 100  # Describe* and filtered lists (API: each request shape)

Row = TypeVar("Row")
Page = tuple[Sequence[Row], str | None]


def page_size(request: dict[str, Any], maximum: int = MAX_PAGE) -> int:
    """Returns the number of entries on one page. More than the maximum means the maximum: a page may always be
    shorter than requested."""
    asked = request.get("maxResults")
    if asked is None:
        return maximum
    require(asked >= 1, f"maxResults must be between 1 and {maximum}, got {asked}.")
    return min(int(asked), maximum)


async def read_page(context: Context, query: Callable[[], Page[Row]]) -> tuple[Sequence[Row], dict[str, str]]:
    """Returns the rows of a page, and the answer's nextToken member: empty on the last page. A wrong token is
    refused."""
    try:
        rows, token = await context.read(query)
    except ValueError as error:
        raise Refused(str(error)) from None
    return rows, {"nextToken": token} if token else {}


async def read_named(
    context: Context,
    request: dict[str, Any],
    member: str,
    kind: str,
    query: Callable[[list[str] | None, int, str | None], Page[Row]],
) -> tuple[Sequence[Row], dict[str, str]]:
    """Returns the rows that a Describe operation asks for, and the answer's nextToken member: those named in
    `member`, by names or ARNs of a `kind` of resource, or all of them. Unknown names are left out."""
    asked = request.get(member)
    check_describe_count(asked or [], member)
    check_names_alone(request, member)
    names = [resource_name(text, kind) for text in asked] if asked else None
    return await read_page(context, partial(query, names, page_size(request), request.get("nextToken")))
