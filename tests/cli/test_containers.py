"""The command line with jobs of several containers: their lines, their exit codes, one of them alone."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.cli.streams import Source, recorded_exit_code, sources
from tests.cli.conftest import Invoke
from tests.cli.stub import Stub

JOB = "3f2b8c1e-0000-4000-8000-000000000000"


def container(name: str, code: int | None, **members: Any) -> dict[str, Any]:
    ended = {} if code is None else {"exitCode": code}
    return {"name": name, "logStreamName": f"work/{name}/t", "command": [name], **ended, **members}


def add(stub: Stub, *containers: dict[str, Any], job_id: str = JOB, **members: Any) -> None:
    attempt = {"container": {}, "taskProperties": [{"containers": list(containers)}], "statusReason": "Ended"}
    given = {"ecsProperties": {"taskProperties": [{"containers": list(containers)}]}, "attempts": [attempt]}
    stub.add(job_id, "FAILED", **(given | members))


def pair(stub: Stub) -> None:
    add(stub, container("main", 3), container("side", 143, essential=False))
    stub.logs |= {"work/main/t": ["m1", "m2", "m3", "m4"], "work/side/t": ["s1"]}


def test_lines_of_all_containers_carry_their_names(invoke: Invoke, stub: Stub) -> None:
    pair(stub)
    result = invoke("logs", JOB)
    assert sorted(result.stdout.splitlines()) == ["[main] m1", "[main] m2", "[main] m3", "[main] m4", "[side] s1"]


def test_one_container_alone(invoke: Invoke, stub: Stub) -> None:
    pair(stub)
    assert invoke("logs", "--container", "side", JOB).stdout.splitlines() == ["[side] s1"]
    refused = invoke("logs", "--container", "nobody", JOB)
    assert refused.exit_code == 1
    assert "has no container nobody: its containers are main, side." in refused.stderr


def test_children_carry_index_and_container(invoke: Invoke, stub: Stub) -> None:
    stub.add(JOB, "FAILED", arrayProperties={"size": 2, "statusSummary": {"FAILED": 2}})
    for index in (0, 1):
        streams = {"logConfiguration": {"options": {"awslogs-group": f"/g{index}"}}}
        names = [f"work/{name}/{index}" for name in ("a", "b")]
        both = [container(name, 1, **streams) | {"logStreamName": at} for name, at in zip("ab", names, strict=True)]
        add(stub, *both, job_id=f"{JOB}:{index}")
        stub.logs |= {name: [f"from {name}"] for name in names}
    lines = invoke("logs", JOB).stdout.splitlines()
    assert sorted(lines) == [f"[{i}] [{name}] from work/{name}/{i}" for i in (0, 1) for name in "ab"]
    assert sorted(request["logGroupName"] for request in stub.asked("FilterLogEvents")) == ["/g0", "/g1"]


def test_describe_lists_the_containers(invoke: Invoke, stub: Stub) -> None:
    after = [{"containerName": "side", "condition": "START"}]
    add(stub, container("main", 3, dependsOn=after), container("side", 143, essential=False))
    text = invoke("describe", JOB).stdout
    assert "FAILED, exit code 3" in text
    assert "main; after side START; exit code 3" in text
    assert "side; not essential; exit code 143" in text
    assert "main 3, side 143" in text


@pytest.mark.parametrize(
    ("containers", "code"),
    [
        ([container("a", 0), container("b", 1, essential=False)], 0),
        ([container("a", 0), container("b", 7)], 7),
        ([container("a", None), container("b", 1, essential=False)], None),
    ],
)
def test_essential_containers_give_the_exit_code(containers: list[dict[str, Any]], code: int | None) -> None:
    assert (
        recorded_exit_code({"container": {}, "ecsProperties": {"taskProperties": [{"containers": containers}]}}) == code
    )


def test_one_container_of_ecs_properties_needs_no_name_before_its_lines() -> None:
    one = container("app", None)
    detail = {"jobId": JOB, "container": {}, "ecsProperties": {"taskProperties": [{"containers": [one]}]}}
    assert sources(detail) == [[Source("", "/aws/batch/job", "work/app/t")]]
    assert sources(detail, "app") == sources(detail)
    assert sources({"container": {"logStreamName": "s"}}, "default") == [[Source("", "/aws/batch/job", "s")]]


def test_a_pod_is_shown_like_a_task_of_its_containers(invoke: Invoke, stub: Stub) -> None:
    def pod(side: int) -> dict[str, Any]:
        resources = {"limits": {"cpu": "2", "memory": "64Mi"}, "requests": {"cpu": "0.5"}}
        main = {"name": "main", "command": ["sh"], "args": ["-c"], "resources": resources, "exitCode": 0}
        first = {"name": "first", "image": "busybox", "exitCode": 0}
        return {"containers": [main, {"image": "i", "exitCode": side}], "initContainers": [first]}

    ran = {
        "containers": [{"name": "main", "exitCode": 0}, {"name": "Default", "exitCode": 7}],
        "initContainers": [{"name": "first", "exitCode": 0}],
    }
    stub.add(
        JOB,
        "FAILED",
        container={"logStreamName": "work/main/t2", "exitCode": 4},
        eksProperties={"podProperties": pod(4)},
        attempts=[{"container": {"logStreamName": f"work/main/t{number}"}} for number in (1, 2)],
        eksAttempts=[ran, ran],
    )
    stub.logs |= {f"work/{name}/t{number}": [f"{name} {number}"] for name in ("main", "first") for number in (1, 2)}
    lines = invoke("logs", JOB).stdout.splitlines()
    assert sorted(lines) == [f"[{name}] {name} 2" for name in ("first", "main")]
    assert invoke("logs", "--attempt", "1", "--container", "main", JOB).stdout.splitlines() == ["[main] main 1"]
    described = invoke("describe", JOB).stdout
    assert "FAILED, exit code 4" in described
    assert "sh -c" in described
    assert "0.5 vCPU, 64 MiB" in described
    assert "main 0, Default 7, first 0" in described


def test_a_pod_that_waits_has_no_streams() -> None:
    detail = {"container": {}, "eksProperties": {"podProperties": {"containers": [{"name": "a"}]}}, "eksAttempts": []}
    assert sources(detail) == []
    assert recorded_exit_code(detail) is None
