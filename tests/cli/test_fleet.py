"""`batchyard envs`, `queues`, `instances`, `interrupt`."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batchyard.cli import fleet
from batchyard.cli.formats import now_ms
from tests.cli.conftest import Invoke
from tests.cli.stub import Refusal, Stub

JOB = "3f2b8c1e-0000-4000-8000-000000000000"
Document = dict[str, Any]


def amounts(vcpus: float, memory: int, gpus: int = 0) -> Document:
    return {"vcpus": vcpus, "memory": memory, "gpus": gpus}


def environment(name: str, **members: Any) -> Document:
    row = {
        "computeEnvironment": name,
        "kind": "SPOT",
        "state": "ENABLED",
        "status": "VALID",
        "statusReason": "ComputeEnvironment Healthy",
        "engine": "process",
        "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED",
        "jobQueues": ["default"],
        "instances": {"READY": 1, "LAUNCHING": 1},
        "minvCpus": 0,
        "maxvCpus": 16,
        "desiredvCpus": 4,
        "capacity": amounts(2, 3953),
        "free": amounts(0.5, 3441),
        "jobsRunning": 1,
        "demand": {"jobs": 3, "resources": amounts(3, 3072)},
        "next": {"action": "BOOT", "text": "1 instance is (c6i.large) being launched."},
    }
    return row | members


def host_environment() -> Document:
    row = environment("local", kind="UNMANAGED", instances={}, next={"action": "NOTHING", "text": ""})
    for member in ("minvCpus", "maxvCpus", "desiredvCpus", "allocationStrategy"):
        del row[member]
    return row | {"capacity": amounts(2, 7168), "free": amounts(2, 7168), "demand": {"jobs": 0, "resources": {}}}


def queue(**members: Any) -> Document:
    row = {
        "jobQueue": "default",
        "state": "ENABLED",
        "status": "VALID",
        "statusReason": "JobQueue Healthy",
        "priority": 5,
        "computeEnvironments": ["spot", "local"],
        "jobsRunning": 1,
        "demand": {"jobs": 3, "resources": amounts(3, 3072)},
        "jobsNeverRunnable": 0,
    }
    return row | members


def instance(instance_id: str = "i-0123456789abcdef0", **members: Any) -> Document:
    row = {
        "instanceId": instance_id,
        "instanceType": "c6i.large",
        "computeEnvironment": "spot",
        "market": "SPOT",
        "state": "READY",
        "capacity": amounts(2, 3953),
        "free": amounts(2, 3953),
        "gpuIds": [],
        "jobs": [],
        "jobsCount": 0,
        "launchedAt": now_ms() - 61_000,
        "next": {"action": "LET_GO", "text": "It is idle, and goes unless a job comes.", "at": now_ms() + 25_500},
    }
    return row | members


def test_environments_as_a_table_with_what_comes_next(invoke: Invoke, stub: Stub) -> None:
    stub.rows["environments"] = [host_environment(), environment("spot")]
    heading, local, spot, note = invoke("envs").stdout.splitlines()
    assert heading.split("  ")[0] == "NAME"
    assert local.split()[:4] == ["local", "UNMANAGED", "2/2", "7.0/7.0"]
    assert spot.split() == ["spot", "SPOT", "0.5/2", "3.4/3.9", "1", "3", "3", "2", "0/4/16", "SPOT_CAPACITY_OPTIMIZED"]
    assert "FREE GPU" not in heading
    assert note == "    1 instance is (c6i.large) being launched."


def test_what_is_wrong_with_an_environment_is_said(invoke: Invoke, stub: Stub) -> None:
    reason = "ComputeEnvironment Healthy - This host offers 2 vCPUs,\x1b[2J too little."
    stub.rows["environments"] = [
        environment("a", state="DISABLED", capacity=amounts(0, 0), free=amounts(0, 0)),
        environment("b", statusReason=reason, capacity=amounts(4, 1024, 1), free=amounts(4, 1024, 1)),
    ]
    lines = invoke("envs").stdout.splitlines()
    assert lines[1].split()[2:5] == ["-", "-", "-"]
    assert lines[2] == "    It is DISABLED: nothing new is placed there."
    assert lines[4].split()[2:5] == ["4/4", "1.0/1.0", "1/1"]
    assert lines[5] == "    This host offers 2 vCPUs,\\x1b[2J too little."


def test_queues_as_a_table_with_the_job_that_finds_no_room(invoke: Invoke, stub: Stub) -> None:
    stub.rows["queues"] = [
        queue(blockedJob=f"{JOB}:7", blockedSince=now_ms() - 192_300, jobsNeverRunnable=2),
        queue(jobQueue="other", blockedJob=JOB, blockedSince=now_ms(), blockedReason="CAPACITY:X - Full."),
        queue(jobQueue="off", state="DISABLED", demand={"jobs": 0, "resources": amounts(0, 0)}),
    ]
    lines = invoke("queues").stdout.splitlines()
    assert lines[1].split() == ["default", "5", "1", "3", "3", "3.0", "-", "spot,", "local"]
    assert lines[2] == ("    3f2b8c1e:7 is next, and has waited for 3m12s: batchyard explain 3f2b8c1e:7 says what for.")
    assert lines[3] == "    2 jobs can never run here: batchyard jobs shows which, and why."
    assert lines[5].endswith(": CAPACITY:X - Full.")
    assert lines[6].split()[:6] == ["off", "5", "1", "0", "-", "-"]
    assert lines[7] == "    It is DISABLED: it takes no new jobs."


def test_instances_as_a_table_with_how_long_an_idle_one_stays(invoke: Invoke, stub: Stub) -> None:
    host = instance("i-0fedcba9876543210", computeEnvironment="local", next={"action": "NOTHING", "text": "This one."})
    del host["instanceType"], host["market"], host["launchedAt"]
    stub.rows["instances"] = [host, instance()]
    lines = invoke("instances").stdout.splitlines()
    assert lines[1].split() == ["i-0fedcba9876543210", "-", "local", "-", "2/2", "3.9/3.9", "0", "-", "READY"]
    assert lines[3].split()[:4] == ["i-0123456789abcdef0", "c6i.large", "spot", "spot"]
    assert lines[3].split()[-2:] == ["1m01s", "READY"]
    assert re.fullmatch(r"    It is idle, and goes unless a job comes \(2[0-5]s left\)\.", lines[4])


def test_instances_name_their_gpus(invoke: Invoke, stub: Stub) -> None:
    model = {"vendor": "NVIDIA", "model": "NVIDIA H100\x1b 80GB", "memory": 81559}
    gpus = [{"deviceId": 0, "uuid": "GPU-a"} | model, {"deviceId": 1, "uuid": "GPU-b"} | model, {"deviceId": 2}]
    stub.rows["instances"] = [instance(gpus=gpus, capacity=amounts(2, 3953, 3), free=amounts(2, 3953, 1))]
    heading, row, models, _ = invoke("instances").stdout.splitlines()
    assert "FREE GPU" in heading
    assert "1/3" in row.split()
    assert models == "    GPUs: 2 × NVIDIA H100\\x1b 80GB (79.6 GiB)."


@pytest.mark.parametrize("command", ["envs", "queues", "instances"])
def test_rows_as_json_and_none_at_all(command: str, invoke: Invoke, stub: Stub) -> None:
    result = invoke(command)
    assert (result.stdout, result.exit_code) == ("", 0)
    assert result.stderr.startswith("No ")
    rows = {"envs": [environment("spot")], "queues": [queue()], "instances": [instance()]}[command]
    stub.rows[{"envs": "environments"}.get(command, command)] = rows
    assert json.loads(invoke(command, "--json").stdout) == rows
    stub.refused |= dict.fromkeys(
        ("ListEnvironments", "ListQueues", "ListInstances"), Refusal("ServerException", "Broken.", 500)
    )
    assert invoke(command).stderr == "Broken. (ServerException)\n"


def test_watching_writes_a_line_for_each_row_that_changes(stub: Stub, tmp_path: Path) -> None:
    stub.rows["instances"] = [instance("i-1"), instance("i-2")]
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "BATCHYARD_URL": stub.url}
    program = "from batchyard.cli import fleet; from batchyard.cli.app import app; fleet.WATCH_SECONDS = 0.01; app()"
    arguments = [sys.executable, "-c", program, "instances", "--watch", "--json"]
    with subprocess.Popen(arguments, env=variables, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline()) for _ in range(2)]
        stub.rows["instances"] = [stub.rows["instances"][0], instance("i-2", state="DRAINING")]
        seen.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert [(row["instanceId"], row["state"]) for row in seen] == [
        ("i-1", "READY"),
        ("i-2", "READY"),
        ("i-2", "DRAINING"),
    ]


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_a_terminal_gets_what_fits(columns: int, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    long = environment("spot", next={"action": "LAUNCH", "text": "It launches " + "one and another, " * 12})
    text = fleet.text_of(fleet.ENVIRONMENTS, [host_environment(), long])
    heading = text.splitlines()[0]
    assert ("STRATEGY" in heading) == (columns >= 120)
    assert "WAITING" in heading
    notes = [line for line in text.splitlines() if line.startswith("    ")]
    assert all(len(line) <= columns for line in notes)
    if columns >= 80:
        assert all(len(line) <= columns for line in text.splitlines())


def test_an_interruption_says_when_and_whom(invoke: Invoke, stub: Stub) -> None:
    stub.rows["instances"] = [instance("i-1", jobsCount=2), instance("i-2")]
    result = invoke("interrupt", "i-1", "--notice", "60")
    assert result.exit_code == 0
    assert result.stdout.startswith("i-1 of spot goes in ")
    assert result.stdout.endswith("; its 2 jobs got the notice.\n")
    assert stub.asked("InterruptInstance") == [{"instanceId": "i-1", "noticeSeconds": 60.0}]
    assert invoke("interrupt", "i-2").stdout.endswith("; no job runs on it.\n")
    assert stub.asked("InterruptInstance")[1] == {"instanceId": "i-2"}
    assert json.loads(invoke("interrupt", "i-1", "--json").stdout)["state"] == "DRAINING"
    stub.refused["InterruptInstance"] = Refusal("ClientException", "The instance i-3 does not exist.")
    refused = invoke("interrupt", "i-3")
    assert (refused.exit_code, refused.stderr) == (1, "The instance i-3 does not exist. (ClientException)\n")
    assert invoke("interrupt", "i-1", "--notice", "-1").exit_code == 2
