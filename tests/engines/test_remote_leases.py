"""Leases of joined hosts: no task lives when the server gives up its host, whatever messages and machines do."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from batchyard.engines.boot import boot_seconds
from batchyard.engines.remote.engine import LeaseSettings, RemoteEngine
from batchyard.engines.remote.leases import KILL_MS, MARGIN_MS, GrantedLease, HeldLease
from tests.engines.remote_harness import Watched

LEASE_MS = 30_000
HEARTBEAT_MS = 5_000
HOUR_MS = 3_600_000
ROUND_MS = 100  # between looks of the supervisor in these worlds
WAKE_MS = 2 * ROUND_MS  # a host that stood still ends its tasks within this: until then they may overlap
SEEDS = range(150)


CLOCK: list[World] = []  # the world that goes on, for wrong hosts that look at its time


class Overlap(Exception):
    """The server ran an attempt elsewhere while it still ran on its host."""


class World:
    """One host, one server, and a network that delays, keeps and drops. Both have clocks of their own, which only
    advance at the same rate; both may stand still for a while. Times are those of the world."""

    def __init__(self, seed: int, held: type[HeldLease], granted: type[GrantedLease]) -> None:
        self.random = random.Random(seed)
        self.now_ms = 0
        self.skew_ms = self.random.randrange(-HOUR_MS, HOUR_MS)  # of the server's clock
        CLOCK[:] = [self]
        self.held, self.granted = held(), granted(self.skew_ms, LEASE_MS)
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.numbers = count()
        self.stands_still = {"host": 0, "server": 0}  # until when
        self.cut_until_ms = 0
        self.alive = True  # the task on the host
        self.given_up = False
        self.ends = 0

    def later(self, delay_ms: int, action: Callable[[], None], who: str = "") -> None:
        def act() -> None:
            still_ms = self.stands_still.get(who, 0)
            if still_ms > self.now_ms:
                heapq.heappush(self.events, (still_ms, next(self.numbers), act))
            else:
                action()

        heapq.heappush(self.events, (self.now_ms + delay_ms, next(self.numbers), act))

    def send(self, action: Callable[[], None], who: str) -> None:
        """A message arrives soon, late, or after a cut; or never."""
        chance = self.random.random()
        if chance < 0.1:
            return
        delay_ms = self.random.randrange(1, 200) if chance < 0.8 else self.random.randrange(200, 3 * LEASE_MS)
        self.later(max(delay_ms, self.cut_until_ms - self.now_ms), action, who)

    def disturb(self) -> None:
        kind = self.random.choice(["host", "server", "cut", "nothing"])
        until_ms = self.now_ms + self.random.choice([1_000, 20_000, 90_000])
        if kind == "cut":
            self.cut_until_ms = until_ms
        elif kind in self.stands_still:
            self.stands_still[kind] = max(until_ms, self.stands_still[kind])
        self.later(self.random.randrange(10_000, 120_000), self.disturb)

    # -- the host --

    def ping(self) -> None:
        number = self.held.ping(self.now_ms)
        self.send(lambda: self.answer(number), "server")
        self.later(HEARTBEAT_MS, self.ping, "host")

    def pong(self, number: int) -> None:
        self.held.pong(number, LEASE_MS)

    def keep(self) -> None:
        """The supervisor looks at the lease all the time while it is awake."""
        if self.alive and self.held.until_ms and self.held.is_over(self.now_ms):
            self.end_task(max(0, self.held.until_ms + KILL_MS - self.now_ms))
        self.later(ROUND_MS, self.keep, "host")

    def end_task(self, grace_ms: int) -> None:
        def die() -> None:
            self.alive = False

        self.later(grace_ms, die, "host")

    # -- the server --

    def answer(self, number: int) -> None:
        if self.given_up:
            return  # its connection was cut then
        self.granted.grant(self.now_ms + self.skew_ms, LEASE_MS)
        self.send(lambda: self.pong(number), "host")

    def look(self) -> None:
        if not self.given_up and self.granted.is_lost(self.now_ms + self.skew_ms):
            self.given_up = True
            if self.alive and self.stands_still["host"] + WAKE_MS <= self.now_ms:
                raise Overlap
        self.later(1_000, self.look, "server")

    def run(self) -> bool:
        """Returns whether the server gave the host up."""
        self.held.pong(self.held.ping(0), LEASE_MS)  # it has joined
        self.later(0, self.ping, "host")
        for work in (self.keep, self.look, self.disturb):
            self.later(0, work, {self.keep: "host", self.look: "server"}.get(work, ""))
        while self.events and not self.given_up and self.events[0][0] < 2 * HOUR_MS:
            self.now_ms, _, action = heapq.heappop(self.events)
            action()
        return self.given_up


def run_all(held: type[HeldLease] = HeldLease, granted: type[GrantedLease] = GrantedLease) -> int:
    return sum(World(seed, held, granted).run() for seed in SEEDS)


def test_no_task_lives_when_its_host_is_given_up() -> None:
    assert run_all() > len(SEEDS) // 4, "hosts are given up in these worlds, so that the promise was tried"


class CountsFromThePong(HeldLease):
    def pong(self, number: int, lease_ms: int) -> bool:
        if self._sent.pop(number, None) is None:
            return False
        self.until_ms = max(self.until_ms, CLOCK[0].now_ms + lease_ms)
        return True


class NeverOver(HeldLease):
    def is_over(self, now_ms: int) -> bool:
        return False


class RenewedTwice(HeldLease):
    def pong(self, number: int, lease_ms: int) -> bool:
        return super().pong(number, 2 * lease_ms)


class ForgetsTheKill(GrantedLease):
    @property
    def lost_at_ms(self) -> int:
        return self.until_ms


class CountsFromTheStart(GrantedLease):
    def grant(self, now_ms: int, lease_ms: int) -> None:
        """Renews nothing."""


class GivesUpInTheMiddle(GrantedLease):
    @property
    def lost_at_ms(self) -> int:
        return self.until_ms - LEASE_MS // 2


@pytest.mark.parametrize("held", [CountsFromThePong, NeverOver, RenewedTwice])
def test_a_wrong_host_is_caught(held: type[HeldLease]) -> None:
    with pytest.raises(Overlap):
        run_all(held)


@pytest.mark.parametrize("granted", [ForgetsTheKill, CountsFromTheStart, GivesUpInTheMiddle])
def test_a_wrong_server_is_caught(granted: type[GrantedLease]) -> None:
    with pytest.raises(Overlap):
        run_all(granted=granted)


def test_a_pong_counts_from_its_ping_and_once() -> None:
    held = HeldLease()
    first, second = held.ping(1_000), held.ping(6_000)
    assert held.pong(second, LEASE_MS)
    assert held.until_ms == 36_000
    assert not held.pong(first, LEASE_MS), "an older answer shortens nothing"
    assert not held.pong(second, LEASE_MS)
    assert (held.is_over(35_999), held.is_over(36_000)) == (False, True)


def test_what_a_dead_connection_answers_renews_nothing() -> None:
    held = HeldLease()
    number = held.ping(0)
    held.forget_pings()
    assert not held.pong(number, LEASE_MS)
    assert held.until_ms == 0


def test_a_server_that_starts_waits_for_what_the_one_before_it_granted() -> None:
    granted = GrantedLease(10_000, LEASE_MS)
    assert granted.lost_at_ms == 10_000 + LEASE_MS + KILL_MS + MARGIN_MS
    granted.grant(12_000, LEASE_MS)
    granted.grant(11_000, LEASE_MS)
    assert granted.until_ms == 42_000
    assert (granted.is_lost(granted.lost_at_ms - 1), granted.is_lost(granted.lost_at_ms)) == (False, True)


def test_a_server_with_a_shorter_lease_counts_with_the_one_before(tmp_path: Path) -> None:
    watcher = Watched()
    settings = LeaseSettings(lease_seconds=30.0)
    engine = RemoteEngine(tmp_path, settings, lambda: 0, watcher, longest_lease_ms=300_000)
    before_ms = int(boot_seconds() * 1000)
    engine.watch("i-1", watcher)
    assert engine._peers["i-1"].lease.until_ms >= before_ms + 300_000
