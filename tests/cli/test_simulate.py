"""`batchyard simulate` without a service: traces and mixes, the files it writes, and what it refuses."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from batchyard.cli.app import app


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.csv"
    path.write_text("submit,run,vcpus,queue\n0,60,2,a\n0,60,2,b\n10,30,1,a\n")
    return path


def test_a_mix_with_two_policies(tmp_path: Path) -> None:
    found = simulate("--jobs", 50, "--policy", "fifo", "--policy", "fair", "--html", tmp_path / "report.html")
    assert found.exit_code == 0, found.stderr
    assert "50 jobs, load 0.9 of 64 vCPUs" in found.stdout
    assert found.stdout.count("50 of 50") == 2
    assert "share: wait p50 / p95 / p99" in found.stdout
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_a_trace_as_a_document(trace: Path) -> None:
    found = simulate("--trace", trace, "--json")
    (variant,) = json.loads(found.stdout)["variants"]
    assert variant["measures"]["makespan_ms"] == 60_000
    assert [one["name"] for one in variant["measures"]["by_queue"]] == ["a", "b"]


def test_environments_and_prices_of_files(trace: Path, tmp_path: Path) -> None:
    resources = {"type": "SPOT", "minvCpus": 0, "maxvCpus": 8, "instanceTypes": ["c5.large"]}
    environment = {"computeEnvironmentName": "spot", "type": "MANAGED", "computeResources": resources}
    (tmp_path / "env.json").write_text(json.dumps(environment))
    (tmp_path / "prices.toml").write_text('"c5.large" = { on_demand = 0.085, spot = 0.036 }\n')
    found = simulate("--trace", trace, "--environments", tmp_path / "env.json", "--prices", tmp_path / "prices.toml")
    assert found.exit_code == 0, found.stderr
    assert "$0.00" in found.stdout


def test_a_policy_of_a_file(trace: Path, tmp_path: Path) -> None:
    (tmp_path / "ours.json").write_text(json.dumps({"fairsharePolicy": {"shareDecaySeconds": 60}}))
    assert simulate("--trace", trace, "--policy", tmp_path / "ours.json").exit_code == 0


def test_the_jobs_are_written_as_a_trace(trace: Path, tmp_path: Path) -> None:
    assert simulate("--trace", trace, "--write-trace", tmp_path / "out.swf").exit_code == 0
    again = simulate("--trace", tmp_path / "out.swf")
    assert "3 of 3" in again.stdout


def test_a_job_that_can_never_start_is_explained(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("submit,run,gpus\n0,1,0\n0,1,3\n")
    resources = {"type": "EC2", "minvCpus": 0, "maxvCpus": 8, "instanceTypes": ["c5.large"]}
    environment = {"computeEnvironmentName": "plain", "type": "MANAGED", "computeResources": resources}
    (tmp_path / "env.json").write_text(json.dumps(environment))
    found = simulate("--trace", tmp_path / "t.csv", "--environments", tmp_path / "env.json")
    assert "1 job can never start" in found.stderr
    assert "GPU" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--trace", "no.swf"), "no.swf cannot be read"),
        (("--trace", "x.swf", "--from-history"), "exclude each other"),
        (("--hosts", "many"), "--hosts must be such as +2xc5.4xlarge"),
        (("--policy", "best"), "best cannot be read"),
        (("--prices", "none.toml"), "There is no prices file none.toml"),
        (("--environments", "none.json"), "none.json cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: tuple[str, ...], part: str) -> None:
    found = simulate("--jobs", 5, *arguments)
    assert found.exit_code == 1
    assert part in found.stderr
