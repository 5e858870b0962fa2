"""`sort` and `dedup`: rows in order, of which only as many are kept as can be shown, and rows that differ."""

from __future__ import annotations

from collections.abc import Sequence

from batchyard.evaluators.insights.aggregates import TooLarge
from batchyard.evaluators.insights.batches import Batch, mapped
from batchyard.evaluators.insights.columns import compile_column
from batchyard.evaluators.insights.compiler import compile_expression
from batchyard.evaluators.insights.nodes import Dedup, Sort
from batchyard.evaluators.insights.periods import Time
from batchyard.evaluators.insights.values import Row, Value, sort_key, text_of

MAX_COLLECTED_ROWS = 200_000  # that a sort or dedup may keep; only a sort that is cut at once needs fewer
SPARE_ROWS = 1000  # that are kept beyond twice those that are needed, before the others are dropped

Key = tuple[int, float | str] | None  # None: the value is missing
Place = tuple[Batch, int]


class Collector:
    """Takes rows, and has those that its command makes of them."""

    def add(self, row: Row) -> None:
        raise NotImplementedError

    def add_batch(self, batch: Batch) -> None:
        for row in batch.rows():
            self.add(row)

    def rows(self) -> list[Row]:
        raise NotImplementedError


class SortedRows(Collector):
    """Where only the first rows are needed, the others are dropped each time twice as many have come."""

    def __init__(self, command: Sort, now_ms: int, needed: int | None) -> None:
        self._keys = [compile_expression(node, now_ms) for node, _ in command.keys]
        self._columns = [compile_column(node, now_ms) for node, _ in command.keys]
        self._descends = [is_descending for _, is_descending in command.keys]
        self._needed = needed
        self._kept: list[tuple[tuple[Key, ...], Row | Place]] = []
        self._last: Key = None  # the first key of the last row that is needed, once there are as many
        self._is_full = False

    def add(self, row: Row) -> None:
        self._kept.append((tuple(_key(evaluate(row)) for evaluate in self._keys), row))
        self._drop()

    def add_batch(self, batch: Batch) -> None:
        if self._is_full:
            positions = self._positions(self._columns[0](batch))
            if not positions:
                return
            if len(positions) < batch.size:
                batch = batch.select(positions)
        columns = [mapped(column(batch), _key) for column in self._columns]
        self._kept += [(keys, (batch, at)) for at, keys in enumerate(zip(*columns, strict=True))]
        self._drop()

    def rows(self) -> list[Row]:
        return _made([row for _, row in self._ordered()[: self._needed]])

    def _drop(self) -> None:
        if self._needed is None:
            if len(self._kept) > MAX_COLLECTED_ROWS:
                raise TooLarge(f"sort keeps more than {MAX_COLLECTED_ROWS} rows; a limit after it, or a filter, helps")
        elif len(self._kept) > 2 * self._needed + SPARE_ROWS:
            kept = self._ordered()[: self._needed]
            # As rows of their own: a batch of which one row is needed would stay as a whole.
            rows = _made([row for _, row in kept])
            self._kept = [(keys, row) for (keys, _), row in zip(kept, rows, strict=True)]
            if kept:
                self._is_full, self._last = True, self._kept[-1][0][0]

    def _positions(self, values: Sequence[Value]) -> Sequence[int]:
        """Returns where rows are that may come before the last one that is needed: an equal first key may, if there is
        a second key."""
        last, descends, has_more = self._last, self._descends[0], len(self._keys) > 1
        if last is not None and not last[0] and set(map(type, values)) <= {int, float, Time}:
            bound = last[1]
            if has_more:
                if descends:
                    return [at for at, value in enumerate(values) if value >= bound]  # type: ignore[operator]
                return [at for at, value in enumerate(values) if value <= bound]  # type: ignore[operator]
            if descends:
                return [at for at, value in enumerate(values) if value > bound]  # type: ignore[operator]
            return [at for at, value in enumerate(values) if value < bound]  # type: ignore[operator]
        return [
            at
            for at, key in enumerate(mapped(values, _key))
            if (has_more and key == last) or _is_before(key, last, descends)
        ]

    def _ordered(self) -> list[tuple[tuple[Key, ...], Row | Place]]:
        """Sorts by the last key first, so that each earlier one decides. What is missing comes last."""
        rows = self._kept
        for position in reversed(range(len(self._keys))):
            there = [entry for entry in rows if entry[0][position] is not None]
            there.sort(key=lambda entry: entry[0][position] or (0, 0), reverse=self._descends[position])
            rows = there + [entry for entry in rows if entry[0][position] is None]
        return rows


class NewestRows(Collector):
    """`dedup` where all rows are wanted: of the rows with equal keys the newest, in whatever order they come."""

    def __init__(self, command: Dedup, now_ms: int) -> None:
        self._keys = [compile_expression(node, now_ms) for node in command.nodes]
        self._columns = [compile_column(node, now_ms) for node in command.nodes]
        self._found: dict[tuple[str | None, ...], tuple[int, Row]] = {}

    def add(self, row: Row) -> None:
        assert row.record is not None
        self._take(tuple(text_of(evaluate(row)) for evaluate in self._keys), row.record.at_ms, row)

    def add_batch(self, batch: Batch) -> None:
        columns = [mapped(column(batch), text_of) for column in self._columns]
        newest: dict[tuple[str | None, ...], int] = {}
        for at, key in enumerate(zip(*columns, strict=True)):
            newest.setdefault(key, at)  # lines of a stream come newest first
        found, times = self._found, batch.times
        wanted = [(key, at) for key, at in newest.items() if key not in found or times[at] > found[key][0]]
        rows = batch.select([at for _, at in wanted]).rows()
        for (key, at), row in zip(wanted, rows, strict=True):
            self._take(key, times[at], row)

    def _take(self, key: tuple[str | None, ...], at_ms: int, row: Row) -> None:
        kept = self._found.get(key)
        if kept is None and len(self._found) >= MAX_COLLECTED_ROWS:
            raise TooLarge(f"dedup keeps more than {MAX_COLLECTED_ROWS} different rows")
        if kept is None or at_ms > kept[0]:
            self._found[key] = (at_ms, row)

    def rows(self) -> list[Row]:
        return [row for _, row in sorted(self._found.values(), key=lambda entry: -entry[0])]


def _made(rows: Sequence[Row | Place]) -> list[Row]:
    """Returns what stands in these places; rows of one batch are made together."""
    positions: dict[Batch, list[int]] = {}
    for row in rows:
        if not isinstance(row, Row):
            positions.setdefault(row[0], []).append(row[1])
    made = {batch: iter(batch.select(chosen).rows()) for batch, chosen in positions.items()}
    return [row if isinstance(row, Row) else next(made[row[0]]) for row in rows]


def _key(value: Value) -> Key:
    return None if value is None else sort_key(value)


def _is_before(key: Key, other: Key, descends: bool) -> bool:
    if key is None or other is None:
        return key is not None and other is None
    return key > other if descends else key < other
