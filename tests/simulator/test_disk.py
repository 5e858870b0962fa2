"""The simulated disk and the real store agree: the same transactions give the same snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchyard.core.model.changes import Changes
from batchyard.simulator.disk import Disk
from batchyard.simulator.generator import generate
from batchyard.simulator.server import Server
from batchyard.simulator.simulation import Simulation
from batchyard.store import codec
from batchyard.store.codec import Rows
from batchyard.store.load import IDEMPOTENCY_MS
from batchyard.store.store import Store

COMPARED_EVERY = 4  # commits


class Recorded(Simulation):
    """Keeps every transaction."""

    def before_durable(self, server: Server, rows: Rows, now_ms: int) -> None:
        super().before_durable(server, rows, now_ms)
        self.transactions.append((codec.decode_changes(rows), now_ms))

    transactions: list[tuple[Changes, int]]


def transactions_of(seed: int) -> list[tuple[Changes, int]]:
    simulation = Recorded(seed, generate(seed))
    simulation.transactions = []
    try:
        simulation.run()
    finally:
        simulation.close()
    return simulation.transactions


@pytest.mark.parametrize("seed", [1, 7, 34, 118])
def test_the_disk_loads_what_the_store_loads(seed: int, tmp_path: Path) -> None:
    disk = Disk()
    writer = Store.open(tmp_path / "yard.db").writer()
    writer.open("123456789012", "us-east-1")
    try:
        for number, (changes, now_ms) in enumerate(transactions_of(seed)):
            writer.commit(changes, now_ms).result()
            disk.apply(codec.encode_changes(changes), now_ms)
            if number % COMPARED_EVERY == 0:
                assert disk.snapshot(now_ms, IDEMPOTENCY_MS) == writer.load(now_ms)
        assert number > COMPARED_EVERY
        assert disk.snapshot(now_ms, IDEMPOTENCY_MS) == writer.load(now_ms)
    finally:
        writer.close()
