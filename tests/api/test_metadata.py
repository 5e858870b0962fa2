"""The task metadata endpoint: what a program inside a job reads about itself."""

import asyncio
from typing import Any

from batchyard.api.ecs.metadata import metadata
from tests.api.service import START_MS, Service, container


def ask(service: Service, job_id: str, path: str) -> dict[str, Any]:
    document = asyncio.run(metadata(service.context, service.launched[job_id].attempt_id, path))
    assert document is not None
    return document


def test_a_container_knows_its_task_limits_and_log(service: Service) -> None:
    options = {"logDriver": "awslogs", "options": {"awslogs-group": "/mine"}}
    service.register("logger", containerProperties=container(logConfiguration=options))
    job_id = service.submit("logger")
    assert "StartedAt" not in ask(service, job_id, "")
    service.start(job_id)
    described = service.detail(job_id)["container"]
    found = ask(service, job_id, "/")
    assert found["LogDriver"] == "awslogs"
    assert found["LogOptions"] == {
        "awslogs-group": "/mine",
        "awslogs-region": "us-east-1",
        "awslogs-stream": described["logStreamName"],
    }
    assert found["Limits"] == {"CPU": 1024, "Memory": 512}
    assert found["Labels"]["com.amazonaws.ecs.task-arn"] == described["taskArn"]
    assert found["Labels"]["com.amazonaws.ecs.task-definition-family"] == "logger"
    assert found["Labels"]["com.amazonaws.ecs.task-definition-version"] == "1"
    assert (found["Name"], found["Image"], found["Type"]) == ("default", "busybox", "NORMAL")
    assert (found["DesiredStatus"], found["KnownStatus"]) == ("RUNNING", "RUNNING")
    assert found["StartedAt"] == "2023-11-14T22:13:20.000Z"
    assert START_MS == 1_700_000_000_000


def test_a_task_lists_its_container(service: Service) -> None:
    job_id = service.submit()
    service.start(job_id)
    task = ask(service, job_id, "/task")
    assert task["TaskARN"] == service.detail(job_id)["container"]["taskArn"]
    assert task["Cluster"].partition(":cluster/")[2] == task["TaskARN"].split("/")[1]
    assert (task["Family"], task["Revision"]) == ("sleeper", "1")
    assert task["Containers"] == [ask(service, job_id, "")]
    task_id = service.launched[job_id].attempt_id
    assert ask(service, job_id, "/task/stats") == {task_id: ask(service, job_id, "/stats")}
    assert ask(service, job_id, "/stats")["memory_stats"] == {"limit": 512 * 1024 * 1024}


def test_an_ended_container_says_how(service: Service) -> None:
    job_id = service.submit()
    service.start(job_id)
    service.end(job_id, exit_code=3)
    found = ask(service, job_id, "")
    assert (found["KnownStatus"], found["ExitCode"]) == ("STOPPED", 3)


def test_what_is_not_there(service: Service) -> None:
    job_id = service.submit()
    task_id = service.launched[job_id].attempt_id
    for attempt_id, path in [(task_id, "/nothing"), ("0" * 32, ""), ("x", "/task")]:
        assert asyncio.run(metadata(service.context, attempt_id, path)) is None
