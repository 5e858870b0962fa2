"""The file of written log events: its tables, and connections to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from batchyard.store.sqlite import side_files

VERSION = 1
CHECKPOINT_PAGES = 4000  # of the write-ahead log; 16 MiB, as in the store of jobs

# `groups`: rows of those that were created, or of which more is known than that a job names them.
# `events` are ordered within their stream by time; what came at the same time by `sequence`.
# `loose_bytes`: of those of a stream that are in `events`.
# `chunks` hold events that are no longer in `events`, compressed, a run of one stream each.
SCHEMA = """
CREATE TABLE groups (
    name TEXT PRIMARY KEY, created_ms INTEGER NOT NULL, body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE streams (
    key INTEGER PRIMARY KEY, log_group TEXT NOT NULL, name TEXT NOT NULL, created_ms INTEGER NOT NULL,
    first_ms INTEGER NOT NULL DEFAULT 0, last_ms INTEGER NOT NULL DEFAULT 0, ingested_ms INTEGER NOT NULL DEFAULT 0,
    loose_bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (log_group, name)
);
CREATE INDEX streams_by_time ON streams (log_group, last_ms, name);
CREATE INDEX streams_loose ON streams (loose_bytes) WHERE loose_bytes > 0;
CREATE TABLE events (
    stream INTEGER NOT NULL, at_ms INTEGER NOT NULL, sequence INTEGER NOT NULL, ingested_ms INTEGER NOT NULL,
    message TEXT NOT NULL, PRIMARY KEY (stream, at_ms, sequence)
) WITHOUT ROWID;
CREATE TABLE chunks (
    key INTEGER PRIMARY KEY, stream INTEGER NOT NULL, first_ms INTEGER NOT NULL, first_sequence INTEGER NOT NULL,
    last_ms INTEGER NOT NULL, last_sequence INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX chunks_by_time ON chunks (last_ms);
CREATE INDEX chunks_by_stream ON chunks (stream, last_ms, last_sequence, first_ms, first_sequence);
CREATE TABLE documents (
    kind TEXT NOT NULL, log_group TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, log_group, name)
) WITHOUT ROWID;
CREATE TABLE metric_minutes (
    series TEXT NOT NULL, minute INTEGER NOT NULL, owner TEXT NOT NULL, samples REAL NOT NULL,
    total REAL NOT NULL, minimum REAL, maximum REAL, fallback REAL, is_new INTEGER NOT NULL,
    PRIMARY KEY (series, minute, owner)
) WITHOUT ROWID;
CREATE INDEX metric_minutes_new ON metric_minutes (minute) WHERE is_new = 1;
CREATE TABLE pending (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, destination TEXT NOT NULL, log_group TEXT NOT NULL,
    filter TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE followed (
    log_group TEXT NOT NULL, stream TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (log_group, stream)
) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


PRAGMAS = (
    "auto_vacuum=INCREMENTAL",  # of a new file: room of old events is given back
    "journal_mode=WAL",
    "synchronous=FULL",  # a commit that returned survives a loss of power
    f"wal_autocheckpoint={CHECKPOINT_PAGES}",
)
UNUSABLE = (
    "The log events in {path} cannot be used ({error}). Move the file away to begin without them; jobs and their "
    "output are not in it."
)


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Opens the file, made where there is none. Transactions are the caller's. Raises StoreError."""
    return side_files.open_for_writing(path, SCHEMA, VERSION, PRAGMAS, UNUSABLE)
