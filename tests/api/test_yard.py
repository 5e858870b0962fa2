"""RunJob: the built-in definition is there when it is needed, and overrides carry the rest."""

import asyncio
from typing import Any

import pytest

from batchyard.api import yard
from batchyard.api.context import Call
from tests.api.service import Service, refusal_of


def test_a_command_runs_where_the_caller_is(service: Service) -> None:
    answer = service.call("RunJob", {"command": ["/opt/tools/my tool.sh", "-x", ""], "workingDirectory": "/somewhere"})
    found = service.detail(answer["jobId"])
    assert (found["jobName"], found["jobQueue"].split("/")[1]) == ("my-tool-sh", "default")
    assert found["container"]["command"] == ["/opt/tools/my tool.sh", "-x", ""]
    assert found["container"]["resourceRequirements"] == [
        {"type": "VCPU", "value": "1"},
        {"type": "MEMORY", "value": "512"},
    ]
    assert service.launched[answer["jobId"]].task.working_directory == "/somewhere"
    assert answer["jobArn"].endswith(answer["jobId"])


def test_everything_that_is_asked_reaches_the_job(service: Service) -> None:
    service.make_queue("special", "e")
    answer = service.call(
        "RunJob",
        {
            "command": ["true"],
            "jobName": "named",
            "jobQueue": "special",
            "vcpus": 2,
            "memory": 1024,
            "gpus": 1,
            "environment": [{"name": "A", "value": "1"}],
            "arraySize": 2,
            "attempts": 3,
            "timeoutSeconds": 60,
        },
    )
    found = service.detail(answer["jobId"] + ":0")
    assert (found["jobName"], found["jobQueue"].split("/")[1]) == ("named", "special")
    assert [entry["value"] for entry in found["container"]["resourceRequirements"]] == ["2", "1024", "1"]
    assert found["container"]["environment"] == [{"name": "A", "value": "1"}]
    assert found["retryStrategy"]["attempts"] == 3
    assert found["timeout"] == {"attemptDurationSeconds": 60}


def test_a_share_and_its_priority_reach_the_job(service: Service) -> None:
    service.batch.create_scheduling_policy(name="p")
    service.batch.create_job_queue(
        jobQueueName="fair",
        priority=1,
        schedulingPolicyArn=service.context.account.policy_arn("p"),
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "local"}],
    )
    request = {"command": ["true"], "jobQueue": "fair", "shareIdentifier": "anna", "schedulingPriorityOverride": 0}
    found = service.detail(service.call("RunJob", request)["jobId"])
    assert (found["shareIdentifier"], found["schedulingPriority"]) == ("anna", 0)


def built_in(service: Service) -> list[Any]:
    found = service.batch.describe_job_definitions(jobDefinitionName=yard.RUN_DEFINITION)["jobDefinitions"]
    return [one["revision"] for one in found]


def test_the_definition_is_registered_once_even_by_callers_at_once(service: Service) -> None:
    async def both() -> None:
        call = Call("RunJob")
        await asyncio.gather(*(yard.run_job(service.context, call, {"command": ["true"]}) for _ in range(3)))

    asyncio.run(both())
    assert built_in(service) == [1]


def test_a_definition_that_somebody_changed_is_registered_anew(service: Service) -> None:
    service.call("RunJob", {"command": ["true"]})
    service.register(yard.RUN_DEFINITION)
    service.batch.deregister_job_definition(jobDefinition=f"{yard.RUN_DEFINITION}:1")
    answer = service.call("RunJob", {"command": ["true"]})
    assert service.detail(answer["jobId"])["jobDefinition"].endswith(f"/{yard.RUN_DEFINITION}:3")


@pytest.mark.parametrize(
    ("program", "name"),
    [("true", "true"), ("/usr/bin/python3.11", "python3-11"), ("./-x", "x"), ("été", "t"), ("**", "run")],
)
def test_jobs_are_named_after_their_program(program: str, name: str) -> None:
    assert yard.job_name(program) == name


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"command": []}, "command must name a program."),
        ({"command": [""]}, "command must name a program."),
        ({"command": ["a"], "workingDirectory": "x"}, "workingDirectory must be an absolute path, got 'x'."),
        ({"command": ["a", "\0"]}, "command[1] must not hold a NUL character."),
        ({"command": ["a"], "vcpus": 0}, "vcpus must be between 1 and 2147483647, got 0."),
        ({"command": ["a"], "jobName": "a b"}, "Job name should match valid pattern"),
        ({"command": ["a"], "jobQueue": "nobody"}, "JobQueue nobody not found."),
    ],
)
def test_a_run_is_refused_with_its_text(request_: dict[str, Any], message: str, shared: Service) -> None:
    assert refusal_of(lambda: shared.call("RunJob", request_)) == message
