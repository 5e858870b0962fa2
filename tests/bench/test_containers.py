"""The bench of containers: it measures both sides on a real daemon, and says why where it can't."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import containers
from bench.run import run_containers
from tests.engines.dockerd import Dockerd, dockerd

__all__ = ["dockerd"]  # a fixture


def test_both_sides_are_measured_and_nothing_is_left(dockerd: Dockerd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{dockerd.socket_path}")
    measured = containers.measure(count=4, in_flight=2)
    assert min(*measured.bare, measured.ours) > 0
    assert f"{measured.ratio:.2f} of the bare Engine API" in containers.report(measured)
    left = dockerd.json("GET", "/containers/json", {"all": "1", "filters": f'{{"ancestor":["{containers.IMAGE}"]}}'})
    assert left == []


def test_the_ratio_is_to_the_mean_of_before_and_after() -> None:
    assert containers.Containers(96, 8, (10.0, 14.0), 11.4).ratio == pytest.approx(0.95)


def test_without_docker_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    assert run_containers(4) is None
    assert "containers were not measured: Docker can't be used: no daemon answers" in capsys.readouterr().out
