"""Queries end when their time is over, wherever they are."""

from pathlib import Path

import pytest
from sqlalchemy import text

from batchyard.store import budgets
from batchyard.store.budgets import OutOfTime, check_time, is_spent, time_budget
from batchyard.store.queries import Reader
from batchyard.store.store import Store
from batchyard.store.writer import Writer

COUNTING = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most}) SELECT max(i) FROM n"
ENDLESS = COUNTING.format(most=10**15)


class Clock:
    """Moves on by a second at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


def test_a_search_that_takes_too_long_is_ended(path: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "time", Clock())
    engine = Store.open(path).driver.read_engine()
    try:
        with engine.connect() as connection, time_budget(20), pytest.raises(OutOfTime, match="ask for less"):
            connection.execute(text(ENDLESS)).all()
        with engine.connect() as connection:  # the connection is as good as new, and knows no budget
            assert connection.execute(text(COUNTING.format(most=10**6))).scalar() == 10**6
    finally:
        engine.dispose()


def test_many_short_queries_count_together(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "time", Clock())

    def for_ever() -> None:
        while True:
            reader.counts("default")

    with time_budget(20), pytest.raises(OutOfTime):
        for_ever()
    assert reader.counts("default") == {}


def test_a_budget_ends_with_its_block() -> None:
    with time_budget(-1):
        assert is_spent()
        with pytest.raises(OutOfTime):
            check_time()
        with time_budget(1000):
            assert not is_spent()
        assert is_spent()
    assert not is_spent()
