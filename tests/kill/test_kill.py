"""Clients submit while server, supervisor or both are killed at random moments, and nothing is lost or runs twice.

BATCHYARD_KILLS: how many deaths (`make kill KILLS=500`); BATCHYARD_KILL_SEED: the chances of an earlier run again.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kill.clients import Clients
from tests.kill.verdict import Verdict
from tests.kill.yard import Yard
from tests.waiting import until

KILLS = {"server": 24, "supervisor": 24, "both": 12}  # unless told
MAX_PEACE_SECONDS = 0.5
DIES_WHILE_STARTING = 0.2  # of the starts


class Chaos:
    """Kills of one kind, at moments that its seed chooses."""

    def __init__(self, yard: Yard, verdict: Verdict, seed: int) -> None:
        self._yard = yard
        self._verdict = verdict
        self._chance = random.Random(seed)

    def peace(self, longest_seconds: float = MAX_PEACE_SECONDS) -> None:
        """Lets the service work for a while."""
        ends = time.monotonic() + self._chance.uniform(0, longest_seconds)
        until(lambda: time.monotonic() >= ends)

    def server(self) -> None:
        self.peace()
        self._yard.kill()
        self._restart()

    def supervisor(self) -> None:
        self.peace()
        self._verdict.kills += self._yard.kill_supervisor()

    def both(self) -> None:
        self.peace()
        for kill in self._chance.sample((self._yard.kill, self._yard.kill_supervisor), 2):
            kill()
        self._restart()

    def _restart(self) -> None:
        self._verdict.kills += 1
        if self._chance.random() < DIES_WHILE_STARTING:
            self._yard.launch()
            self.peace()
            self._yard.kill()
            self._verdict.kills += 1
        began = time.monotonic()
        self._yard.launch()
        self._yard.check_store()
        self._yard.wait_until_served()
        self._verdict.seconds_to_serve.append(time.monotonic() - began)


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
