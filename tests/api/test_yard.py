"""RunJob: the built-in definition is there when it is needed, and overrides carry the rest."""

import asyncio
from typing import Any

import pytest

from batchyard.api.context import Call
from batchyard.api.yard import run_job
from batchyard.core.model import commands
from batchyard.core.model.records import Abilities, EnvironmentOrder
from batchyard.core.model.refusal import Refused
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


def test_the_main_node_runs_the_command_and_the_others_stand_by(service: Service) -> None:
    request = {
        "command": ["mpirun", ""],
        "nodes": 3,
        "workingDirectory": "/here",
        "vcpus": 1,
        "memory": 64,
        "environment": [{"name": "A", "value": "1"}],
    }
    job = service.call("RunJob", request)["jobId"]
    assert service.detail(job)["nodeProperties"]["numNodes"] == 3
    nodes = [service.detail(f"{job}#{node}") for node in range(3)]
    assert [one["nodeDetails"]["isMainNode"] for one in nodes] == [True, False, False]
    stand_by = ["sh", "-c", "exec sleep 2147483647"]
    assert [one["container"]["command"] for one in nodes] == [["mpirun", ""], stand_by, stand_by]
    for one in nodes:
        assert [entry["value"] for entry in one["container"]["resourceRequirements"]] == ["1", "64"]
        assert one["container"]["environment"] == [{"name": "A", "value": "1"}]
    assert service.launched[f"{job}#0"].task.working_directory == "/here"


def test_one_node_is_a_multi_node_job_too(service: Service) -> None:
    service.call("RunJob", {"command": ["true"], "nodes": 2})
    job = service.call("RunJob", {"command": ["true"], "nodes": 1})["jobId"]
    assert service.detail(job)["nodeProperties"]["numNodes"] == 1
    assert service.detail(f"{job}#0")["container"]["command"] == ["true"]


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
    found = service.batch.describe_job_definitions(jobDefinitionName=run_job.RUN_DEFINITION)["jobDefinitions"]
    return [one["revision"] for one in found]


def test_the_definition_is_registered_once_even_by_callers_at_once(service: Service) -> None:
    async def both() -> None:
        call = Call("RunJob")
        await asyncio.gather(*(run_job.run_job(service.context, call, {"command": ["true"]}) for _ in range(3)))

    asyncio.run(both())
    assert built_in(service) == [1]


def test_a_definition_that_somebody_changed_is_registered_anew(service: Service) -> None:
    service.call("RunJob", {"command": ["true"]})
    service.register(run_job.RUN_DEFINITION)
    service.batch.deregister_job_definition(jobDefinition=f"{run_job.RUN_DEFINITION}:1")
    answer = service.call("RunJob", {"command": ["true"]})
    assert service.detail(answer["jobId"])["jobDefinition"].endswith(f"/{run_job.RUN_DEFINITION}:3")


@pytest.mark.parametrize(
    ("program", "name"),
    [("true", "true"), ("/usr/bin/python3.11", "python3-11"), ("./-x", "x"), ("été", "t"), ("**", "run")],
)
def test_jobs_are_named_after_their_program(program: str, name: str) -> None:
    assert run_job.job_name(program) == name


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"command": []}, "command must name a program."),
        ({"command": [""]}, "command must name a program."),
        ({"command": ["a"], "workingDirectory": "x"}, "workingDirectory must be an absolute path, got 'x'."),
        ({"command": ["a", "\0"]}, "command[1] must not hold a NUL character."),
        ({"command": ["a"], "vcpus": 0}, "vcpus must be between 1 and 2147483647, got 0."),
        ({"command": ["a"], "nodes": 0}, "nodes must be between 1 and 1000, got 0."),
        (
            {"command": ["a"], "nodes": 2, "arraySize": 2},
            "nodes and arraySize exclude each other: an array of multi-node jobs is not possible.",
        ),
        ({"command": ["a"], "jobName": "a b"}, "Job name should match valid pattern"),
        ({"command": ["a"], "jobQueue": "nobody"}, "JobQueue nobody not found."),
    ],
)
def test_a_run_is_refused_with_its_text(request_: dict[str, Any], message: str, shared: Service) -> None:
    assert refusal_of(lambda: shared.call("RunJob", request_)) == message


DOCKER = "docker"


@pytest.fixture
def both(service: Service) -> Service:
    """Docker's engine too, with an environment and a queue `containers`."""
    host = service.machine.world.instances["i-0123456789abcdef0"]
    service.do(commands.SetHost(host, {"process": Abilities(), DOCKER: Abilities(images=True, needs_command=False)}))
    service.do(commands.CreateComputeEnvironment("containers", "u", "UNMANAGED", "ENABLED", DOCKER, {}))
    service.do(commands.CreateJobQueue("containers", "ENABLED", 1, (EnvironmentOrder(1, "containers"),)))
    return service


def test_an_image_runs_as_a_container_in_the_callers_directory(both: Service) -> None:
    request = {"image": "library/busybox:1.36", "command": ["ls", ""], "workingDirectory": "/data"}
    answer = both.call("RunJob", request)
    found = both.detail(answer["jobId"])
    assert (found["jobName"], found["jobQueue"].split("/")[1]) == ("ls", "containers")
    launch = both.launched[answer["jobId"]]
    assert (launch.engine, launch.task.image, launch.task.command) == (DOCKER, "library/busybox:1.36", ("ls", ""))
    assert launch.task.working_directory == "/data"
    assert found["jobDefinition"].rpartition("/")[2].startswith("batchyard-run-busybox-1-36-")
    again = both.detail(both.call("RunJob", request)["jobId"])
    other = both.detail(both.call("RunJob", request | {"image": "other/busybox:1.36"})["jobId"])
    assert again["jobDefinition"] == found["jobDefinition"] != other["jobDefinition"]


def test_an_image_may_bring_its_own_command(both: Service) -> None:
    answer = both.call("RunJob", {"image": "train", "workingDirectory": "/"})
    launch = both.launched[answer["jobId"]]
    assert (answer["jobName"], launch.task.command) == ("train", ())
    assert launch.task.working_directory == ""  # the root would hide the image


def test_a_program_of_this_machine_goes_where_programs_run(both: Service) -> None:
    assert both.launched[both.call("RunJob", {"command": ["true"]})["jobId"]].engine == "process"
    both.do(commands.CreateComputeEnvironment("host", "u", "UNMANAGED", "ENABLED", "process", {}))
    both.do(commands.CreateJobQueue("host", "ENABLED", 1, (EnvironmentOrder(1, "host"),)))
    job = both.detail(both.call("RunJob", {"command": ["true"]})["jobId"])
    assert job["jobQueue"].endswith("/host")


def test_a_run_in_the_wrong_queue_is_refused(both: Service) -> None:
    with pytest.raises(Refused, match="the process engine runs no images"):
        both.call("RunJob", {"image": "busybox", "command": ["true"], "jobQueue": "default"})
    with pytest.raises(Refused, match="the docker engine runs images: name one"):
        both.call("RunJob", {"command": ["true"], "jobQueue": "containers"})


def test_an_image_without_docker_is_refused_with_the_remedy(service: Service) -> None:
    with pytest.raises(Refused, match="No job queue here runs containers: start Docker"):
        service.call("RunJob", {"image": "busybox", "command": ["true"]})


@pytest.mark.parametrize("image", ["", "a b", "x" * 256, "a\0"])
def test_an_image_must_be_one(both: Service, image: str) -> None:
    with pytest.raises(Refused, match="image must have 1 to 255 characters"):
        both.call("RunJob", {"image": image, "command": ["true"]})
