"""Series over time as lines of SVG, made on the server: they need no script, and print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 160, 44, 20, 8
Points = Mapping[int, float]  # value by second since 1970


class Line(Struct, frozen=True):
    """`kind`: the letter of its class in console.css; `d`, `area`: paths; `latest`: its last value; None: no value."""

    name: str
    kind: str
    d: str
    area: str
    latest: float | None


class Label(Struct, frozen=True):
    x: int
    y: int
    text: str


class Chart(Struct, frozen=True):
    """One picture. `summary`: what it shows, in words."""

    lines: list[Line]
    labels: list[Label]
    summary: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    base: int = HEIGHT - BOTTOM
    top: int = TOP


def chart_of(series: Sequence[tuple[str, str, Points]], start_s: int, end_s: int) -> Chart | None:
    """Draws series of (name, kind, points) from `start_s` to `end_s`; None: none of them has a point."""
    values = [value for _, _, points in series for value in points.values()]
    if not values:
        return None
    most = _round_up(max(values))
    lines = [_line(name, kind, points, start_s, end_s, most) for name, kind, points in series]
    base = HEIGHT - BOTTOM
    labels = [Label(LEFT - 6, TOP + 4, f"{most:g}"), Label(LEFT - 6, base + 4, "0")]
    labels += [
        Label(LEFT + (WIDTH - LEFT) * part // 4, HEIGHT - 4, _clock(start_s + (end_s - start_s) * part // 4))
        for part in (0, 1, 2, 3)
    ]
    latest = ", ".join(f"{line.name} {line.latest:g}" for line in lines if line.latest is not None)
    return Chart(lines, labels, f"Latest: {latest}; at most {max(values):g}")


def _line(name: str, kind: str, points: Points, start_s: int, end_s: int, most: float) -> Line:
    base = HEIGHT - BOTTOM
    places = [
        (
            LEFT + (WIDTH - LEFT) * (at_s - start_s) / max(1, end_s - start_s),
            base - (base - TOP) * value / most,
        )
        for at_s, value in sorted(points.items())
        if start_s <= at_s <= end_s
    ]
    if not places:
        return Line(name, kind, "", "", None)
    places = places if len(places) > 1 else places * 2  # a line without length is a dot
    d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    area = f"{d}L{places[-1][0]:.1f} {base}L{places[0][0]:.1f} {base}z"
    return Line(name, kind, d, area, points[max(points)])


def _round_up(value: float) -> float:
    """Returns the next number that reads well."""
    step = 1.0
    while step * 10 < value:
        step *= 10
    return next(step * factor for factor in (1, 2, 5, 10) if step * factor >= value)


def _clock(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%H:%M")
