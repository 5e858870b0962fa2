"""Jobs of ecsProperties through boto3: submitted, described, listed; logs and metadata, container by container."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from batchyard.api.ecs.documents import task_document
from batchyard.api.ecs.metadata import metadata
from batchyard.core.model import commands, reports
from batchyard.core.model.records import Abilities
from batchyard.core.model.reports import ContainerExit
from batchyard.engines.base import log_path
from batchyard.server.access.metadata_tokens import Tokens
from tests.api.service import ENGINE, START_MS, Service, refusal_of
from tests.api.test_logs import Logs


def container(name: str, **members: Any) -> dict[str, Any]:
    resources = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}]
    return {"name": name, "image": f"{name}:1", "command": [name], "resourceRequirements": resources} | members


def logging(group: str, prefix: str) -> dict[str, Any]:
    options = {"awslogs-group": group, "awslogs-stream-prefix": prefix}
    return {"logConfiguration": {"logDriver": "awslogs", "options": options}}


INIT = container("init", essential=False, **logging("/init", "first"))
MAIN = container("main", dependsOn=[{"containerName": "init", "condition": "SUCCESS"}])
SIDE = container("side", essential=False, stopTimeout=5)


@pytest.fixture
def yard(service: Service) -> Service:
    able = Abilities(images=True, needs_command=False, any_mount=True, multiple_containers=True)
    (host,) = service.machine.world.instances.values()
    service.do(commands.SetHost(host, {ENGINE: able}))
    register(service, "trio", INIT, MAIN, SIDE)
    return service


def register(service: Service, name: str, *containers: dict[str, Any]) -> None:
    service.batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        ecsProperties={"taskProperties": [{"containers": list(containers), "volumes": [{"name": "scratch"}]}]},
    )


def end(service: Service, job_id: str, **codes: int | None) -> None:
    service.tick(1000)
    exits = tuple(
        ContainerExit(name, code, reason="" if code is not None else "It was not started.")
        for name, code in codes.items()
    )
    attempt = service.launched[job_id].attempt_id
    service.report(reports.Exited(attempt, service.now_ms - 1000, service.now_ms, exits))


def write(service: Service, task_id: str, name: str, *lines: str) -> None:
    path: Path = log_path(service.context.logs_directory, task_id, name)
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{START_MS + at}\t{line}\n" for at, line in enumerate(lines)))


def task_of(detail: dict[str, Any]) -> dict[str, Any]:
    (found,) = detail["ecsProperties"]["taskProperties"]
    return dict(found)


def test_describe_shows_the_containers_merged_and_how_each_ended(yard: Service) -> None:
    override = {"containers": [{"name": "main", "command": ["other"], "environment": [{"name": "A", "value": "1"}]}]}
    answer = yard.batch.submit_job(
        jobName="nap",
        jobQueue="default",
        jobDefinition="trio",
        ecsPropertiesOverride={"taskProperties": [override]},
        retryStrategy={"attempts": 2},
    )
    job_id = answer["jobId"]
    starting = yard.detail(job_id)
    assert starting["container"] == {}
    assert [one["command"] for one in task_of(starting)["containers"]] == [["init"], ["other"], ["side"]]
    assert all("logStreamName" not in one for one in task_of(starting)["containers"])
    assert task_of(starting)["taskArn"].endswith(yard.launched[job_id].attempt_id)
    yard.start(job_id)
    end(yard, job_id, init=0, main=3, side=143)
    yard.start(job_id)
    end(yard, job_id, init=1, main=None, side=143)
    detail = yard.detail(job_id)
    assert (detail["status"], detail["statusReason"]) == ("FAILED", "Essential container in task exited")
    init, main, side = task_of(detail)["containers"]
    task_id = yard.launched[job_id].attempt_id
    assert (init["exitCode"], init["logStreamName"]) == (1, f"first/init/{task_id}")
    assert "exitCode" not in main
    assert (main["reason"], main["logStreamName"]) == ("It was not started.", f"trio/main/{task_id}")
    assert (main["environment"], main["essential"], side["essential"]) == ([{"name": "A", "value": "1"}], True, False)
    assert (main["dependsOn"], side["stopTimeout"]) == ([{"containerName": "init", "condition": "SUCCESS"}], 5)
    assert all(one["networkInterfaces"] == [] for one in (init, main, side))
    assert task_of(detail)["volumes"] == [{"name": "scratch"}]
    first, second = detail["attempts"]
    (task,) = first["taskProperties"]
    assert first["container"] == {}
    assert [(one["name"], one.get("exitCode")) for one in task["containers"]] == [
        ("init", 0),
        ("main", 3),
        ("side", 143),
    ]
    assert task["containers"][1]["logStreamName"].startswith("trio/main/")
    assert second["taskProperties"][0]["taskArn"] == task_of(detail)["taskArn"] != task["taskArn"]
    assert task["containerInstanceArn"] == task_of(detail)["containerInstanceArn"]
    (summary,) = yard.batch.list_jobs(jobQueue="default", jobStatus="FAILED")["jobSummaryList"]
    assert summary["container"] == {"reason": "It was not started."}


def test_a_job_that_waits_shows_what_it_would_run(yard: Service) -> None:
    first = yard.submit("trio")
    job_id = yard.submit("trio", dependsOn=[{"jobId": first}])
    detail = yard.detail(job_id)
    assert detail["status"] == "PENDING"
    assert "taskArn" not in task_of(detail)
    assert [one["name"] for one in task_of(detail)["containers"]] == ["init", "main", "side"]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"containerOverrides": {"command": ["x"]}}, "use ecsPropertiesOverride"),
        ({"ecsPropertiesOverride": {"taskProperties": [{}, {}]}}, "must hold at most 1 task, got 2"),
        (
            {"ecsPropertiesOverride": {"taskProperties": [{"containers": [{"name": "main"}, {"name": "main"}]}]}},
            "Container names must be unique",
        ),
        (
            {"ecsPropertiesOverride": {"taskProperties": [{"containers": [{"name": "main", "command": [""]}]}]}},
            "Command field cannot have empty strings",
        ),
        (
            {
                "ecsPropertiesOverride": {
                    "taskProperties": [
                        {"containers": [{"name": "main", "resourceRequirements": [{"type": "GPU", "value": "half"}]}]}
                    ]
                }
            },
            "Value half for type GPU",
        ),
    ],
)
def test_overrides_are_checked(yard: Service, members: dict[str, Any], text: str) -> None:
    assert text in refusal_of(lambda: yard.submit("trio", **members))


@pytest.mark.parametrize("override", [{}, {"taskProperties": []}, {"taskProperties": [{}]}])
def test_an_empty_override_is_for_everybody(yard: Service, override: dict[str, Any]) -> None:
    yard.register()
    assert yard.submit("trio", ecsPropertiesOverride=override, containerOverrides={})
    assert yard.submit("sleeper", ecsPropertiesOverride=override)


def test_each_container_has_a_log_stream(yard: Service) -> None:
    logs = Logs(yard)
    job_id = yard.submit("trio")
    yard.start(job_id)
    task_id = yard.launched[job_id].attempt_id
    write(yard, task_id, "main", "m1", "m2")
    write(yard, task_id, "side", "s1")
    write(yard, task_id, "init", "i1")
    end(yard, job_id, init=0, main=0, side=143)
    group = "/aws/batch/job"
    assert [one["logGroupName"] for one in logs.groups()["logGroups"]] == [group, "/init"]
    streams = logs.streams(logGroupName=group)["logStreams"]
    assert [one["logStreamName"] for one in streams] == [f"trio/main/{task_id}", f"trio/side/{task_id}"]
    assert streams[0]["lastEventTimestamp"] == START_MS + 1
    for prefix in ("trio/main/", f"trio/main/{task_id[:20]}"):
        found = logs.streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
        assert [one["logStreamName"] for one in found] == [f"trio/main/{task_id}"]
    events = logs.get(logGroupName=group, logStreamName=f"trio/main/{task_id}")["events"]
    assert [event["message"] for event in events] == ["m1", "m2"]
    events = logs.get(logGroupName="/init", logStreamName=f"first/init/{task_id}")["events"]
    assert [event["message"] for event in events] == ["i1"]
    events = logs.filter(logGroupName=group)["events"]
    assert sorted(event["message"] for event in events) == ["m1", "m2", "s1"]
    for wrong in (f"trio/init/{task_id}", f"trio/default/{task_id}", f"trio/nobody/{task_id}"):
        assert "does not exist" in refusal_of(lambda name=wrong: logs.get(logGroupName=group, logStreamName=name))  # type: ignore[misc]


def test_the_one_container_of_a_task_has_its_name_in_the_stream_alone(service: Service) -> None:
    """Its engine need not know of tasks of several."""
    register(service, "single", container("app"))
    logs = Logs(service)
    job_id = service.submit("single")
    service.start(job_id)
    task_id = service.launched[job_id].attempt_id
    write(service, task_id, "default", "one")
    service.end(job_id, exit_code=4)
    (found,) = logs.streams(logGroupName="/aws/batch/job")["logStreams"]
    assert found["logStreamName"] == f"single/app/{task_id}"
    events = logs.get(logGroupName="/aws/batch/job", logStreamName=found["logStreamName"])["events"]
    assert [event["message"] for event in events] == ["one"]
    (app,) = task_of(service.detail(job_id))["containers"]
    assert (app["name"], app["exitCode"], app["logStreamName"]) == ("app", 4, f"single/app/{task_id}")
    document = asyncio.run(metadata(service.context, task_id, ""))
    assert document is not None
    assert (document["Name"], document["ExitCode"]) == ("app", 4)
    view = service.reader.attempt(task_id)
    assert view is not None
    assert view.attempt is not None
    account, spec = service.context.account, view.view.spec
    task = task_document(account, spec, job_id, task_id, view.attempt, is_current=False, with_tags=False)
    (one,) = task["containers"]
    assert (one["name"], one["exitCode"], one["containerArn"]) == ("app", 4, document["ContainerARN"])


def test_each_container_finds_itself_and_the_others_in_the_metadata(yard: Service) -> None:
    job_id = yard.submit("trio")
    yard.start(job_id)
    task_id = yard.launched[job_id].attempt_id

    def ask(path: str, name: str) -> dict[str, Any]:
        found = asyncio.run(metadata(yard.context, task_id, path, name))
        assert found is not None
        return found

    mine = ask("", "side")
    assert (mine["Name"], mine["Image"], mine["Limits"]) == ("side", "side:1", {"CPU": 1024, "Memory": 256})
    assert mine["Labels"]["com.amazonaws.ecs.container-name"] == "side"
    assert ask("", "init")["LogOptions"]["awslogs-stream"] == f"first/init/{task_id}"
    whole = ask("/task", "side")
    assert whole["Containers"] == [ask("", name) for name in ("init", "main", "side")]
    assert len({one["ContainerARN"] for one in whole["Containers"]}) == 3
    assert len({one["DockerId"] for one in whole["Containers"]}) == 3
    assert whole["Limits"] == {"CPU": 3.0, "Memory": 768}
    assert {one["name"] for one in ask("/task/stats", "main").values()} == {"init", "main", "side"}
    assert asyncio.run(metadata(yard.context, task_id, "", "nobody")) is None
    end(yard, job_id, init=0, main=0, side=143)
    assert [one["ExitCode"] for one in ask("/task", "main")["Containers"]] == [0, 0, 143]


def test_a_token_carries_its_container() -> None:
    tokens = Tokens(b"secret")
    token = tokens.token("0" * 32, "side-car_1")
    assert (tokens.attempt_id(token), tokens.container(token)) == ("0" * 32, "side-car_1")
    assert tokens.container(tokens.token("0" * 32)) == ""
