"""Usage, decay, weights, order and reservation of fair share, as values."""

from __future__ import annotations

import heapq
import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.core.state.fairshare import (
    FORGOTTEN_AFTER_WINDOWS,
    WEIGHT_ONE,
    Block,
    FairShare,
    ShareLedger,
    ShareRotation,
    Standing,
    decay,
    fair_share_of,
    held_back,
    jobs_before,
)
from tests.core.naive_shares import NaiveShares

WINDOW_MS = 600_000


def distribution(**weights: float) -> list[dict[str, object]]:
    return [{"shareIdentifier": name.replace("_all", "*"), "weightFactor": w} for name, w in weights.items()]


@given(st.integers(0, 10**10), st.integers(1000, 604_800_000))
def test_decay_is_the_exponential(elapsed_ms: int, window_ms: int) -> None:
    assert decay(elapsed_ms, window_ms) / 2**60 == pytest.approx(math.exp(-elapsed_ms / window_ms), rel=1e-9, abs=1e-15)


@given(st.lists(st.integers(0, 5_000_000), min_size=2, max_size=6))
def test_decay_never_grows_and_forgets(times: list[int]) -> None:
    factors = [decay(at, WINDOW_MS) for at in sorted(times)]
    assert factors == sorted(factors, reverse=True)
    assert decay(0, WINDOW_MS) == 2**60
    assert decay(FORGOTTEN_AFTER_WINDOWS * WINDOW_MS, WINDOW_MS) < 2**60 // 100
    assert decay(10**12, WINDOW_MS) == 0


def test_usage_grows_while_something_is_held_and_decays_after() -> None:
    ledger = ShareLedger()
    ledger.join("a")
    ledger.hold("a", 2000, 0, WINDOW_MS)
    share = ledger.shares["a"]
    assert share.usage_at(1000, WINDOW_MS) == pytest.approx(2000 * 1000, rel=1e-3)  # the window is long
    assert share.usage_at(10**9, WINDOW_MS) == 2000 * WINDOW_MS, "it can never be more than the window holds"
    ledger.hold("a", -2000, WINDOW_MS, WINDOW_MS)
    used = share.usage
    assert used == pytest.approx(2000 * WINDOW_MS * (1 - math.exp(-1)), rel=1e-6)
    assert share.usage_at(2 * WINDOW_MS, WINDOW_MS) == pytest.approx(used / math.e, rel=1e-6)


def test_a_window_of_zero_is_ten_minutes() -> None:
    assert fair_share_of({}).window_ms == fair_share_of({"shareDecaySeconds": 0}).window_ms == 600_000
    assert fair_share_of({"shareDecaySeconds": 3600}).window_ms == 3_600_000


def test_weights_by_the_longest_entry_and_shared_among_those_it_matches() -> None:
    fair = fair_share_of({"shareDistribution": distribution(team_all=0.5, team9_all=2.0, boss=0.125)})
    ledger = ShareLedger()
    for name in ("team1", "team2", "team3", "team91", "boss", "other"):
        ledger.join(name)
    assert {name: weight / WEIGHT_ONE for name, weight in ledger.weights(fair, 0).items()} == {
        "team1": 1.5,
        "team2": 1.5,
        "team3": 1.5,
        "team91": 2.0,
        "boss": 0.125,
        "other": 1.0,
    }
    ledger.leave("team3", 1000)
    assert ledger.weights(fair, 1000 + WINDOW_MS - 1)["team1"] == 1.5 * WEIGHT_ONE, "active until the window has passed"
    assert ledger.weights(fair, 1000 + WINDOW_MS)["team1"] == WEIGHT_ONE


def test_a_share_is_forgotten_some_windows_after_its_last_job() -> None:
    ledger = ShareLedger()
    for name in ("gone", "stays"):
        ledger.join(name)
        ledger.hold(name, 1000, 0, WINDOW_MS)
    ledger.hold("gone", -1000, 60_000, WINDOW_MS)
    ledger.leave("gone", 60_000)
    ledger.forget(60_000 + FORGOTTEN_AFTER_WINDOWS * WINDOW_MS - 1, WINDOW_MS)
    assert sorted(ledger.shares) == ["gone", "stays"]
    ledger.forget(60_000 + FORGOTTEN_AFTER_WINDOWS * WINDOW_MS, WINDOW_MS)
    assert sorted(ledger.shares) == ["stays"]


@pytest.mark.parametrize(
    ("percent", "active", "milli_vcpus"),
    [(50, 1, 50_000), (50, 2, 25_000), (50, 3, 12_500), (25, 1, 25_000), (25, 2, 6_250), (25, 3, 1_562), (0, 1, 0)],
)
def test_what_is_held_back_is_as_in_the_guide(percent: int, active: int, milli_vcpus: int) -> None:
    assert held_back(FairShare(reservation_percent=percent), 100, active) == milli_vcpus


def test_what_has_just_been_placed_counts_at_once() -> None:
    ledger = ShareLedger()
    for name in ("b", "a"):
        ledger.join(name)
    fair = FairShare()
    rotation = ShareRotation(ledger.standings(fair, 0), 60_000, {"a": 5, "b": 1})
    got = []
    for number in range(6):
        name = rotation.next()
        assert name is not None
        got.append(name)
        rotation.placed(name, 1000, 10 + number)
    assert got == ["b", "a", "b", "a", "b", "a"], "a tie goes to the oldest job"
    rotation.skip("b")
    rotation.placed("a", 1000, None)
    assert rotation.next() is None


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(1, 3)), min_size=2, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from([1000, 2000])), min_size=1, max_size=8),
)
def test_who_goes_before_a_job_is_who_would_be_placed_before_it(
    shares: list[tuple[int, int]], jobs: list[tuple[int, int, int]]
) -> None:
    """Blocks of jobs, counted, against turns taken one by one."""
    standings = [
        Standing(load * 60_000 * weight, f"s{n}", load * 60_000, 0, weight) for n, (load, weight) in enumerate(shares)
    ]
    waiting: dict[str, list[Block]] = {s.identifier: [] for s in standings}
    for key, (share, count, milli_vcpus) in enumerate(jobs):
        waiting[f"s{share % len(shares)}"].append(Block(key * 10, count, milli_vcpus))
    single = {
        name: [Block(b.key, 1, b.milli_vcpus) for b in blocks for _ in range(b.count)]
        for name, blocks in waiting.items()
    }
    queued = {name: list(blocks) for name, blocks in single.items()}
    rotation = ShareRotation(standings, 60_000, {name: blocks[0].key for name, blocks in queued.items() if blocks})
    placed: list[tuple[str, Block]] = []
    while (name := rotation.next()) is not None:
        block = queued[name].pop(0)
        placed.append((name, block))
        rotation.placed(name, block.milli_vcpus, queued[name][0].key if queued[name] else None)
    mine = placed[-1][0]
    own = next(s for s in standings if s.identifier == mine)
    before = single[mine][:-1]
    limit = own.weighted + sum(b.milli_vcpus for b in before) * 60_000 * own.weight
    found = {
        s.identifier: jobs_before(s, 60_000, waiting[s.identifier], limit, single[mine][-1].key)
        for s in standings
        if s is not own
    }
    last = len(placed) - 1
    assert sum(found.values()) + len(before) == last


# -- A queue that is always full --


def served(weights: dict[str, float], vcpus: int, lengths_s: list[int], window_s: int, windows: int) -> dict[str, int]:
    """vCPU-seconds each share got over the second half: everybody has jobs waiting, always."""
    fair = fair_share_of({"shareDistribution": distribution(**weights), "shareDecaySeconds": window_s})
    ledger = ShareLedger()
    for name in weights:
        ledger.join(name)
    lengths = itertools.cycle(lengths_s)
    ends: list[tuple[int, int, str, int]] = []
    got = dict.fromkeys(weights, 0)
    now_ms, number, end_ms = 0, 0, windows * fair.window_ms
    while now_ms < end_ms:
        outlook_ms = ledger.outlook_ms(fair.window_ms)
        rotation = ShareRotation(ledger.standings(fair, now_ms), outlook_ms, dict.fromkeys(weights, 0))
        for _ in range(vcpus - len(ends)):
            name = rotation.next()
            assert name is not None
            number += 1
            rotation.placed(name, 1000, number)
            ledger.hold(name, 1000, now_ms, fair.window_ms)
            length_s = next(lengths)
            heapq.heappush(ends, (now_ms + length_s * 1000, number, name, length_s * 1000))
            if now_ms > end_ms // 2:
                got[name] += length_s
        now_ms = ends[0][0]
        while ends and ends[0][0] == now_ms:
            _, _, name, run_ms = heapq.heappop(ends)
            ledger.hold(name, -1000, now_ms, fair.window_ms)
            ledger.ran(run_ms)
    return got


@settings(max_examples=15, deadline=None)
@given(
    st.integers(2, 4), st.sampled_from([1, 2, 3, 4]), st.lists(st.sampled_from([7, 20, 60, 90]), min_size=1, max_size=5)
)
def test_equal_weights_get_equal_time(shares: int, vcpus: int, lengths_s: list[int]) -> None:
    got = served({f"s{n}": 1.0 for n in range(shares)}, vcpus, lengths_s, 600, 20)
    fair_part = sum(got.values()) / shares
    for name, seconds in got.items():  # of all that can be drawn here, the worst is 2.44 jobs away
        assert abs(seconds - fair_part) <= 0.05 * fair_part + 2.5 * max(lengths_s), (name, got)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([1, 2, 3, 9]), st.lists(st.sampled_from([5, 20, 45]), min_size=1, max_size=4))
def test_an_eighth_of_the_weight_gets_eight_times_as_much(vcpus: int, lengths_s: list[int]) -> None:
    """Jobs are short beside the window: who is due less than a job gets a whole one."""
    got = served({"heavy": 1.0, "light": 0.125}, vcpus, lengths_s, 3600, 8)
    assert got["light"] / got["heavy"] == pytest.approx(8, rel=0.3), got


def test_a_share_that_comes_late_goes_first_until_it_has_caught_up() -> None:
    fair = FairShare()
    ledger = ShareLedger()
    ledger.join("early")
    ledger.hold("early", 4000, 0, WINDOW_MS)
    ledger.hold("early", -4000, WINDOW_MS, WINDOW_MS)
    ledger.join("late")
    first = ledger.standings(fair, WINDOW_MS)
    assert [s.identifier for s in first] == ["late", "early"]
    rotation = ShareRotation(first, WINDOW_MS, {"early": 0, "late": 1})
    got = []
    for number in range(6):
        name = rotation.next()
        assert name is not None
        got.append(name)
        rotation.placed(name, 1000, number)
    assert got == ["late", "late", "late", "early", "late", "early"]


# -- Against the naive model --

NAMES = ["a", "b", "team1", "team2", "team3"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "place", "release", "end", "wait", "restart"]),
        st.sampled_from(NAMES),
        st.sampled_from([1000, 250, 4000]),
        st.sampled_from([0, 1, 999, 60_000, 599_999, 1_800_000]),
    ),
    max_size=40,
)


def restarted(ledger: ShareLedger) -> ShareLedger:
    """A ledger of what is kept, and what the jobs say."""
    again = ShareLedger(ledger.freeze())
    for name, share in ledger.shares.items():
        for _ in range(share.jobs):
            again.join(name)
        again.shares[name].held = share.held
    return again


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sampled_from([1000, 600_000, 3_600_000]))
def test_the_order_is_that_of_the_naive_model(steps: list[tuple[str, str, int, int]], window_ms: int) -> None:
    given_weights = distribution(a=0.125, team_all=3.0, team3=2.5)
    fair = fair_share_of({"shareDistribution": given_weights, "shareDecaySeconds": window_ms // 1000})
    naive = NaiveShares(window_ms, [(str(w["shareIdentifier"]), float(str(w["weightFactor"]))) for w in given_weights])
    ledger, now_ms = ShareLedger(), 0
    held: list[tuple[str, int, int]] = []
    for kind, name, milli_vcpus, wait_ms in steps:
        now_ms += wait_ms
        known = ledger.shares.get(name)
        if kind == "submit":
            ledger.join(name)
            naive.submit(name)
        elif kind == "place" and known is not None and known.jobs:
            ledger.hold(name, milli_vcpus, now_ms, window_ms)
            naive.place(name, milli_vcpus / 1000, now_ms)
            held.append((name, milli_vcpus, now_ms))
        elif kind == "release" and held:
            name, milli_vcpus, placed_ms = held.pop(0)
            ledger.hold(name, -milli_vcpus, now_ms, window_ms)
            ledger.ran(now_ms - placed_ms)
            naive.release(name, milli_vcpus / 1000, now_ms)
        elif kind == "end" and known is not None and known.jobs > 1:
            ledger.leave(name, now_ms)
            naive.end(name, now_ms)
        elif kind == "restart":
            ledger = restarted(ledger)
        standings = ledger.standings(fair, now_ms)
        assert sorted(s.identifier for s in standings) == naive.active(now_ms)
        for standing in standings:
            wanted = naive.load(standing.identifier, now_ms)
            assert standing.weighted / WEIGHT_ONE / 1000 == pytest.approx(wanted, rel=1e-3, abs=50)
        loads = [naive.load(s.identifier, now_ms) for s in standings]
        assert all(low <= high + 50 + high * 1e-3 for low, high in itertools.pairwise(loads))
