"""A deliberately naive model of fair share. It imports nothing of the core: every attempt is an interval, usage is the
sum of their integrals under exp(-age / window), in floating point."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class NaiveShares:
    window_ms: int
    weights: list[tuple[str, float]] = field(default_factory=list)  # shareDistribution
    held: dict[str, list[list[float]]] = field(default_factory=dict)  # share -> [vCPUs, from, until or infinity]
    jobs: dict[str, int] = field(default_factory=dict)  # share -> unfinished jobs
    left: dict[str, int] = field(default_factory=dict)
    usual_run_ms: float = 0

    def usage(self, share: str, now_ms: int) -> float:
        """vCPU-milliseconds."""
        total = 0.0
        for vcpus, start, stop in self.held.get(share, []):
            newest, oldest = now_ms - min(stop, now_ms), now_ms - start
            total += vcpus * self.window_ms * (math.exp(-newest / self.window_ms) - math.exp(-oldest / self.window_ms))
        return total

    def holds(self, share: str) -> float:
        return sum(vcpus for vcpus, _, stop in self.held.get(share, []) if stop == math.inf)

    def active(self, now_ms: int) -> list[str]:
        recent = [share for share, at in self.left.items() if now_ms < at + self.window_ms]
        return sorted({*recent, *(share for share, jobs in self.jobs.items() if jobs)})

    def entry(self, share: str) -> tuple[str, float] | None:
        fitting = [(p, w) for p, w in self.weights if p == share or (p[-1] == "*" and share.startswith(p[:-1]))]
        return max(fitting, key=lambda entry: (len(entry[0].rstrip("*")), entry[0][-1] != "*"), default=None)

    def weight(self, share: str, now_ms: int) -> float:
        entry = self.entry(share)
        if entry is None:
            return 1.0
        alike = sum(1 for other in self.active(now_ms) if self.entry(other) == entry)
        return entry[1] * (alike if entry[0][-1] == "*" else 1)

    def load(self, share: str, now_ms: int) -> float:
        """What orders the shares, the lowest first."""
        ahead_ms = min(self.usual_run_ms or 60_000, self.window_ms)
        return (self.usage(share, now_ms) + self.holds(share) * ahead_ms) * self.weight(share, now_ms)

    # -- what happens --

    def submit(self, share: str) -> None:
        self.jobs[share] = self.jobs.get(share, 0) + 1

    def end(self, share: str, now_ms: int) -> None:
        self.jobs[share] -= 1
        self.left[share] = now_ms

    def place(self, share: str, vcpus: float, now_ms: int) -> None:
        self.held.setdefault(share, []).append([vcpus, now_ms, math.inf])

    def release(self, share: str, vcpus: float, now_ms: int, run_ms: int | None = None) -> None:
        """`run_ms`: how long it ran, where that is not since its placement."""
        attempt = next(a for a in self.held[share] if a[0] == vcpus and a[2] == math.inf)
        attempt[2] = now_ms
        if run_ms is None:
            run_ms = now_ms - int(attempt[1])
        self.usual_run_ms = max(1, self.usual_run_ms * 7 / 8 + run_ms / 8 if self.usual_run_ms else run_ms)
