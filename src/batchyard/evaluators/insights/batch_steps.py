"""Commands of queries over batches of records: those that stand before the first that needs all rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchyard.evaluators.insights.batches import Batch
from batchyard.evaluators.insights.columns import compile_column
from batchyard.evaluators.insights.nodes import (
    Command,
    Field,
    Fields,
    Filter,
    Joined,
    Node,
    ParseGlob,
    ParseRegex,
)
from batchyard.evaluators.insights.values import is_true, text_of

BatchStep = Callable[[Batch], Batch]  # may return a batch without records


def batch_steps(commands: Sequence[Command], now_ms: int) -> list[BatchStep] | None:
    """Returns the steps of commands, None where one of them depends on the order of records."""
    steps: list[BatchStep] = []
    for command in commands:
        if isinstance(command, Filter):
            steps += [_filter(node, now_ms) for node in _conjuncts(command.node)]
        elif isinstance(command, Fields):
            steps.append(_fields(command, now_ms))
        elif isinstance(command, ParseGlob):
            steps.append(_parse_glob(command, now_ms))
        elif isinstance(command, ParseRegex):
            steps.append(_parse_regex(command, now_ms))
        else:
            return None
    return steps


def _conjuncts(node: Node) -> Sequence[Node]:
    """`a and b` is two filters: the second sees only what the first lets pass."""
    return node.operands if isinstance(node, Joined) and node.is_and else (node,)


def _filter(node: Node, now_ms: int) -> BatchStep:
    test = compile_column(node, now_ms)

    def step(batch: Batch) -> Batch:
        passed = [at for at, value in enumerate(test(batch)) if is_true(value)]
        return batch if len(passed) == batch.size else batch.select(passed)

    return step


def _fields(command: Fields, now_ms: int) -> BatchStep:
    made = [
        (column.name, compile_column(column.node, now_ms))
        for column in command.columns
        if not (isinstance(column.node, Field) and column.node.name == column.name)
    ]

    def step(batch: Batch) -> Batch:
        for name, evaluate in made:
            batch.made[name] = evaluate(batch)
        return batch

    return step


def _texts(batch: Batch, source: Callable[[Batch], Sequence[object]]) -> list[str]:
    """Returns the texts of what is parsed, empty ones for what is missing."""
    values = source(batch)
    if values is batch.texts:
        return batch.texts
    return [text_of(value) or "" for value in values]  # type: ignore[arg-type]


def _parse_glob(command: ParseGlob, now_ms: int) -> BatchStep:
    source, names = compile_column(command.source, now_ms), command.names

    def step(batch: Batch) -> Batch:
        columns = split_each(command.segments, _texts(batch, source))
        for name, column in zip(names, columns, strict=True):
            batch.made[name] = column
        return batch

    return step


def split_each(segments: Sequence[str], texts: Sequence[str]) -> list[list[str | None]]:
    """Returns, for each star between segments, what it stands for in each text (plan.split_by, by columns)."""
    first, length = segments[0], len(segments[0])
    # Where the next segment is looked for in each text; -1: it does not fit.
    ends = [at + length if (at := text.find(first)) >= 0 else -1 for text in texts]
    columns: list[list[str | None]] = []
    for position, segment in enumerate(segments[1:], 1):
        length = len(segment)
        column: list[str | None] = []
        following: list[int] = []
        is_rest = not segment and position == len(segments) - 1
        for text, start in zip(texts, ends, strict=True):
            end = -1 if start < 0 else len(text) if is_rest else text.find(segment, start)
            if end < 0:
                column.append(None)
                following.append(-1)
            else:
                column.append(text[start:end])
                following.append(end + length)
        columns.append(column)
        ends = following
    if -1 in ends:  # a text that does not fit to its end has nothing
        for column in columns[:-1]:
            for at, end in enumerate(ends):
                if end < 0:
                    column[at] = None
    return columns


def _parse_regex(command: ParseRegex, now_ms: int) -> BatchStep:
    source, regex = compile_column(command.source, now_ms), command.regex
    nothing = (None,) * len(regex.names)

    def step(batch: Batch) -> Batch:
        found = [groups or nothing for groups in regex.groups_of(_texts(batch, source))]
        for name, column in zip(regex.names, zip(*found, strict=True), strict=True):
            if name is not None:
                batch.made[name] = column
        return batch

    return step
