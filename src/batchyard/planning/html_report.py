"""The report of a simulation as one HTML page: tables and drawings in SVG, without script, nothing loaded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from batchyard.planning.measures import MS_PER_HOUR
from batchyard.planning.outcome import NEVER, InstanceLife, Sample
from batchyard.planning.tables import Table
from batchyard.planning.variants import Result

WIDTH, HEIGHT, LEFT = 860, 160, 60
MAX_POINTS = 800
MAX_INSTANCES = 200  # drawn: the busiest
ROW_HEIGHT = 6
STYLE = """
:root { color-scheme: light dark; --line: #8886; --capacity: #8884; --held: #2563eb; --waiting: #d97706; --idle: #8884;
  --lost: #dc2626; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: currentColor; }
.capacity { fill: var(--capacity); } .held { fill: var(--held); fill-opacity: .7; }
.waiting { fill: none; stroke: var(--waiting); stroke-width: 1.5; } .axis { stroke: var(--line); }
.idle { fill: var(--idle); } .busy { fill: var(--held); } .lost { fill: var(--lost); }
.key span { margin-right: 1.5rem; } .key i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
.k-capacity { background: var(--capacity); } .k-held { background: var(--held); }
.k-waiting { background: var(--waiting); } .k-lost { background: var(--lost); }
"""


def html_report(
    title: str, notes: Sequence[str], tables: Sequence[tuple[str, Table]], results: Sequence[Result]
) -> str:
    """Makes the page."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head>{head}<title>{escape(title)}</title><style>{STYLE}</style></head><body>',
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(note)}</p>" for note in notes),
    ]
    for heading, table in tables:
        parts += [f"<h2>{escape(heading)}</h2>", _table(table)]
    for result in results:
        parts.append(f"<h2>{escape(result.name)}: vCPUs and waiting jobs over time</h2>")
        parts += [_key(), _over_time(result.samples, result.now_ms)]
        if result.instances:
            parts.append(f"<h2>{escape(result.name)}: instances</h2>")
            parts.append(_gantt(result.instances, result.now_ms))
    return "\n".join([*parts, "</body></html>\n"])


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.headings)
    rows = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _key() -> str:
    names = {"capacity": "vCPUs there", "held": "vCPUs held", "waiting": "jobs waiting (scale of their own)"}
    return (
        '<p class="key">' + "".join(f'<span><i class="k-{k}"></i>{text}</span>' for k, text in names.items()) + "</p>"
    )


def _thinned(samples: Sequence[Sample]) -> list[Sample]:
    """Returns at most MAX_POINTS samples: means of equal numbers of them."""
    step = max(1, -(-len(samples) // MAX_POINTS))
    groups = [samples[at : at + step] for at in range(0, len(samples), step)]
    return [
        Sample(
            group[0].at_ms,
            sum(one.capacity_milli_vcpus for one in group) / len(group),
            sum(one.held_milli_vcpus for one in group) / len(group),
            sum(one.waiting for one in group) / len(group),
        )
        for group in groups
    ]


def _over_time(samples: Sequence[Sample], end_ms: int) -> str:
    points = _thinned(samples)
    if not points:
        return "<p>Nothing happened.</p>"
    most = max([*(one.capacity_milli_vcpus for one in points), *(one.held_milli_vcpus for one in points), 1.0])
    most_waiting = max(max(one.waiting for one in points), 1.0)

    def line(values: Sequence[float], highest: float) -> str:
        steps = [
            f"{_x(one.at_ms, end_ms):.1f},{HEIGHT - 20 - value / highest * (HEIGHT - 30):.1f}"
            for one, value in zip(points, values, strict=True)
        ]
        return " ".join(steps)

    base, last = HEIGHT - 20, _x(points[-1].at_ms, end_ms)
    areas = ""
    for kind, values in (
        ("capacity", [one.capacity_milli_vcpus for one in points]),
        ("held", [one.held_milli_vcpus for one in points]),
    ):
        areas += f'<polygon class="{kind}" points="{LEFT},{base} {line(values, most)} {last:.1f},{base}"/>'
    waiting = f'<polyline class="waiting" points="{line([one.waiting for one in points], most_waiting)}"/>'
    labels = f'<text x="0" y="14">{most / 1000:,.0f} vCPUs</text><text x="0" y="28">{most_waiting:,.0f} jobs</text>'
    return _svg(HEIGHT, areas + waiting + labels + _hours(end_ms, HEIGHT))


def _x(at_ms: int, end_ms: int) -> float:
    return LEFT + (WIDTH - LEFT) * at_ms / max(end_ms, 1)


def _hours(end_ms: int, height: int) -> str:
    """Draws the axis of time: hours from the beginning."""
    found = f'<line class="axis" x1="{LEFT}" y1="{height - 20}" x2="{WIDTH}" y2="{height - 20}"/>'
    for part in range(5):
        hours = end_ms / MS_PER_HOUR * part / 4
        anchor = "end" if part == 4 else "start" if part == 0 else "middle"
        x = LEFT + (WIDTH - LEFT) * part / 4
        found += f'<text x="{x:.0f}" y="{height - 6}" text-anchor="{anchor}">{hours:,.1f} h</text>'
    return found


def _svg(height: int, content: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{content}</svg>'


def _gantt(instances: Sequence[InstanceLife], end_ms: int) -> str:
    """Draws a row for each instance: its life, and the share of it that jobs held."""
    busiest = sorted(instances, key=lambda one: -one.held_milli_vcpu_ms)[:MAX_INSTANCES]
    shown = sorted(busiest, key=lambda one: one.launched_ms)
    rows = []
    for number, one in enumerate(shown):
        stop_ms = end_ms if one.ended_ms == NEVER else one.ended_ms
        length = max(stop_ms - one.launched_ms, 1)
        share = min(1.0, one.held_milli_vcpu_ms / (one.milli_vcpus * length)) if one.milli_vcpus else 0.0
        x, width = _x(one.launched_ms, end_ms), max(1.0, (WIDTH - LEFT) * length / max(end_ms, 1))
        y = number * ROW_HEIGHT
        market = "Spot, " if one.is_spot else ""
        title = f"{one.instance_type}, {market}{length / MS_PER_HOUR:.2f} h, {share:.0%} held"
        kind = "lost" if one.is_interrupted else "busy"
        rows.append(
            f'<g><title>{escape(title)}</title><rect class="idle" x="{x:.1f}" y="{y}" width="{width:.1f}" height="4"/>'
            f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width * share:.1f}" height="4"/></g>'
        )
    height = len(shown) * ROW_HEIGHT + 24
    more = f" The {MAX_INSTANCES} that were held most of {len(instances):,}." if len(instances) > MAX_INSTANCES else ""
    text = f"Each row is an instance from launch to end; the coloured part is the share that jobs held.{more}"
    lost = (
        ' <span class="key"><i class="k-lost"></i>interrupted</span>'
        if any(one.is_interrupted for one in shown)
        else ""
    )
    return f"<p>{text}{lost}</p>" + _svg(height, "".join(rows) + _hours(end_ms, height))
