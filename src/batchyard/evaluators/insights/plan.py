"""Runs queries over records that come one by one, and has their rows at any time (spec 18).

The commands up to the first that needs all rows (`stats`, `sort`, `pattern`) are applied to each record as it comes;
the rest is applied to what was collected, when rows are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from batchyard.evaluators.insights.aggregates import TooLarge
from batchyard.evaluators.insights.batch_steps import BatchStep, batch_steps
from batchyard.evaluators.insights.batches import Batch
from batchyard.evaluators.insights.columns import compile_column
from batchyard.evaluators.insights.compiler import compile_expression, required_texts
from batchyard.evaluators.insights.message_patterns import Clusters
from batchyard.evaluators.insights.nodes import (
    Command,
    Dedup,
    Field,
    Fields,
    Filter,
    Limit,
    Named,
    Node,
    ParseGlob,
    ParseRegex,
    PatternOf,
    Query,
    Sort,
    Stats,
)
from batchyard.evaluators.insights.parser import parse_query
from batchyard.evaluators.insights.sorting import MAX_COLLECTED_ROWS, Collector, NewestRows, SortedRows
from batchyard.evaluators.insights.stats import Grouping
from batchyard.evaluators.insights.values import LogRecord, Row, is_true, text_of

DEFAULT_LIMIT = 10_000  # AWS's own
DEFAULT_COLUMNS = ("@timestamp", "@message")

Step = Callable[[Row], bool]  # changes a row; whether it goes on


class Statistics(NamedTuple):
    """What a query has looked at. Bytes are characters, as far as it knows."""

    records_matched: int
    records_scanned: int
    bytes_scanned: int


class Plan(NamedTuple):
    """A compiled query. `texts`: those that the message of every matching record has; `groups`: of its SOURCE."""

    query: Query
    texts: tuple[str, ...]
    groups: tuple[str, ...]
    now_ms: int
    limit: int

    def execution(self) -> Execution:
        return Execution(self)


def plan_query(text: str, *, now_ms: int, limit: int = DEFAULT_LIMIT) -> Plan:
    """Returns the plan of a query. Raises InvalidQuery. `limit`: rows where the query has no limit of its own."""
    query = parse_query(text)
    filters = []
    for command in query.commands:
        if not isinstance(command, Filter | Fields | ParseGlob | ParseRegex):
            break
        if isinstance(command, Filter):
            filters.append(command.node)
        elif "@message" in _made_by(command):
            break
    plan = Plan(query, tuple(required_texts(filters)), query.groups, now_ms, limit)
    plan.execution()  # what cannot be compiled is refused now
    return plan


def _made_by(command: Command) -> list[str]:
    """Returns the columns that a command makes; a field under its own name stays what it is."""
    if isinstance(command, Fields):
        return [column.name for column in command.columns if not _is_plain(column)]
    if isinstance(command, ParseGlob):
        return list(command.names)
    if isinstance(command, ParseRegex):
        return [name for name in command.regex.names if name]
    return []


class Execution:
    """One run of a plan. Feed it records, newest first, until it is full; its rows are there at any time."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._columns, self._is_chosen = _shown(plan.query)
        self._steps: list[Step] = []
        self._batch_steps: list[BatchStep] | None = None
        self._collector: Collector | None = None
        self._rest: tuple[Command, ...] = ()
        commands = plan.query.commands
        for position, command in enumerate(commands):
            collector = _collector(command, commands[position + 1 :], plan)
            if collector is not None:
                self._collector, self._rest = collector, commands[position + 1 :]
                self._batch_steps = batch_steps(commands[:position], plan.now_ms)
                break
            self._steps.append(_step(command, plan.now_ms))
        for command in self._rest:
            if isinstance(command, Stats | Sort | PatternOf):
                _collector(command, (), plan)
            else:
                _step(command, plan.now_ms)
        self._limit = min((limit.rows for limit in commands if isinstance(limit, Limit)), default=plan.limit)
        self._rows: list[Row] = []
        self._matched = self._scanned = self._bytes = 0

    def add(self, record: LogRecord) -> bool:
        """Takes one record. Returns whether more may change the rows. Raises TooLarge."""
        self._scanned += 1
        self._bytes += len(record.message)
        row = Row(record)
        for step in self._steps:
            if not step(row):
                return not self.is_full
        self._matched += 1
        if self._collector is not None:
            self._collector.add(row)
            return True
        self._rows.append(row)
        return not self.is_full

    @property
    def takes_batches(self) -> bool:
        """Whether add_batch() may take the place of add()."""
        return self._batch_steps is not None and self._collector is not None

    def add_batch(self, batch: Batch) -> None:
        """Takes many records at once. Raises TooLarge."""
        assert self._batch_steps is not None
        assert self._collector is not None
        self._scanned += batch.size
        self._bytes += sum(map(len, batch.texts))
        for step in self._batch_steps:
            if not batch.size:
                return
            batch = step(batch)
        self._matched += batch.size
        if batch.size:
            self._collector.add_batch(batch)

    @property
    def is_full(self) -> bool:
        """Whether no further record can change the rows."""
        if self._collector is not None:
            return False
        return len(self._rows) >= self._limit

    @property
    def statistics(self) -> Statistics:
        return Statistics(self._matched, self._scanned, self._bytes)

    def rows(self) -> list[dict[str, str]]:
        """Returns the rows so far: columns in their order with their values as texts; a missing one is left out. Rows
        of records have `@ptr` at the end."""
        rows = self._rows if self._collector is None else self._collector.rows()
        for position, command in enumerate(self._rest):
            if isinstance(command, Stats | Sort | PatternOf):
                collector = _collector(command, self._rest[position + 1 :], self.plan)
                assert collector is not None
                for row in rows:
                    collector.add(row)
                rows = collector.rows()
            else:
                step = _step(command, self.plan.now_ms)
                rows = [row for row in rows if step(row)]
        if not any(isinstance(command, Limit) for command in self.plan.query.commands):
            rows = rows[: self.plan.limit]
        return [self._shown(row) for row in rows]

    def _shown(self, row: Row) -> dict[str, str]:
        columns: Sequence[tuple[str, tuple[str, ...]]] = self._columns
        if row.record is None and not self._is_chosen:
            columns = [(name, (name,)) for name in row.values]
        shown = {}
        for name, parts in columns:
            text = text_of(row.field(name, parts))
            if text is not None:
                shown[name] = text
        if row.record is not None:
            shown["@ptr"] = row.record.ptr
        return shown


def _shown(query: Query) -> tuple[list[tuple[str, tuple[str, ...]]], bool]:
    """Returns the columns of the result, and whether the query chose them."""
    columns: dict[str, tuple[str, ...]] = {}
    made: dict[str, tuple[str, ...]] = {}
    has_display = has_fields = False
    for command in query.commands:
        if isinstance(command, Stats | PatternOf):
            columns, made, has_display, has_fields = {}, {}, False, False
        elif isinstance(command, Fields):
            named = {column.name: _parts_of(column) for column in command.columns}
            if command.is_display:
                columns, has_display = named, True
            elif not has_display:
                columns |= named
                has_fields = True
        else:
            made |= {name: (name,) for name in _made_by(command)}
    if not has_display:
        if not has_fields:
            columns = {name: (name,) for name in DEFAULT_COLUMNS}
        columns |= made
    return list(columns.items()), has_display or has_fields


def _parts_of(column: Named) -> tuple[str, ...]:
    """Returns where a column is read: a field that is shown under its own name may be one of JSON."""
    return column.node.parts if isinstance(column.node, Field) and _is_plain(column) else (column.name,)


def _is_plain(column: Named) -> bool:
    return isinstance(column.node, Field) and column.node.name == column.name


# -- commands that take one row --


def _step(command: Command, now_ms: int) -> Step:
    if isinstance(command, Filter):
        test = compile_expression(command.node, now_ms)
        return lambda row: is_true(test(row))
    if isinstance(command, Fields):
        return _fields(command, now_ms)
    if isinstance(command, ParseGlob):
        return _parse_glob(command, now_ms)
    if isinstance(command, ParseRegex):
        return _parse_regex(command, now_ms)
    if isinstance(command, Dedup):
        return _dedup(command, now_ms)
    assert isinstance(command, Limit)
    return _limit(command.rows)


def _fields(command: Fields, now_ms: int) -> Step:
    """Only what is no field under its own name has to be worked out; the rest is read when it is shown."""
    made = [
        (column.name, compile_expression(column.node, now_ms)) for column in command.columns if not _is_plain(column)
    ]

    def step(row: Row) -> bool:
        for name, evaluate in made:
            row.values[name] = evaluate(row)
        return True

    return step


def _limit(count: int) -> Step:
    passed = 0

    def step(row: Row) -> bool:
        nonlocal passed
        passed += 1
        return passed <= count

    return step


def _dedup(command: Dedup, now_ms: int) -> Step:
    keys = [compile_expression(node, now_ms) for node in command.nodes]
    seen: set[tuple[str | None, ...]] = set()

    def step(row: Row) -> bool:
        key = tuple(text_of(evaluate(row)) for evaluate in keys)
        if key in seen:
            return False
        if len(seen) >= MAX_COLLECTED_ROWS:
            raise TooLarge(f"dedup keeps more than {MAX_COLLECTED_ROWS} different rows")
        seen.add(key)
        return True

    return step


def _parse_glob(command: ParseGlob, now_ms: int) -> Step:
    source, segments, names = compile_expression(command.source, now_ms), command.segments, command.names

    def step(row: Row) -> bool:
        found = split_by(segments, text_of(source(row)) or "")
        for name, value in zip(names, found or [None] * len(names), strict=True):
            row.values[name] = value
        return True

    return step


def split_by(segments: Sequence[str], text: str) -> list[str | None] | None:
    """Returns what the stars between segments stand for, each as little as possible; the last one, at the end of the
    pattern, takes the rest. None where the text does not fit."""
    at = text.find(segments[0])
    if at < 0:
        return None
    at += len(segments[0])
    found: list[str | None] = []
    for position, segment in enumerate(segments[1:], 1):
        is_rest = not segment and position == len(segments) - 1
        end = len(text) if is_rest else text.find(segment, at)
        if end < 0:
            return None
        found.append(text[at:end])
        at = end + len(segment)
    return found


def _parse_regex(command: ParseRegex, now_ms: int) -> Step:
    source, regex = compile_expression(command.source, now_ms), command.regex
    nothing = (None,) * len(regex.names)

    def step(row: Row) -> bool:
        for name, text in zip(regex.names, regex.groups(text_of(source(row)) or "") or nothing, strict=True):
            if name is not None:
                row.values[name] = text
        return True

    return step


# -- commands that need all rows --


def _collector(command: Command, following: Sequence[Command], plan: Plan) -> Collector | None:
    if isinstance(command, Stats):
        return _Grouped(Grouping(command, plan.now_ms))
    if isinstance(command, Dedup) and not any(isinstance(later, Limit) for later in following):
        return NewestRows(command, plan.now_ms)
    if isinstance(command, PatternOf):
        return _Patterns(command.source, plan.now_ms)
    if isinstance(command, Sort):
        return SortedRows(command, plan.now_ms, _rows_needed(following, plan.limit))
    return None


def _rows_needed(following: Iterable[Command], limit: int) -> int | None:
    """Returns how many rows of a sort are enough, or None where all are needed."""
    for command in following:
        if isinstance(command, Limit):
            return command.rows
        if not isinstance(command, Fields):
            return None
    return limit


class _Grouped(Collector):
    def __init__(self, grouping: Grouping) -> None:
        self._grouping = grouping

    def add(self, row: Row) -> None:
        self._grouping.add(row)

    def add_batch(self, batch: Batch) -> None:
        self._grouping.add_batch(batch)

    def rows(self) -> list[Row]:
        return self._grouping.rows()


class _Patterns(Collector):
    def __init__(self, source: Node, now_ms: int) -> None:
        self._source, self._column = compile_expression(source, now_ms), compile_column(source, now_ms)
        self._clusters = Clusters()

    def add(self, row: Row) -> None:
        text = text_of(self._source(row))
        if text is not None:
            self._clusters.add(text)

    def add_batch(self, batch: Batch) -> None:
        for value in self._column(batch):
            text = text_of(value)
            if text is not None:
                self._clusters.add(text)

    def rows(self) -> list[Row]:
        return [
            Row(
                None,
                {
                    "@pattern": cluster.pattern,
                    "@sampleCount": cluster.samples,
                    "@ratio": cluster.ratio,
                    "@severityLabel": cluster.severity,
                },
            )
            for cluster in self._clusters.rows()
        ]
