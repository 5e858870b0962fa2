"""Upkeep of the store of metrics: rows become blocks, blocks are rolled up as they age, and end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from batchyard.evaluators.metrics.samples import Samples, grouped, merged
from batchyard.store.metrics.blocks import packed_block, packed_point, unpacked_block, unpacked_point
from batchyard.store.metrics.transaction import Transaction

MINUTE, HOUR, DAY = 60, 3600, 86_400
BLOCK_SECONDS = {MINUTE: 4 * HOUR, 300: DAY, HOUR: 30 * DAY}  # of a block, by the resolution of its points
# How long points are kept, by resolution (API: GetMetricData); then they are rolled up into the next, or end.
SECONDS_KEPT = 3 * HOUR  # what is finer than a minute
KEPT_SECONDS = {MINUTE: 15 * DAY, 300: 63 * DAY, HOUR: 455 * DAY}
NEXT_RESOLUTION = {MINUTE: 300, 300: HOUR}
LATE_SECONDS = 300  # data of a minute that come later than this are added to its block, which costs more
ROLLED_UP_DIGITS = 3  # of values that are rolled up: half a percent is what percentiles may be off at most
SERIES_AT_ONCE = 50  # in one transaction: others wait for it

# The rows of some minutes, found one by one: their key begins with the time, under which all series lie together.
MINUTES_OF = """
WITH RECURSIVE times(at) AS (SELECT ? UNION ALL SELECT at + 60 FROM times WHERE at + 60 < ?)
SELECT minutes.series, minutes.at_s, minutes.is_whole, minutes.data FROM times
CROSS JOIN minutes ON minutes.at_s = times.at AND minutes.series BETWEEN ? AND ?
"""
DELETE_MINUTES = """
WITH RECURSIVE times(at) AS (SELECT ? UNION ALL SELECT at + 60 FROM times WHERE at + 60 < ?)
DELETE FROM minutes WHERE (at_s, series) IN (
  SELECT minutes.at_s, minutes.series FROM times
  CROSS JOIN minutes ON minutes.at_s = times.at AND minutes.series BETWEEN ? AND ?
)
"""


class Upkeep:
    """One sweep over all series after the other, some series in a step, each step in a transaction of its own."""

    def __init__(self) -> None:
        self._after = 0  # series up to this number are done in the sweep

    def step(self, connection: sqlite3.Connection, now_s: int, highest: int) -> bool:
        """Does what is due for the next series. Returns whether the sweep goes on; `highest`: the last of its
        series."""
        first, last = self._after + 1, self._after + SERIES_AT_ONCE
        with Transaction(connection):
            _drop_seconds(connection, first, last, now_s)
            _seal(connection, first, last, now_s)
            for resolution_s in NEXT_RESOLUTION:
                _roll_up(connection, resolution_s, first, last, now_s)
            _drop_old(connection, first, last, now_s)
        self._after = last if last < highest else 0
        return bool(self._after)


def _drop_seconds(connection: sqlite3.Connection, first: int, last: int, now_s: int) -> None:
    """Adds what is finer than a minute, and old enough, to its minutes."""
    end_s = (now_s - SECONDS_KEPT) // MINUTE * MINUTE
    where = (first, last, end_s)
    rows = connection.execute(
        "SELECT series, at_s, data FROM seconds WHERE series BETWEEN ? AND ? AND at_s < ? ORDER BY series, at_s", where
    ).fetchall()
    if not rows:
        return
    parts: dict[tuple[int, int], list[Samples]] = {}
    for number, at_s, data in rows:
        parts.setdefault((at_s - at_s % MINUTE, number), []).append(unpacked_point(data))
    for (at_s, number), found in parts.items():
        known = connection.execute(
            "SELECT data, is_whole FROM minutes WHERE at_s = ? AND series = ?", (at_s, number)
        ).fetchone()
        samples = merged(found if known is None else [unpacked_point(known[0]), *found])
        is_whole = False if known is None else known[1]
        connection.execute(
            "INSERT OR REPLACE INTO minutes (at_s, series, is_whole, data) VALUES (?, ?, ?, ?)",
            (at_s, number, is_whole, packed_point(samples)),
        )
    connection.execute("DELETE FROM seconds WHERE series BETWEEN ? AND ? AND at_s < ?", where)


def _seal(connection: sqlite3.Connection, first: int, last: int, now_s: int) -> None:
    """Packs the rows of whole blocks that are over."""
    (oldest_s,) = connection.execute("SELECT min(at_s) FROM minutes").fetchone()
    if oldest_s is None:
        return
    length_s = BLOCK_SECONDS[MINUTE]
    start_s = oldest_s - oldest_s % length_s
    while start_s + length_s + LATE_SECONDS <= now_s:
        rows = connection.execute(MINUTES_OF, (start_s, start_s + length_s, first, last)).fetchall()
        found: dict[int, dict[int, Samples]] = {}
        whole: set[tuple[int, int]] = set()
        for number, at_s, is_whole, data in rows:
            found.setdefault(number, {})[at_s] = unpacked_point(data)
            if is_whole:
                whole.add((number, at_s))
        for number, points in found.items():
            _add_to_block(connection, number, MINUTE, start_s, points, {at_s for of, at_s in whole if of == number})
        if rows:
            connection.execute(DELETE_MINUTES, (start_s, start_s + length_s, first, last))
        start_s += length_s


def _add_to_block(
    connection: sqlite3.Connection,
    number: int,
    resolution_s: int,
    start_s: int,
    points: dict[int, Samples],
    whole: Iterable[int] = (),
) -> None:
    """Adds points to a block; those at `whole` take the place of what is there."""
    where = (number, resolution_s, start_s)
    sql = "SELECT data FROM blocks WHERE series = ? AND resolution_s = ? AND start_s = ?"
    row = connection.execute(sql, where).fetchone()
    known = {} if row is None else unpacked_block(row[0], start_s, resolution_s)
    for at_s, samples in points.items():
        is_alone = at_s in whole or at_s not in known
        known[at_s] = samples if is_alone else merged([known[at_s], samples])
    data = packed_block(known, start_s, resolution_s)
    connection.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)", (*where, data))


def _roll_up(connection: sqlite3.Connection, resolution_s: int, first: int, last: int, now_s: int) -> None:
    """Rolls blocks that are old enough up into the next resolution, whole days at once."""
    end_s = (now_s - KEPT_SECONDS[resolution_s]) // DAY * DAY
    target_s = NEXT_RESOLUTION[resolution_s]
    for number, day_s, points in _old_days(connection, resolution_s, first, last, end_s):
        groups = grouped(sorted(points.items()), day_s, day_s + DAY, target_s)
        rolled = {at_s: _rounded(samples) for at_s, samples in groups.items()}
        length_s = BLOCK_SECONDS[target_s]
        _add_to_block(connection, number, target_s, day_s - day_s % length_s, rolled)
    for number in range(first, last + 1):
        connection.execute(
            "DELETE FROM blocks WHERE series = ? AND resolution_s = ? AND start_s < ?", (number, resolution_s, end_s)
        )


def _rounded(samples: Samples) -> Samples:
    """Returns samples with their values rounded, for percentiles; the statistics keep what they are."""
    if samples.values is None:
        return samples
    counts: dict[float, float] = {}
    for value, count in samples.values:
        rounded = float(f"{value:.{ROLLED_UP_DIGITS}g}")
        counts[rounded] = counts.get(rounded, 0.0) + count
    return samples._replace(values=tuple(sorted(counts.items())))


def _old_days(
    connection: sqlite3.Connection, resolution_s: int, first: int, last: int, end_s: int
) -> Iterator[tuple[int, int, dict[int, Samples]]]:
    """Yields number, day and points of what a series has of each day before `end_s`."""
    for number in range(first, last + 1):
        rows = connection.execute(
            "SELECT start_s, data FROM blocks WHERE series = ? AND resolution_s = ? AND start_s < ?",
            (number, resolution_s, end_s),
        ).fetchall()
        days: dict[int, dict[int, Samples]] = {}
        for start_s, data in rows:
            days.setdefault(start_s - start_s % DAY, {}).update(unpacked_block(data, start_s, resolution_s))
        for day_s, points in days.items():
            yield number, day_s, points


def _drop_old(connection: sqlite3.Connection, first: int, last: int, now_s: int) -> None:
    """Deletes blocks of hours that no question gets any more."""
    before_s = now_s - KEPT_SECONDS[HOUR] - BLOCK_SECONDS[HOUR]
    for number in range(first, last + 1):
        connection.execute(
            "DELETE FROM blocks WHERE series = ? AND resolution_s = ? AND start_s < ?", (number, HOUR, before_s)
        )
