"""The time that a query may take: set around the work of one reader's thread, checked by SQLite while it searches,
before each statement, and by loops over rows that were read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# For one query of a request. All of them go down an index, page by page: on a busy machine they take a hundredth.
QUERY_SECONDS = 10.0


class OutOfTime(Exception):
    """The query took longer than its budget. The text is a sentence for the caller."""

    def __init__(self) -> None:
        super().__init__(f"The query took longer than {QUERY_SECONDS:.0f} s: ask for less, or narrow it.")


class _Until(threading.local):
    at: float | None = None  # of time.monotonic; None: no limit


_until = _Until()


@contextmanager
def time_budget(seconds: float = QUERY_SECONDS) -> Iterator[None]:
    """Limits the queries of this thread to `seconds`, inside the context."""
    before = _until.at
    _until.at = time.monotonic() + seconds
    try:
        yield
    finally:
        _until.at = before


def is_spent() -> bool:
    return _until.at is not None and time.monotonic() > _until.at


def check_time() -> None:
    """Raises OutOfTime when this thread's budget is used up."""
    if is_spent():
        raise OutOfTime
