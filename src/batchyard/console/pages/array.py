"""An array: its children as cells by state, and its failures grouped by what they have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.api.context import Context
from batchyard.console.grid import grid_of
from batchyard.console.job_logs import find_place, last_line
from batchyard.console.rendering import render
from batchyard.console.rows import JobRow, row_of
from batchyard.console.site import Answer, PageRequest, Site
from batchyard.core.model.records import Ranges, Status
from batchyard.store.queries import JobView

MAX_GROUPED = 1000  # failed children whose reasons are read: some 30 ms
MAX_LINES_READ = 200  # of them, whose last line of output is read: a file each
MAX_LISTED = 20  # children named in one group
LINE_CHARACTERS = 120  # of a last line, as far as it makes a group
PAGE_CHILDREN = 50


class FailureGroup(Struct):
    """Failed children that have reason, exit code and last line of output in common."""

    reason: str
    exit_code: int | None
    line: str
    count: int = 0
    indexes: list[int] = []


async def show(site: Site, request: PageRequest, view: JobView, values: dict[str, Any]) -> Answer:
    context = site.context
    states = await context.read(context.reader.child_states, view)
    groups, exits = await context.read(_groups, context, view)
    failed = _count(states.get("FAILED", ()))
    status = request.query.get("state", "").upper()
    listed, older = await _children(context, view, status, request.query.get("older"))
    assert view.job.array is not None, "the page of an array shows an array"
    grid = grid_of(view.job.array.size, states)
    return render(
        site,
        request,
        "array.html",
        **values,
        grid=grid,
        counts={state: _count(ranges) for state, ranges in states.items()},
        ranges=msgspec.json.encode(states if grid.each == 1 else {}).decode(),
        exits=msgspec.json.encode(exits).decode(),
        groups=groups,
        ungrouped=max(0, failed - MAX_GROUPED),
        children=listed,
        child_state=status,
        older=older,
    )


async def _children(context: Context, view: JobView, status: str, after: str | None) -> tuple[list[JobRow], str | None]:
    wanted = Status(status) if status in Status.__members__ else None
    try:
        found, more = await context.read(context.reader.list_children, view, wanted, PAGE_CHILDREN, after)
    except ValueError:  # a cursor of another version
        found, more = await context.read(context.reader.list_children, view, wanted, PAGE_CHILDREN)
    return [row_of(child, context.account) for child in found], more


def _groups(context: Context, view: JobView) -> tuple[list[FailureGroup], dict[str, int]]:
    """Returns the groups, the largest first, and the exit codes of failed children by index."""
    failed, _ = context.reader.list_children(view, Status.FAILED, MAX_GROUPED)
    groups: dict[tuple[str, int | None, str], FailureGroup] = {}
    exits: dict[str, int] = {}
    for number, child in enumerate(failed):
        last = child.job.past[-1] if child.job.past else None
        reason = (last.reason or last.status_reason if last else "") or child.job.status_reason
        exit_code = last.exit_code if last else None
        line = ""
        if number < MAX_LINES_READ and last is not None:
            place = find_place(child)
            line = last_line(context, place)[:LINE_CHARACTERS] if place is not None else ""
        assert child.index is not None, "a child of an array has an index"
        if exit_code is not None:
            exits[str(child.index)] = exit_code
        key = reason, exit_code, _shape(line)
        group = groups.setdefault(key, FailureGroup(reason, exit_code, line, 0, []))
        group.count += 1
        if len(group.indexes) < MAX_LISTED:
            group.indexes.append(child.index)
    return sorted(groups.values(), key=lambda group: -group.count), exits


def _shape(line: str) -> str:
    """Returns a line without its numbers, which differ from child to child."""
    return re.sub(r"\d+", "#", line)


def _count(ranges: Ranges | Sequence[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in ranges)
