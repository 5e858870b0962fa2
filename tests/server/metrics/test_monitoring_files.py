"""The example files for Prometheus and Grafana ask for metrics and labels that `/metrics` has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from batchyard.job_metrics.machine import CANCELLED, MOVED_TO, RETRIED, SUBMITTED, TERMINATED
from batchyard.server.metrics.prometheus import render
from tests.server.metrics.test_prometheus import SCRAPE, read

DIRECTORY = Path(__file__).parents[3] / "docs" / "monitoring"
NAME = re.compile(r"\bbatchyard_[a-z_]+")
TRANSITION = re.compile(r'transition=~?"([^"]+)"')
HISTOGRAMS = ("batchyard_job_wait_seconds", "batchyard_attempt_seconds")  # without samples until a job has ended


@pytest.mark.parametrize("name", ["alert-rules.yml", "grafana-dashboard.json"])
def test_every_metric_of_the_example_is_exported(name: str) -> None:
    text = (DIRECTORY / name).read_text()
    exported = {sample.partition("{")[0] for sample in read(render(SCRAPE, is_open=False).decode())}
    exported |= {f"{histogram}_bucket" for histogram in HISTOGRAMS}
    asked = set(NAME.findall(text))
    assert asked
    assert asked <= exported
    transitions = {word for found in TRANSITION.findall(text) for word in found.rstrip("\\").split("|")}
    assert transitions <= {*MOVED_TO.values(), SUBMITTED, RETRIED, CANCELLED, TERMINATED}


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    panels = json.loads((DIRECTORY / "grafana-dashboard.json").read_text())["panels"]
    cells = [
        (panel["gridPos"]["x"] + right, panel["gridPos"]["y"] + down)
        for panel in panels
        for right in range(panel["gridPos"]["w"])
        for down in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert len({panel["id"] for panel in panels}) == len(panels)
