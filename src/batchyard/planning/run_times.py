"""How long jobs run, learned from those of their definition that ran before."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable

from msgspec import Struct

from batchyard.analysis.forecasts import HISTORY, TIMEOUT, UNKNOWN
from batchyard.analysis.past_runs import PastRun

KEPT = 64  # the latest run times of a definition: older ones say less
MIN_OF_ARRAY = 8  # children of one array are alike: with so many of them ended, they count alone
MIN_LONGER = 5  # samples that are longer than a job's age: with fewer, the rest of its time is not known from them
ENDED = ("SUCCEEDED", "FAILED")  # others were cut short
NEVER_MS = 1 << 52  # of a run time that is not known: it may take for ever
TAIL_MOST = 20.0  # times its age that a job outlives what is known, at most


class Drawn(Struct, frozen=True):
    """A run time from the start on, and what it rests on."""

    run_ms: int
    basis: str


class RunTimes:
    """Run times by definition's name, and by array."""

    def __init__(self, runs: Iterable[PastRun] = ()) -> None:
        self._by_definition: dict[str, list[int]] = {}
        self._by_array: dict[str, list[int]] = {}
        latest = sorted((run for run in runs if run.outcome in ENDED), key=lambda run: -run.stopped_at_ms)
        for run in latest:
            took_ms = max(1, run.stopped_at_ms - run.started_at_ms)
            self._add(self._by_definition, run.definition_name, took_ms)
            parent, colon, _ = run.job_id.partition(":")
            if colon:
                self._add(self._by_array, parent, took_ms)
        for samples in (*self._by_definition.values(), *self._by_array.values()):
            samples.sort()

    def _add(self, samples: dict[str, list[int]], name: str, took_ms: int) -> None:
        found = samples.setdefault(name, [])
        if len(found) < KEPT:
            found.append(took_ms)

    def samples(self, definition: str, job_id: str) -> list[int]:
        """Returns the run times that say most about a job, ascending. `definition`: name:revision."""
        of_array = self._by_array.get(job_id.partition(":")[0], [])
        if len(of_array) >= MIN_OF_ARRAY:
            return of_array
        return self._by_definition.get(definition.partition(":")[0], [])

    def draw(self, chance: random.Random, definition: str, job_id: str, limit_ms: int, age_ms: int = 0) -> Drawn:
        """Draws a run time of a job that has run for `age_ms` already. `limit_ms`: its timeout; 0: none."""
        samples = self.samples(definition, job_id)
        longer = samples[bisect_right(samples, age_ms) :]
        if longer and (len(longer) >= MIN_LONGER or not age_ms):
            drawn = Drawn(chance.choice(longer), HISTORY)
        elif samples and age_ms:
            # Of what is older than nearly all that is known, the rest is about as long as its age, with a heavy tail
            # (Leland and Ott 1986).
            times = min(1 / (1 - chance.random()), TAIL_MOST)
            drawn = Drawn(int(age_ms * times) + 1, HISTORY)
        elif limit_ms:
            return Drawn(int(chance.uniform(min(age_ms, limit_ms), limit_ms)), TIMEOUT)
        else:
            return Drawn(NEVER_MS, UNKNOWN)
        return Drawn(min(drawn.run_ms, limit_ms), drawn.basis) if limit_ms else drawn
