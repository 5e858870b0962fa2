"""Clients submit while server, supervisor or both are killed at random moments, and nothing is lost or runs twice.

BATCHYARD_KILLS: how many deaths (`make kill KILLS=500`); BATCHYARD_KILL_SEED: the chances of an earlier run again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kill.chaos import Chaos
from tests.kill.clients import Clients
from tests.kill.verdict import Verdict
from tests.kill.yard import Yard
from tests.waiting import until

KILLS = {"server": 24, "supervisor": 24, "both": 12}  # unless told


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with Yard(tmp_path) as yard:
        yard.register()
        yield yard


@pytest.mark.parametrize("victim", ["server", "supervisor", "both"])
def test_nothing_is_lost_and_nothing_runs_twice(yard: Yard, victim: str, figures: list[str]) -> None:
    seed = int(os.environ.get("BATCHYARD_KILL_SEED") or random.randrange(1 << 32))
    wanted = int(os.environ.get("BATCHYARD_KILLS") or KILLS[victim])
    verdict = Verdict(f"{victim} killed, BATCHYARD_KILL_SEED={seed}")
    print(verdict.title)
    chaos = Chaos(yard, verdict, seed)
    strike = {"server": chaos.server, "supervisor": chaos.supervisor, "both": chaos.both}[victim]
    with Clients(yard, seed) as clients:
        until(lambda: clients.accepted, 30, "the first job")
        while verdict.kills < wanted:
            strike()
        clients.stop()
        verdict.judge(yard, clients)
    yard.check_store()
    figures.append(verdict.line())
    assert not clients.refused
    assert not verdict.faults, "\n".join([verdict.line(), *verdict.faults[:50]])
    assert verdict.accepted > wanted
    assert (verdict.lost, verdict.twice, verdict.unfinished) == (0, 0, 0)
    if victim == "server":
        assert verdict.reported_lost == 0, "jobs outlive the server"
