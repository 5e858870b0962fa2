"""`batchyard cost` and `batchyard rightsize`: hours, waste and money as tables; sizes from what attempts used."""

import json
from typing import Any

import pytest

from batchyard.cli.formats import now_ms
from tests.cli.conftest import Invoke
from tests.cli.stub import Stub

HOUR_MS = 3_600_000
DEFINITION = {
    "jobDefinitionName": "train",
    "revision": 3,
    "type": "container",
    "status": "ACTIVE",
    "jobDefinitionArn": "arn:aws:batch:us-east-1:123456789012:job-definition/train:3",
    "tags": {"team": "a"},
    "containerProperties": {
        "image": "host",
        "command": ["train"],
        "resourceRequirements": [
            {"type": "VCPU", "value": "2"},
            {"type": "MEMORY", "value": "2048"},
            {"type": "GPU", "value": "1"},
        ],
    },
}


class Past:
    """What the service answers of the past, in pages of two attempts."""

    def __init__(self) -> None:
        self.attempts: list[dict[str, Any]] = []
        self.instances: list[dict[str, Any]] = []
        self.registered: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []

    def add(self, count: int = 1, **members: Any) -> None:
        for _ in range(count):
            start = now_ms() - 2 * HOUR_MS
            plain = {
                "jobId": f"job-{len(self.attempts)}",
                "jobName": "step",
                "jobQueue": "default",
                "jobDefinition": "train:3",
                "attempt": 1,
                "createdAt": start,
                "startedAt": start,
                "stoppedAt": start + HOUR_MS,
                "asked": {"vcpus": 2.0, "memory": 2048, "gpus": 0},
                "status": "SUCCEEDED",
                "outcome": "SUCCEEDED",
                "isLast": True,
                "instanceIds": ["i-1"],
            }
            self.attempts.append(plain | members)

    def list_attempts(self, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        at = int(request.get("nextToken", 0))
        more = {"nextToken": str(at + 2)} if at + 2 < len(self.attempts) else {}
        return {"attempts": self.attempts[at : at + 2]} | more

    def list_instances(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"instances": self.instances}

    def register(self, request: dict[str, Any]) -> dict[str, Any]:
        self.registered.append(request)
        return {"jobDefinitionName": request["jobDefinitionName"], "revision": 4}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request.get("jobDefinitionName") or request["jobDefinitions"][0]
        return {"jobDefinitions": [DEFINITION] if wanted in ("train", "train:3") else []}


@pytest.fixture
def past(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Past:
    found = Past()
    monkeypatch.setattr(stub, "_ListPastAttempts", found.list_attempts, raising=False)
    monkeypatch.setattr(stub, "_ListPastInstances", found.list_instances, raising=False)
    monkeypatch.setattr(stub, "_RegisterJobDefinition", found.register, raising=False)
    monkeypatch.setattr(stub, "_DescribeJobDefinitions", found.describe, raising=False)
    stub.rows["instances"] = [
        {"instanceId": "i-1", "instanceType": "m5.large", "capacity": {"vcpus": 2.0, "memory": 8192, "gpus": 0}}
    ]
    return found


def cells(output: str, name: str) -> list[str]:
    (line,) = (line for line in output.splitlines() if line.startswith(name))
    return line.split()


def test_hours_and_waste_of_all_pages(past: Past, invoke: Invoke) -> None:
    past.add(4, cpuMilliseconds=HOUR_MS // 2, peakMemory=512)
    past.add(1, outcome="HOST_LOST")
    found = invoke("cost")
    assert cells(found.stdout, "default") == ["default", "5", "10.0", "10.0", "75", "%", "75", "%", "2.0"]
    assert cells(found.stdout, "total") == ["total", "5", "10.0", "10.0", "75", "%", "75", "%", "2.0"]
    assert "No instance has a price" in found.stderr


def test_money_and_idle_instances(past: Past, invoke: Invoke) -> None:
    now = now_ms()
    past.add(startedAt=now - 2 * HOUR_MS, stoppedAt=now - HOUR_MS, asked={"vcpus": 2.0, "memory": 4096, "gpus": 0})
    past.instances = [
        {
            "instanceId": "i-1",
            "instanceType": "c5.large",
            "computeEnvironment": "fleet",
            "market": "SPOT",
            "launchedAt": now - 2 * HOUR_MS,
            "endedAt": now,
            "capacity": {"vcpus": 2.0, "memory": 4096, "gpus": 0},
            "hourlyMicroDollars": 1_500_000,
        }
    ]
    found = invoke("cost", "--by", "definition", "--since", "1d")
    assert cells(found.stdout, "train")[-1] == "$1.50"
    assert cells(found.stdout, "(idle")[-1] == "$1.50"
    assert cells(found.stdout, "total")[-1] == "$3.00"
    document = json.loads(invoke("cost", "--json").stdout)
    assert (document["total"]["dollars"], document["idle"]["vcpuHours"]) == (3.0, 2.0)


def test_an_unknown_kind_is_refused(past: Past, invoke: Invoke) -> None:
    found = invoke("cost", "--by", "colour")
    assert found.exit_code == 1
    assert "There are: queue, share, definition" in found.stderr


def test_nothing_ran(past: Past, invoke: Invoke) -> None:
    assert "Nothing ran in that time" in invoke("cost").stderr
    assert "No attempt ran in that time" in invoke("rightsize").stderr
    assert "No attempt has ended in that time" in invoke("cost", "--spot").stderr


def test_which_definitions_lose_work(past: Past, invoke: Invoke) -> None:
    past.add(2)
    past.add(1, jobId="lost", outcome="HOST_LOST", isLast=False)
    past.add(1, jobId="lost", attempt=2)
    row = cells(invoke("cost", "--spot").stdout, "train")
    assert row[:3] == ["train", "4", "1"]
    assert row[6:] == ["no", "below", "88%"], "an hour each, a loss in four hours"


def test_a_size_with_its_histogram(past: Past, invoke: Invoke) -> None:
    for peak in range(100, 140):
        past.add(peakMemory=peak, cpuMilliseconds=HOUR_MS)
    past.add(1, outcome="OUT_OF_MEMORY")
    found = invoke("rightsize", "train")
    assert found.exit_code == 0, found.stderr
    assert "train:3: 41 attempts" in found.stdout
    assert found.stdout.count(" MiB  █") == 10, "bars of four MiB"
    facts = {line[:14].strip(): line[14:] for line in found.stdout.splitlines()}
    assert facts["peak memory"] == "p50 119, p95 137, highest 139 MiB"
    assert facts["recommended"] == "192 MiB, 2 vCPUs"
    assert facts["risk"] == "1 of 41 attempts would have been killed with it", "its limit was 2048"
    assert facts["side by side"] == "1 on the instances there are now, 1 as it is"
    assert {request["jobDefinition"] for request in past.requests} == {"train"}


def test_a_size_is_registered_as_a_new_revision(past: Past, invoke: Invoke) -> None:
    past.add(30, peakMemory=1000, cpuMilliseconds=HOUR_MS // 4)
    found = invoke("rightsize", "train", "--apply")
    assert "Registered train:4." in found.stderr
    (request,) = past.registered
    assert request["tags"] == {"team": "a"}
    assert request["containerProperties"]["command"] == ["train"]
    assert request["containerProperties"]["resourceRequirements"] == [
        {"type": "GPU", "value": "1"},
        {"type": "VCPU", "value": "1"},
        {"type": "MEMORY", "value": "1216"},
    ]


def test_few_attempts_give_a_hint_and_are_not_applied(past: Past, invoke: Invoke) -> None:
    past.add(3, peakMemory=1000)
    found = invoke("rightsize", "train", "--apply")
    assert found.exit_code == 1
    assert "Fewer than 20 attempts" in found.stderr
    assert not past.registered
    assert cells(invoke("rightsize").stdout, "train")[-2:] == ["(few", "attempts)"]


def test_more_than_any_limit_is_said(past: Past, invoke: Invoke) -> None:
    past.add(20, outcome="OUT_OF_MEMORY")
    found = invoke("rightsize", "train", "--apply")
    assert "exceeds 2048 MiB: try 3072 MiB" in found.stderr
    assert found.exit_code == 1
    assert not past.registered


def test_an_unknown_definition(past: Past, invoke: Invoke) -> None:
    found = invoke("rightsize", "other")
    assert (found.exit_code, found.stderr.strip()) == (1, "There is no job definition other.")
    assert invoke("rightsize", "--apply").exit_code == 2
