"""The figures of variants side by side, as cells of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from batchyard.planning.measures import Measures, Waits
from batchyard.planning.variants import Result

UNITS = (("d", 86_400), ("h", 3600), ("m", 60))


class Table(Struct, frozen=True):
    headings: list[str]
    rows: list[list[str]]


def span(milliseconds: float) -> str:
    """Formats a time with two units: `2d 3h`, `4m 10s`, `0.3s`."""
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.1f}s"
    seconds = round(seconds)
    for place, (unit, length) in enumerate(UNITS):
        if seconds >= length:
            smaller, size = ("s", 1) if place == 2 else UNITS[place + 1]
            return f"{seconds // length}{unit} {seconds % length // size}{smaller}"
    return f"{seconds}s"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


FIGURES: tuple[tuple[str, Callable[[Measures], str]], ...] = (
    ("jobs ended", lambda one: f"{one.ended:,} of {one.jobs:,}"),
    ("ended by their timeout", lambda one: f"{one.failed:,}"),
    ("makespan", lambda one: span(one.makespan_ms)),
    ("wait, mean", lambda one: span(one.waits.mean_ms)),
    ("wait, p50", lambda one: span(one.waits.p50_ms)),
    ("wait, p95", lambda one: span(one.waits.p95_ms)),
    ("wait, p99", lambda one: span(one.waits.p99_ms)),
    ("slowdown, mean", lambda one: f"{one.waits.slowdown:,.1f}"),
    ("utilisation", lambda one: _share(one.utilisation)),
    ("free while jobs waited", lambda one: _share(one.fragmentation)),
    ("attempts interrupted", lambda one: f"{one.interrupted_attempts:,}"),
    ("work interrupted", lambda one: f"{one.interrupted_vcpu_hours:,.1f} vCPU-h"),
    ("instances launched", lambda one: f"{one.instances:,}"),
    ("vCPU hours there", lambda one: f"{one.vcpu_hours:,.1f}"),
    ("vCPU hours held", lambda one: f"{one.held_vcpu_hours:,.1f}"),
    ("cost", lambda one: "no prices" if one.dollars is None else f"${one.dollars:,.2f}"),
)


def side_by_side(results: Sequence[Result]) -> Table:
    """Returns a row for each figure and a column for each variant."""
    rows = [[name, *(text(result.measures) for result in results)] for name, text in FIGURES]
    return Table(["", *(result.name for result in results)], rows)


def waits_by(results: Sequence[Result], kind: str, rows_of: Callable[[Measures], tuple[Waits, ...]]) -> Table | None:
    """Returns p50, p95 and p99 of the waits of each group, by variant; None where there is one group alone."""
    groups = sorted({one.name for result in results for one in rows_of(result.measures)})
    if len(groups) < 2:
        return None
    rows = []
    for group in groups:
        row = [group or "(none)"]
        for result in results:
            found = next((one for one in rows_of(result.measures) if one.name == group), None)
            row.append("-" if found is None or not found.jobs else " / ".join(map(span, _marks(found))))
        rows.append(row)
    return Table([f"{kind}: wait p50 / p95 / p99", *(result.name for result in results)], rows)


def _marks(waits: Waits) -> tuple[int, int, int]:
    return waits.p50_ms, waits.p95_ms, waits.p99_ms
