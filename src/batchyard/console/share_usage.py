"""What each share of a queue held over time, from the attempts that ran."""

from __future__ import annotations

from collections.abc import Iterable

from batchyard.wire.messages import Document

OTHERS = "others"
MAX_SHARES = 7  # with a line of their own, those that held most; the others are one line
MS_PER_SECOND = 1000


def held_by_share(
    attempts: Iterable[Document], start_s: int, end_s: int, period_s: int, now_ms: int
) -> list[tuple[str, dict[int, float]]]:
    """Returns the mean vCPUs that each share held in each period, by the second at which it begins; the share that held
    most first. `attempts`: as ListPastAttempts has them."""
    held: dict[str, dict[int, float]] = {}
    for attempt in attempts:
        begin_ms = attempt.get("placedAt") or attempt["startedAt"]
        stop_ms = attempt.get("stoppedAt") or now_ms
        vcpus = attempt["asked"]["vcpus"] * max(1, attempt.get("numNodes", 1))
        found = held.setdefault(attempt.get("shareIdentifier", ""), {})
        first = max(start_s, begin_ms // MS_PER_SECOND // period_s * period_s)
        for at_s in range(first, min(end_s, stop_ms // MS_PER_SECOND + 1), period_s):
            overlap_ms = min(stop_ms, (at_s + period_s) * MS_PER_SECOND) - max(begin_ms, at_s * MS_PER_SECOND)
            found[at_s] = found.get(at_s, 0.0) + vcpus * max(0, overlap_ms) / (period_s * MS_PER_SECOND)
    ordered = sorted(held.items(), key=lambda pair: (-sum(pair[1].values()), pair[0]))
    shown = [(name or "no share", _whole(points, start_s, end_s, period_s)) for name, points in ordered[:MAX_SHARES]]
    rest: dict[int, float] = {}
    for _, points in ordered[MAX_SHARES:]:
        for at_s, value in points.items():
            rest[at_s] = rest.get(at_s, 0.0) + value
    return [*shown, (OTHERS, _whole(rest, start_s, end_s, period_s))] if rest else shown


def _whole(points: dict[int, float], start_s: int, end_s: int, period_s: int) -> dict[int, float]:
    """Returns points for all periods: one without an attempt held nothing."""
    return {at_s: points.get(at_s, 0.0) for at_s in range(start_s, end_s, period_s)}
