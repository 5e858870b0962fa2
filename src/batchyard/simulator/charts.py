"""Draws what a scenario runner recorded as SVG: steps over time, with axes and a legend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from batchyard.simulator.scenario_runner import Load, Record, Sample

WIDTH, LEFT, RIGHT = 860, 56, 16
TOP, UPPER, GAP, LOWER, BOTTOM = 66, 220, 68, 110, 44
HEIGHT = TOP + UPPER + GAP + LOWER + BOTTOM
INK, PALE = "#333333", "#dddddd"
FILLS = ("#9ecae1", "#c7b8e6", "#a1d99b")  # of environments, in their order
COMING, DEMAND, WAITING, LIMIT = "#fdd49e", "#d62728", "#8c6d31", "#777777"
LAUNCH, END, LOST, REFUSED = "#2ca02c", "#444444", "#d62728", "#ff7f0e"
CAPTION = "Jobs waiting. Instances launched (green, up), refused (orange), ended (dark), taken away (red)"
TICKS = 6  # of an axis, about
AFTERWARDS_MS = 10_000  # of rest, at the right

Points = list[tuple[float, float]]


def chart(title: str, load: Load, record: Record) -> str:
    """Draws one chart. Above: vCPUs in service, being launched and requested. Below: waiting jobs, and launched and
    ended instances."""
    last_s = (record.samples[-1].at_ms // AFTERWARDS_MS + 1) * AFTERWARDS_MS / 1000
    most = sum(one.most for one in load.fleets)
    highest = max(most if len(load.fleets) == 1 else 0, *(max(s.demand, _supply(s)) for s in record.samples))
    upper = _Panel(TOP, UPPER, last_s, highest)
    lower = _Panel(TOP + UPPER + GAP, LOWER, last_s, max(1, *(s.waiting for s in record.samples)))
    parts = [_text(LEFT, 22, title, size=15, weight="bold"), *_legend(load)]
    parts += [*upper.axes("vCPUs"), *_supplies(upper, load, record)]
    if len(load.fleets) == 1:
        parts.append(upper.level(most, LIMIT))
    parts.append(upper.line(record.samples, lambda s: s.demand, DEMAND))
    parts += [*lower.axes("jobs"), lower.area(record.samples, lambda s: 0, lambda s: s.waiting, WAITING)]
    parts += [_mark(lower, turn.at_ms / 1000, LAUNCH, -1) for turn in record.launches]
    parts += [_mark(lower, turn.at_ms / 1000, REFUSED, 1) for turn in record.refused]
    parts += [_mark(lower, turn.at_ms / 1000, LOST if turn.is_interrupted else END, 1) for turn in record.ends]
    parts.append(_text(LEFT, lower.top - 24, CAPTION))
    parts.append(_text(LEFT + upper.width / 2, HEIGHT - 8, "seconds", anchor="middle"))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}" role="img">\n<title>{escape(title)}</title>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _supply(sample: Sample) -> float:
    return sum(sample.in_service.values()) + sample.launching


class _Panel:
    """One pair of axes."""

    def __init__(self, top: float, height: float, last_s: float, highest: float) -> None:
        self.top, self.height, self.width = top, height, WIDTH - LEFT - RIGHT
        self._step_s, self._step = _step(last_s), _step(highest)
        self._last_s = last_s
        self._highest = -(-highest // self._step) * self._step

    def x(self, seconds: float) -> float:
        return LEFT + self.width * seconds / self._last_s

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - value / self._highest)

    def axes(self, unit: str) -> list[str]:
        parts, bottom = [], self.top + self.height
        value = 0.0
        while value <= self._highest:
            y = self.y(value)
            parts.append(_line(LEFT, y, LEFT + self.width, y, PALE if value else INK))
            parts.append(_text(LEFT - 6, y + 4, f"{value:g}", anchor="end"))
            value += self._step
        seconds = 0.0
        while seconds <= self._last_s:
            x = self.x(seconds)
            parts.append(_line(x, bottom, x, bottom + 4, INK))
            parts.append(_text(x, bottom + 17, f"{seconds:g}", anchor="middle"))
            seconds += self._step_s
        middle = self.top + self.height / 2
        parts.append(
            f'<text x="14" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 14 {middle:.1f})">{unit}</text>'
        )
        return parts

    def steps(self, samples: Sequence[Sample], value: Callable[[Sample], float]) -> Points:
        points: Points = []
        for sample in samples:
            x, y = self.x(sample.at_ms / 1000), self.y(value(sample))
            if points and points[-1][1] == y:
                continue
            if points:
                points.append((x, points[-1][1]))
            points.append((x, y))
        points.append((self.x(self._last_s), points[-1][1]))
        return points

    def line(self, samples: Sequence[Sample], value: Callable[[Sample], float], colour: str) -> str:
        points = _points(self.steps(samples, value))
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'

    def area(
        self,
        samples: Sequence[Sample],
        below: Callable[[Sample], float],
        above: Callable[[Sample], float],
        colour: str,
    ) -> str:
        points = [*self.steps(samples, above), *reversed(self.steps(samples, below))]
        return f'<polygon points="{_points(points)}" fill="{colour}"/>'

    def level(self, value: float, colour: str) -> str:
        y = self.y(value)
        return (
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + self.width}" y2="{y:.1f}" stroke="{colour}" '
            'stroke-dasharray="6 4"/>'
        )


def _supplies(panel: _Panel, load: Load, record: Record) -> list[str]:
    """Draws the vCPUs in service, stacked by environment, and on top those being launched."""
    parts = []
    names = [one.name for one in load.fleets]

    def upto(sample: Sample, count: int) -> float:
        return sum(sample.in_service[name] for name in names[:count])

    for at in range(len(names)):
        parts.append(
            panel.area(
                record.samples,
                lambda s, at=at: upto(s, at),  # type: ignore[misc]
                lambda s, at=at: upto(s, at + 1),  # type: ignore[misc]
                FILLS[at],
            )
        )
    parts.append(panel.area(record.samples, lambda s: upto(s, len(names)), _supply, COMING))
    return parts


def _legend(load: Load) -> list[str]:
    entries = [(FILLS[at], f"in service: {one.name}", False) for at, one in enumerate(load.fleets)]
    entries += [(COMING, "launching", False), (DEMAND, "demand (running and waiting)", True)]
    if len(load.fleets) == 1:
        entries.append((LIMIT, "maxvCpus", True))
    parts, x = [], float(LEFT)
    for colour, text, is_line in entries:
        height = 3 if is_line else 11
        parts.append(f'<rect x="{x:.1f}" y="{48 - height / 2 - 4:.1f}" width="16" height="{height}" fill="{colour}"/>')
        parts.append(_text(x + 21, 48, text))
        x += 40 + 6.6 * len(text)
    return parts


def _mark(panel: _Panel, seconds: float, colour: str, direction: int) -> str:
    """Draws a small triangle above the panel, which points up (-1) or down (1)."""
    x, y = panel.x(seconds), panel.top - 10
    base, tip = y - 4 * direction, y + 4 * direction
    return f'<polygon points="{_points([(x - 4, base), (x + 4, base), (x, tip)])}" fill="{colour}"/>'


def _step(most: float) -> float:
    """Returns 1, 2 or 5 times a power of ten, so that about TICKS of them reach `most`."""
    size = 1.0
    while True:
        for factor in (1, 2, 5):
            if most / (size * factor) <= TICKS:
                return size * factor
        size *= 10


def _points(points: Points) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 12, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )
