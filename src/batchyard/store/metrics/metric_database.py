"""The file of metrics: its tables, and connections to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from batchyard.store.sqlite import side_files

VERSION = 1

# `is_whole`: nothing else is to come of that minute. What is in `minutes` and in `blocks` belongs together, but whole
# minutes take the place of what a block has.
SCHEMA = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, dimensions TEXT NOT NULL, unit TEXT NOT NULL,
    last_s INTEGER NOT NULL, UNIQUE (namespace, name, dimensions, unit)
);
CREATE TABLE minutes (
    at_s INTEGER NOT NULL, series INTEGER NOT NULL, is_whole INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (at_s, series)
) WITHOUT ROWID;
CREATE TABLE seconds (
    series INTEGER NOT NULL, at_s INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (series, at_s)
) WITHOUT ROWID;
CREATE TABLE blocks (
    series INTEGER NOT NULL, resolution_s INTEGER NOT NULL, start_s INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (series, resolution_s, start_s)
) WITHOUT ROWID;
"""


# What a killed process has committed is in the file; only a loss of power may take the last seconds.
PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")
UNUSABLE = (
    "The metrics in {path} cannot be used ({error}). Move the file away to begin without them; jobs are not in it."
)


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Opens the file, made where there is none. Transactions are the caller's. Raises StoreError."""
    return side_files.open_for_writing(path, SCHEMA, VERSION, PRAGMAS, UNUSABLE)
