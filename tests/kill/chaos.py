"""Deaths of server and supervisor at random moments."""

from __future__ import annotations

import random
import time

from tests.kill.verdict import Verdict
from tests.kill.yard import Yard
from tests.waiting import until

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
