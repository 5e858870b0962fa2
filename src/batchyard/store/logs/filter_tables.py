"""What filters of log groups make of events until it has been passed on: values of metrics by minute, and messages for
subscriptions; and how far the output of jobs has been read for them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MINUTE_MS = 60_000
KEPT_MINUTES = 15 * 24 * 60  # events may come as late as 14 days: the minute is stored again as a whole


class MetricMinute(NamedTuple):
    """What all filters have counted for one series in one minute. `fallback`: the value where they found nothing; None:
    there is none."""

    series: str
    minute: int
    samples: float
    total: float
    minimum: float
    maximum: float
    fallback: float | None


class Pending(NamedTuple):
    """A message for a subscription. `body`: AWS's document of it."""

    sequence: int
    destination: str
    log_group: str
    filter_name: str
    body: str


def count(
    connection: sqlite3.Connection,
    series: str,
    minute: int,
    owner: str,
    values: Sequence[float],
    fallback: float | None = None,
) -> None:
    """Adds values of a filter (`owner`: its group and name) to a minute of a series. `fallback`: its value where none
    are added."""
    connection.execute(
        "INSERT INTO metric_minutes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1) ON CONFLICT DO UPDATE SET "
        "samples = samples + ?4, total = total + ?5, minimum = coalesce(min(minimum, ?6), minimum, ?6), "
        "maximum = coalesce(max(maximum, ?7), maximum, ?7), fallback = ?8, is_new = 1",
        (
            series,
            minute,
            owner,
            len(values),
            sum(values),
            min(values, default=None),
            max(values, default=None),
            fallback,
        ),
    )


def new_minutes(connection: sqlite3.Connection, before_minute: int) -> list[MetricMinute]:
    """Returns the minutes before `before_minute` in which something was counted since they were stored: whole."""
    rows = connection.execute(
        "SELECT series, minute, sum(samples), sum(total), min(minimum), max(maximum), max(fallback) "
        "FROM metric_minutes "
        "WHERE (series, minute) IN (SELECT series, minute FROM metric_minutes WHERE is_new = 1 AND minute < ?) "
        "GROUP BY series, minute ORDER BY minute",
        (before_minute,),
    )
    return [MetricMinute(*row) for row in rows]


def minutes_are_stored(connection: sqlite3.Connection, minutes: Sequence[MetricMinute], now_minute: int) -> None:
    """Notes that these minutes were stored as they are here. Those that got more since are to be stored again."""
    connection.executemany(
        "UPDATE metric_minutes SET is_new = 0 WHERE series = ?1 AND minute = ?2 AND ?3 = "
        "(SELECT sum(samples) FROM metric_minutes WHERE series = ?1 AND minute = ?2)",
        [one[:3] for one in minutes],
    )
    connection.execute("DELETE FROM metric_minutes WHERE minute < ? AND is_new = 0", (now_minute - KEPT_MINUTES,))


def add_pending(
    connection: sqlite3.Connection, destination: str, group: str, filter_name: str, document: dict[str, Any]
) -> None:
    connection.execute(
        "INSERT INTO pending (destination, log_group, filter, body) VALUES (?, ?, ?, ?)",
        (destination, group, filter_name, json.dumps(document, separators=(",", ":"))),
    )


def pending(connection: sqlite3.Connection, limit: int) -> list[Pending]:
    """Returns the messages that wait, the oldest first."""
    rows = connection.execute(
        "SELECT sequence, destination, log_group, filter, body FROM pending ORDER BY sequence LIMIT ?", (limit,)
    )
    return [Pending(*row) for row in rows]


def delete_pending(connection: sqlite3.Connection, sequences: Sequence[int]) -> None:
    connection.executemany("DELETE FROM pending WHERE sequence = ?", [(sequence,) for sequence in sequences])


# -- how far the output of jobs has been read --


def followed(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """Returns the places up to which streams were read, by group and stream; with an empty stream the time up to which
    the streams of a group are known."""
    rows = connection.execute("SELECT log_group, stream, place FROM followed")
    return {(group, stream): place for group, stream, place in rows}


def set_followed(connection: sqlite3.Connection, group: str, stream: str, place: int | None) -> None:
    """Sets the place; None: nothing of it needs to be known any more."""
    if place is None:
        connection.execute("DELETE FROM followed WHERE log_group = ? AND stream = ?", (group, stream))
    else:
        connection.execute("INSERT OR REPLACE INTO followed VALUES (?, ?, ?)", (group, stream, place))


def begin_followed(connection: sqlite3.Connection, group: str, places: Mapping[str, int]) -> None:
    """Sets all that is known of a group."""
    forget_followed(connection, group)
    for stream, place in places.items():
        set_followed(connection, group, stream, place)


def forget_followed(connection: sqlite3.Connection, group: str) -> None:
    connection.execute("DELETE FROM followed WHERE log_group = ?", (group,))
