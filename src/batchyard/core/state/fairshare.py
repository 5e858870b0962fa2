"""Fair share: what each share identifier of a queue has used, which is next, and what is held back for shares that are
not active yet (AWS Batch behaviour 5.3).

Usage is counted in milli-vCPU-milliseconds: what a share's attempts held, times how long, each moment weighted by
exp(-age / window). What a share holds now counts besides, as if it held that for as long as attempts of its queue
usually run: else one pass would give all that is free to the share that is behind by a second.

All of it is integers, so that a replay and every machine come to the same order.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from typing import Any

from msgspec import Struct

from batchyard.core.model.records import SavedShare, ShareUsage
from batchyard.core.model.resources import MILLI_PER_VCPU

DEFAULT_WINDOW_SECONDS = 600  # what shareDecaySeconds 0 means (API: FairsharePolicy)
MAX_ACTIVE_SHARES = 500  # in one queue (API: SubmitJobRequest.shareIdentifier)
# So many windows after its last job a share is forgotten: less than 1 % of what it used counts by then. Together with
# the limit of active shares this bounds what is kept of a queue.
FORGOTTEN_AFTER_WINDOWS = 5
UNKNOWN_RUN_MS = 60_000  # how long an attempt is taken to run in a queue where none has ended yet
RUN_MEMORY = 8  # an attempt that ends moves its queue's usual run time by an eighth of the difference
WEIGHT_ONE = 10**9  # a weightFactor of 1; finer than the smallest, 0.0001, needs

_BITS = 60
_ONE = 1 << _BITS
_LN_2 = 799144290325165978  # ln 2 in units of 2**-60
# 2**(-k/64) and 2**(-k/4096) come from tables; three terms of the series of exp do for what is left of an exponent.
_COARSE, _FINE = 64, 64 * 64
_SERIES = 20  # terms for the tables: below ln 2 the next is less than 2**-60


class FairShare(Struct, frozen=True):
    """A fairsharePolicy, ready to decide by. `exact` and `prefixes`: weights in billionths, by identifier, and by what
    stands before a trailing `*`."""

    window_ms: int = DEFAULT_WINDOW_SECONDS * 1000
    reservation_percent: int = 0
    exact: dict[str, int] = {}
    prefixes: dict[str, int] = {}
    lengths: tuple[int, ...] = ()  # of the prefixes, the longest first

    def entry_of(self, identifier: str) -> tuple[str, int] | None:
        """The entry of shareDistribution for an identifier, the longest one, and its weight; None: it has none."""
        if identifier in self.exact:
            return identifier, self.exact[identifier]
        for length in self.lengths:
            prefix = identifier[:length]
            if prefix in self.prefixes and len(prefix) == length:
                return f"{prefix}*", self.prefixes[prefix]
        return None


def fair_share_of(document: Mapping[str, Any]) -> FairShare:
    """Parses a fairsharePolicy as sent."""
    exact: dict[str, int] = {}
    prefixes: dict[str, int] = {}
    for entry in document.get("shareDistribution", ()):
        weight = round(entry.get("weightFactor", 1.0) * WEIGHT_ONE)
        identifier = entry["shareIdentifier"]
        if identifier.endswith("*"):
            prefixes[identifier[:-1]] = weight
        else:
            exact[identifier] = weight
    lengths = tuple(sorted({len(prefix) for prefix in prefixes}, reverse=True))
    seconds = document.get("shareDecaySeconds") or DEFAULT_WINDOW_SECONDS
    return FairShare(seconds * 1000, document.get("computeReservation") or 0, exact, prefixes, lengths)


def _exp_of_minus(exponent: int) -> int:
    """Computes exp(-x) by its series; exponent and result in units of 2**-60."""
    term = total = _ONE
    for number in range(1, _SERIES + 1):
        term = -((term * exponent) >> _BITS) // number
        total += term
    return total


_ROOTS = tuple(_exp_of_minus(k * _LN_2 // _COARSE) for k in range(_COARSE))
_SMALL_ROOTS = tuple(_exp_of_minus(k * _LN_2 // _FINE) for k in range(_FINE // _COARSE))


def decay(elapsed_ms: int, window_ms: int) -> int:
    """exp(-elapsed / window) in units of 2**-60."""
    halvings, rest = divmod((elapsed_ms << _BITS) // window_ms, _LN_2)
    if halvings > _BITS:
        return 0
    step = rest * _FINE // _LN_2
    rest -= step * _LN_2 // _FINE
    square = (rest * rest) >> _BITS
    little = _ONE - rest + square // 2 - ((square * rest) >> _BITS) // 6
    roots = (_ROOTS[step // _COARSE] * _SMALL_ROOTS[step % _COARSE]) >> _BITS
    return (roots * little) >> (_BITS + halvings)


class Share(Struct):
    """What is known of one share identifier in one queue. `usage` is as of `as_of_ms`; since then it decays, and what
    is held adds to it."""

    usage: int = 0  # milli-vCPU-milliseconds
    as_of_ms: int = 0
    held: int = 0  # milli-vCPUs of its placed attempts
    jobs: int = 0  # unfinished submissions
    left_at_ms: int = 0  # when the last of them ended; 0 while there are some

    def usage_at(self, now_ms: int, window_ms: int) -> int:
        """milli-vCPU-milliseconds over the window that ends now."""
        kept = decay(now_ms - self.as_of_ms, window_ms)
        return (self.usage * kept + self.held * window_ms * (_ONE - kept)) >> _BITS

    def is_active(self, now_ms: int, window_ms: int) -> bool:
        """It has unfinished jobs, or had some within the window."""
        return self.jobs > 0 or now_ms < self.left_at_ms + window_ms


class Standing(Struct, frozen=True, order=True):
    """A share's place among the others: the lowest goes next. `load` is its usage and what it is about to use with what
    it holds now, in milli-vCPU-milliseconds; `weight` is in billionths; `weighted` is their product."""

    weighted: int
    identifier: str
    load: int
    usage: int
    weight: int


class ShareLedger:
    """The shares of one queue. Changes come with the time; each brings the share's usage up to it first."""

    def __init__(self, saved: ShareUsage = ShareUsage()) -> None:  # noqa: B008  (frozen)
        self.shares = {
            identifier: Share(usage=kept.usage, as_of_ms=kept.as_of_ms, left_at_ms=kept.left_at_ms)
            for identifier, kept in saved.shares.items()
        }
        self.usual_run_ms = saved.usual_run_ms  # 0: no attempt has ended yet

    def freeze(self) -> ShareUsage:
        """Returns what a restart needs; what is held, and by how many jobs, follows from the jobs."""
        return ShareUsage(
            {
                identifier: SavedShare(share.usage, share.as_of_ms, share.left_at_ms)
                for identifier, share in sorted(self.shares.items())
            },
            self.usual_run_ms,
        )

    # -- what happens --

    def join(self, identifier: str) -> None:
        """Counts a submission."""
        share = self.shares.setdefault(identifier, Share())
        share.jobs += 1
        share.left_at_ms = 0

    def leave(self, identifier: str, now_ms: int) -> None:
        """Counts the end of a submission."""
        share = self.shares[identifier]
        share.jobs -= 1
        assert share.jobs >= 0, f"more jobs of share {identifier} ended than there were"
        if share.jobs == 0:
            share.left_at_ms = now_ms

    def hold(self, identifier: str, milli_vcpus: int, now_ms: int, window_ms: int) -> None:
        """Counts an attempt that is placed, or ends (then the number is negative)."""
        share = self.shares[identifier]
        share.usage = share.usage_at(now_ms, window_ms)
        share.as_of_ms = now_ms
        share.held += milli_vcpus
        assert share.held >= 0, f"share {identifier} gives back more than it holds"

    def resume(self, identifier: str, milli_vcpus: int) -> None:
        """After a restart: an attempt that was placed before, and counts since what was kept."""
        self.shares[identifier].held += milli_vcpus

    def ran(self, run_ms: int) -> None:
        """Takes the run time of an attempt that ended into the average."""
        known_ms = self.usual_run_ms
        self.usual_run_ms = max(1, known_ms + (run_ms - known_ms) // RUN_MEMORY if known_ms else run_ms)

    def accrue(self, now_ms: int, window_ms: int) -> None:
        """Before the window changes: what was used until now was used under the old one."""
        for identifier in self.shares:
            self.hold(identifier, 0, now_ms, window_ms)

    def forget(self, now_ms: int, window_ms: int) -> None:
        """Drops the shares whose use counts no more."""
        old_ms = now_ms - FORGOTTEN_AFTER_WINDOWS * window_ms
        for identifier in [i for i, s in self.shares.items() if not s.jobs and s.left_at_ms <= old_ms]:
            del self.shares[identifier]

    # -- what follows --

    def outlook_ms(self, window_ms: int) -> int:
        """For how long what is held now counts ahead."""
        return min(self.usual_run_ms or UNKNOWN_RUN_MS, window_ms)

    def held(self) -> int:
        """milli-vCPUs of all placed attempts of the queue."""
        return sum(share.held for share in self.shares.values())

    def active(self, now_ms: int, window_ms: int) -> list[str]:
        return [identifier for identifier, share in self.shares.items() if share.is_active(now_ms, window_ms)]

    def weights(self, fair: FairShare, now_ms: int) -> dict[str, int]:
        """The weight of every active share. An entry with `*` is shared: each of the n that match has n times it."""
        entries = {identifier: fair.entry_of(identifier) for identifier in self.active(now_ms, fair.window_ms)}
        matching = Counter(entry[0] for entry in entries.values() if entry is not None)
        return {
            identifier: WEIGHT_ONE if entry is None else entry[1] * matching[entry[0]]
            for identifier, entry in entries.items()
        }

    def standings(self, fair: FairShare, now_ms: int, wanted: Container[str] | None = None) -> list[Standing]:
        """Returns every active share, or the `wanted` of them, the next one first."""
        found = []
        outlook_ms = self.outlook_ms(fair.window_ms)
        for identifier, weight in self.weights(fair, now_ms).items():
            if wanted is not None and identifier not in wanted:
                continue
            share = self.shares[identifier]
            usage = share.usage_at(now_ms, fair.window_ms)
            load = usage + share.held * outlook_ms
            found.append(Standing(load * weight, identifier, load, usage, weight))
        return sorted(found)


class Block(Struct, frozen=True):
    """Waiting jobs of one size: the children of an array, or one job. `key` orders them by age."""

    key: int
    count: int
    milli_vcpus: int


def jobs_before(standing: Standing, outlook_ms: int, blocks: Iterable[Block], limit: int, key: int) -> int:
    """How many of a share's waiting jobs, in their order, have their turn before the job `key` of another share, which
    has its own once that share's weighted load is `limit`."""
    number, weighted = 0, standing.weighted
    for block in blocks:
        step = block.milli_vcpus * outlook_ms * standing.weight
        headroom = limit - weighted
        found = -(-headroom // step) if headroom > 0 and step else 0
        if headroom >= 0 and found * step == headroom and block.key < key:
            found += 1  # a tie goes to the oldest
        found = min(found, block.count) if step or headroom < 0 else block.count
        number, weighted = number + found, weighted + found * step
        if found < block.count:
            break
    return number


def seconds_of(usage: int) -> str:
    """Milli-vCPU-milliseconds as vCPU seconds, as they are shown."""
    return f"{usage / (MILLI_PER_VCPU * 1000):.1f}"


def weight_factor(weight: int) -> str:
    """Formats a weight like weightFactor."""
    return f"{weight / WEIGHT_ONE:g}"


def held_back(fair: FairShare, max_vcpus: int, active_shares: int) -> int:
    """Returns the milli-vCPUs kept for shares that are not active yet: (computeReservation/100)^active of the
    maximum."""
    percent, whole = 1, 1
    for _ in range(active_shares):
        percent, whole = percent * fair.reservation_percent, whole * 100
    return max_vcpus * MILLI_PER_VCPU * percent // whole


class ShareRotation:
    """The rotation of shares while one pass places jobs: what a share has just got counts at once.

    Ties go to the oldest job. `oldest`: of every share that has jobs to place, what orders its first one."""

    def __init__(self, standings: Iterable[Standing], outlook_ms: int, oldest: Mapping[str, Any]) -> None:
        self._outlook_ms = outlook_ms
        self._standings = {s.identifier: s for s in standings if s.identifier in oldest}
        self._taken: Counter[str] = Counter()
        self._heap = [(s.weighted, oldest[name], name) for name, s in self._standings.items()]
        heapq.heapify(self._heap)

    def next(self) -> str | None:
        """Returns the next share; None when all are done."""
        return self._heap[0][2] if self._heap else None

    def placed(self, identifier: str, milli_vcpus: int, oldest: Any) -> None:
        """The share whose turn it was got a job placed, and `oldest` is the next it has; None: it has no more."""
        self.skip(identifier)
        if oldest is None:
            return
        self._taken[identifier] += milli_vcpus
        standing = self._standings[identifier]
        load = standing.load + self._taken[identifier] * self._outlook_ms
        heapq.heappush(self._heap, (load * standing.weight, oldest, identifier))

    def skip(self, identifier: str) -> None:
        """Skips the current share: no more of its jobs can be placed now."""
        assert self.next() == identifier, f"it is not the turn of share {identifier}"
        heapq.heappop(self._heap)
