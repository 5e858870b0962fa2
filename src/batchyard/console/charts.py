"""Series over time as lines of SVG, made on the server: they need no script, and print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from batchyard.wire.messages import Document

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 160, 44, 20, 8
DAY_SECONDS = 86_400
KINDS = ("a", "b", "c", "d", "e", "f", "g", "h")  # classes of lines in console.css: colours that differ for all eyes
Points = Mapping[int, float]  # value by second since 1970


class Line(Struct, frozen=True):
    """`kind`: the letter of its class in console.css; `d`, `area`: paths; `latest`: its last value; None: no value."""

    name: str
    kind: str
    d: str
    area: str
    latest: float | None


class Label(Struct, frozen=True):
    """`at_s`: of a label of the time, which a script turns into the reader's zone; 0: it is none."""

    x: int
    y: int
    text: str
    at_s: int = 0


class Chart(Struct, frozen=True):
    """One picture. `summary`: what it shows, in words; `data`: its points as JSON, from which a script shows what is
    under the pointer; `threshold`: the height of a line across it; None: it has none."""

    lines: list[Line]
    labels: list[Label]
    summary: str
    data: str
    threshold: int | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    base: int = HEIGHT - BOTTOM
    top: int = TOP


def points_of(result: Document) -> dict[int, float]:
    """Returns the points of one result of GetMetricData."""
    return {int(at_s): value for at_s, value in zip(result["Timestamps"], result["Values"], strict=True)}


def chart_of(
    series: Sequence[tuple[str, str, Points]], start_s: int, end_s: int, threshold: float | None = None
) -> Chart | None:
    """Draws series of (name, kind, points) from `start_s` to `end_s`; None: none of them has a point."""
    values = [value for _, _, points in series for value in points.values()]
    if not values:
        return None
    most = _round_up(max(*values, threshold or 0, 0))
    least = min(0.0, *values, threshold or 0)
    least = -_round_up(-least) if least < 0 else 0.0
    lines = [_line(name, kind, points, start_s, end_s, (least, most)) for name, kind, points in series]
    base = HEIGHT - BOTTOM
    labels = [Label(LEFT - 6, TOP + 4, amount(most)), Label(LEFT - 6, base + 4, amount(least))]
    for part in (0, 1, 2, 3):
        at_s = start_s + (end_s - start_s) * part // 4
        labels.append(Label(LEFT + (WIDTH - LEFT) * part // 4, HEIGHT - 4, _clock(at_s, end_s - start_s), at_s))
    latest = ", ".join(f"{line.name} {line.latest:g}" for line in lines if line.latest is not None)
    summary = f"Latest: {latest}; at most {max(values):g}"
    height = None if threshold is None else round(_height(threshold, (least, most)))
    return Chart(lines, labels, summary, _data(series, start_s, end_s), height)


def amount(value: float) -> str:
    """A number that fits beside an axis."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 10:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _data(series: Sequence[tuple[str, str, Points]], start_s: int, end_s: int) -> str:
    shown = [{"n": name, "p": sorted([at_s, value] for at_s, value in points.items())} for name, _, points in series]
    return msgspec.json.encode({"start": start_s, "end": end_s, "lines": shown}).decode()


def _height(value: float, bounds: tuple[float, float]) -> float:
    base = HEIGHT - BOTTOM
    return base - (base - TOP) * (value - bounds[0]) / ((bounds[1] - bounds[0]) or 1)


def _line(name: str, kind: str, points: Points, start_s: int, end_s: int, bounds: tuple[float, float]) -> Line:
    base = _height(max(0.0, bounds[0]), bounds)
    places = [
        (LEFT + (WIDTH - LEFT) * (at_s - start_s) / max(1, end_s - start_s), _height(value, bounds))
        for at_s, value in sorted(points.items())
        if start_s <= at_s <= end_s
    ]
    if not places:
        return Line(name, kind, "", "", None)
    places = places if len(places) > 1 else places * 2  # a line without length is a dot
    d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    area = f"{d}L{places[-1][0]:.1f} {base:.1f}L{places[0][0]:.1f} {base:.1f}z"
    return Line(name, kind, d, area, points[max(points)])


def _round_up(value: float) -> float:
    """Returns the next number that reads well; 1 for 0."""
    step = 1.0
    while 0 < value <= step / 10:
        step /= 10
    while step * 10 < value:
        step *= 10
    return next(step * factor for factor in (1, 2, 5, 10) if step * factor >= value)


def _clock(at_s: int, span_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%H:%M" if span_s <= DAY_SECONDS else "%d %b")
