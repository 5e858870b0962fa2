"""A claim is one statement: of servers that claim a database at once, each gets an epoch of its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from batchyard.store import migrations
from batchyard.store.epoch import CLAIM, claim
from batchyard.store.errors import StoreFenced
from batchyard.store.store import Store
from batchyard.store.tables import metadata
from batchyard.store.writer import Writer
from tests.store.samples import ACCOUNT, NOW_MS, REGION, make_spec, submit

CLAIMANTS = 8
CLAIMS = 25  # of each
WAIT_SECONDS = 30


@pytest.fixture
def connections(path: Path) -> Iterator[list[Connection]]:
    """One for each claimant, to a database whose tables are there and which was never claimed."""
    path.parent.mkdir()
    engine = Store.open(path).driver.write_engine()
    found = [engine.connect() for _ in range(CLAIMANTS)]
    metadata.create_all(found[0])
    yield found
    for connection in found:
        connection.close()
    engine.dispose()


def test_claimants_at_once_get_different_epochs(connections: list[Connection]) -> None:
    """Without a transaction around them: the statement alone has to hold."""
    together = Barrier(CLAIMANTS)
    version = max(migrations.steps())

    def work(connection: Connection) -> list[int]:
        together.wait()
        return [claim(connection, "db", ACCOUNT, REGION, version).epoch for _ in range(CLAIMS)]

    with ThreadPoolExecutor(CLAIMANTS) as threads:
        epochs = [*threads.map(work, connections)]
    assert all(one == sorted(one) for one in epochs)
    assert sorted(epoch for one in epochs for epoch in one) == list(range(1, CLAIMANTS * CLAIMS + 1))


def test_a_claim_fences_the_writer_before_it(path: Path, writer: Writer) -> None:
    engine = Store.open(path).driver.write_engine()
    with engine.connect() as connection:
        assert claim(connection, "db", ACCOUNT, REGION, max(migrations.steps())).epoch == writer.epoch + 1
    engine.dispose()
    with pytest.raises(StoreFenced):
        writer.commit(submit(make_spec(1)), NOW_MS).result(WAIT_SECONDS)


def test_postgresql_takes_the_claim_as_one_statement() -> None:
    said = " ".join(str(CLAIM.compile(dialect=postgresql.dialect())).split())  # type: ignore[no-untyped-call]
    assert said.startswith("UPDATE meta SET ")
    assert "epoch=(meta.epoch + " in said
    assert said.endswith(" RETURNING meta.epoch, meta.next_key, meta.last_time_ms")
