"""The series of metrics and their samples, in an SQLite file of their own (observability spec 9.2, 23).

New samples are rows, in the order of time, so that a minute of thousands of series is a few pages. Upkeep packs the
rows of some hours of a series into one block, and rolls blocks up as they age: minutes are kept for 15 days, five
minutes for 63, hours for 455, and what is finer than a minute for three hours. A question gets the finest that there
is. Samples that were put are there after a killed process; a loss of power may take the last ones."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from batchyard.evaluators.metrics.samples import Samples, merged
from batchyard.store.metrics.blocks import packed_point, unpacked_block, unpacked_point
from batchyard.store.metrics.metric_database import open_for_writing
from batchyard.store.metrics.series import Datum, Dimensions, Series, StoredSeries, dimensions_in, dimensions_text
from batchyard.store.metrics.transaction import Transaction
from batchyard.store.metrics.upkeep import BLOCK_SECONDS, HOUR, KEPT_SECONDS, MINUTE, MINUTES_OF, Upkeep
from batchyard.store.sqlite.side_files import open_for_reading

MAX_SERIES = 100_000  # their names are in memory; a job's id as a dimension would make them without end
LAST_SEEN_SECONDS = 3600  # how old the time of a series may be before it is written again


class TooManySeries(Exception):
    """There are MAX_SERIES already. The text is a sentence."""


class MetricStore:
    """All methods may be called in any thread, and none in that of an event loop, which would wait for writers."""

    def __init__(self, path: Path) -> None:
        """Opens the file, made where there is none. Raises StoreError."""
        self._path = path
        self._lock = threading.Lock()  # of the one connection that writes, and of `_series`
        self._local = threading.local()  # a connection of each thread that reads
        self._connections: list[sqlite3.Connection] = []
        self._writer = open_for_writing(path)
        self._connections.append(self._writer)
        self._upkeep = Upkeep()
        self._series: dict[Series, StoredSeries] = {}
        for row in self._writer.execute("SELECT id, namespace, name, dimensions, unit, last_s FROM series ORDER BY id"):
            series = Series(row[1], row[2], dimensions_in(row[3]), row[4])
            self._series[series] = StoredSeries(row[0], series, row[5])

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    @property
    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = open_for_reading(self._path)
            self._connections.append(connection)
        return connection

    # -- writing --

    def put(self, data: Sequence[Datum]) -> None:
        """Adds samples to those that their periods have. Raises TooManySeries, having added nothing."""
        self._write(data, is_whole=False)

    def replace(self, data: Sequence[Datum]) -> None:
        """Sets the samples of whole minutes, whatever they had: done again, it changes nothing. For the service's own
        metrics, whose number has a limit already."""
        self._write(data, is_whole=True)

    def _write(self, data: Sequence[Datum], *, is_whole: bool) -> None:
        with self._lock:
            new = {datum.series for datum in data if datum.series not in self._series}
            if not is_whole and len(self._series) + len(new) > MAX_SERIES:
                raise TooManySeries(
                    f"There are {len(self._series)} metrics, and at most {MAX_SERIES} can be kept: give them fewer "
                    "different dimensions."
                )
            touched: dict[Series, StoredSeries] = {}
            with Transaction(self._writer):
                for datum in data:
                    number = self._touch(datum, touched)
                    if datum.resolution_s < MINUTE:
                        self._add_second(number, datum)
                    else:
                        self._add_minute(number, datum, is_whole=is_whole)
            self._series |= touched

    def _touch(self, datum: Datum, touched: dict[Series, StoredSeries]) -> int:
        """Returns the number of a series, a new one where it has none. What changes of series is in `touched`."""
        known = touched.get(datum.series) or self._series.get(datum.series)
        if known is None:
            series = datum.series
            row = (series.namespace, series.name, dimensions_text(series.dimensions), series.unit, datum.at_s)
            sql = "INSERT INTO series (namespace, name, dimensions, unit, last_s) VALUES (?, ?, ?, ?, ?) RETURNING id"
            (number,) = self._writer.execute(sql, row).fetchone()
            touched[series] = StoredSeries(number, series, datum.at_s)
            return int(number)
        if datum.at_s >= known.last_s + LAST_SEEN_SECONDS:
            self._writer.execute("UPDATE series SET last_s = ? WHERE id = ?", (datum.at_s, known.id))
            touched[datum.series] = known._replace(last_s=datum.at_s)
        return known.id

    def _add_minute(self, number: int, datum: Datum, *, is_whole: bool) -> None:
        at_s = datum.at_s - datum.at_s % MINUTE
        sql = "INSERT INTO minutes (at_s, series, is_whole, data) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        added = self._writer.execute(sql, (at_s, number, is_whole, packed_point(datum.samples)))
        if added.rowcount:
            return
        samples = datum.samples
        if not is_whole:
            (data,) = self._writer.execute(
                "SELECT data FROM minutes WHERE at_s = ? AND series = ?", (at_s, number)
            ).fetchone()
            samples = merged([unpacked_point(data), samples])
        self._writer.execute(
            "UPDATE minutes SET data = ?, is_whole = max(is_whole, ?) WHERE at_s = ? AND series = ?",
            (packed_point(samples), is_whole, at_s, number),
        )

    def _add_second(self, number: int, datum: Datum) -> None:
        where = (number, datum.at_s)
        known = self._writer.execute("SELECT data FROM seconds WHERE series = ? AND at_s = ?", where).fetchone()
        samples = datum.samples if known is None else merged([unpacked_point(known[0]), datum.samples])
        self._writer.execute("INSERT OR REPLACE INTO seconds VALUES (?, ?, ?)", (*where, packed_point(samples)))

    # -- reading --

    def series(self) -> list[StoredSeries]:
        """Returns all series."""
        with self._lock:
            return list(self._series.values())

    def find(self, series: Series) -> StoredSeries | None:
        with self._lock:
            return self._series.get(series)

    def units(self, namespace: str, name: str, dimensions: Dimensions) -> list[StoredSeries]:
        """Returns the series of a metric, one for each unit, by unit."""
        found = [self.find(Series(namespace, name, dimensions, unit)) for unit in UNITS]
        return [one for one in found if one is not None]

    def points(self, number: int, start_s: int, end_s: int) -> list[tuple[int, Samples]]:
        """Returns the samples of a series in [start_s, end_s), by time, each with the start of its period. A period
        may appear twice."""
        with Transaction(self._reader, "BEGIN") as reader:
            found = self._from_blocks(reader, number, start_s, end_s)
            rows = self._minutes(reader, number, start_s, end_s)
            seconds = reader.execute(
                "SELECT at_s, data FROM seconds WHERE series = ? AND at_s >= ? AND at_s < ?", (number, start_s, end_s)
            ).fetchall()
        whole = {at_s for at_s, is_whole, _ in rows if is_whole}
        parts = [(at_s, samples) for at_s, samples in found if at_s not in whole]
        parts += [(at_s, unpacked_point(data)) for at_s, _, data in rows]
        parts += [(at_s, unpacked_point(data)) for at_s, data in seconds]
        return sorted(parts, key=lambda part: part[0])

    def _from_blocks(
        self, reader: sqlite3.Connection, number: int, start_s: int, end_s: int
    ) -> Iterable[tuple[int, Samples]]:
        found: list[tuple[int, Samples]] = []
        for resolution_s, length_s in BLOCK_SECONDS.items():
            sql = (
                "SELECT start_s, data FROM blocks WHERE series = ? AND resolution_s = ? AND start_s > ? AND start_s < ?"
            )
            for block_s, data in reader.execute(sql, (number, resolution_s, start_s - length_s, end_s)):
                points = unpacked_block(data, block_s, resolution_s)
                found += [(at_s, samples) for at_s, samples in points.items() if start_s <= at_s < end_s]
        return found

    def _minutes(
        self, reader: sqlite3.Connection, number: int, start_s: int, end_s: int
    ) -> list[tuple[int, bool, bytes]]:
        first, last = reader.execute("SELECT min(at_s), max(at_s) FROM minutes").fetchone()
        if first is None:
            return []
        low, high = max(start_s + -start_s % MINUTE, first), min(end_s, last + 1)
        if low >= high:
            return []
        rows = reader.execute(MINUTES_OF, (low, high, number, number))
        return [(at_s, bool(is_whole), data) for _, at_s, is_whole, data in rows]

    # -- upkeep --

    def tend(self, now_s: int) -> bool:
        """Packs, rolls up and deletes what is due for some of the series. Returns whether others are left: to be called
        until none are, with pauses."""
        with self._lock:
            highest = max((stored.id for stored in self._series.values()), default=0)
            goes_on = self._upkeep.step(self._writer, now_s, highest)
            if not goes_on:
                self._forget_series(now_s)
            return goes_on

    def _forget_series(self, now_s: int) -> None:
        """Deletes series that have no samples any more."""
        before_s = now_s - KEPT_SECONDS[HOUR] - LAST_SEEN_SECONDS
        for stored in [stored for stored in self._series.values() if stored.last_s < before_s]:
            with Transaction(self._writer):
                self._writer.execute("DELETE FROM blocks WHERE series = ?", (stored.id,))
                self._writer.execute("DELETE FROM series WHERE id = ?", (stored.id,))
            del self._series[stored.series]


UNITS = (
    "Bits",
    "Bits/Second",
    "Bytes",
    "Bytes/Second",
    "Count",
    "Count/Second",
    "Gigabits",
    "Gigabits/Second",
    "Gigabytes",
    "Gigabytes/Second",
    "Kilobits",
    "Kilobits/Second",
    "Kilobytes",
    "Kilobytes/Second",
    "Megabits",
    "Megabits/Second",
    "Megabytes",
    "Megabytes/Second",
    "Microseconds",
    "Milliseconds",
    "None",
    "Percent",
    "Seconds",
    "Terabits",
    "Terabits/Second",
    "Terabytes",
    "Terabytes/Second",
)
