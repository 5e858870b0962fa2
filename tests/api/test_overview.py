"""The operations behind `batchyard envs`, `queues`, `instances` and `interrupt`: their documents and refusals."""

from typing import Any

import pytest

from batchyard.core.model import reports
from batchyard.core.model.records import HOST_PROVIDER
from tests.api.service import Service, refusal_of

EC2 = {
    "type": "EC2",
    "allocationStrategy": "BEST_FIT_PROGRESSIVE",
    "minvCpus": 0,
    "maxvCpus": 2,
    "instanceTypes": ["c6i.large"],
    "instanceRole": "ecsInstanceRole",
    "subnets": ["subnet-1"],
    "securityGroupIds": ["sg-1"],
}


@pytest.fixture
def yard(service: Service) -> Service:
    """An environment `small`, its queue, and three jobs of a vCPU there: two run, one finds no room."""
    service.batch.create_compute_environment(computeEnvironmentName="small", type="MANAGED", computeResources=EC2)
    order = [{"order": 1, "computeEnvironment": "small"}]
    service.batch.create_job_queue(jobQueueName="small", priority=7, computeEnvironmentOrder=order)
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
    container = {"image": "any", "command": ["true"], "resourceRequirements": needs}
    service.batch.register_job_definition(jobDefinitionName="work", type="container", containerProperties=container)
    for number in range(3):
        service.batch.submit_job(jobName=f"job-{number}", jobQueue="small", jobDefinition="work")
    (instance_id,) = service.machine.world.instances.launched_in["small"]
    service.machine.report(HOST_PROVIDER, reports.InstanceReady(instance_id), service.now_ms)
    service.tick(0)
    return service


def row(service: Service, operation: str, member: str, name: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = service.call(operation, {})[member]
    return next(row for row in rows if name in (row.get("computeEnvironment"), row.get("jobQueue")))


def test_an_environment_with_instances(yard: Service) -> None:
    found = row(yard, "ListEnvironments", "environments", "small")
    assert found == {
        "computeEnvironment": "small",
        "kind": "EC2",
        "state": "ENABLED",
        "status": "VALID",
        "statusReason": "ComputeEnvironment Healthy",
        "engine": "process",
        "allocationStrategy": "BEST_FIT_PROGRESSIVE",
        "jobQueues": ["small"],
        "instances": {"READY": 1},
        "minvCpus": 0,
        "desiredvCpus": 2,
        "maxvCpus": 2,
        "capacity": {"vcpus": 2.0, "memory": 3953, "gpus": 0},
        "free": {"vcpus": 0.0, "memory": 2929, "gpus": 0},
        "jobsRunning": 2,
        "demand": {"jobs": 1, "resources": {"vcpus": 1.0, "memory": 512, "gpus": 0}},
        "next": {
            "action": "BLOCKED",
            "text": "It launches nothing more for the queue small: The environment has 2 of 2 vCPUs (maxvCpus).",
        },
    }
    local = row(yard, "ListEnvironments", "environments", "local")
    assert {"minvCpus", "maxvCpus", "allocationStrategy"} & local.keys() == set()
    assert local["kind"] == "UNMANAGED"


def test_a_queue_with_the_job_that_finds_no_room(yard: Service) -> None:
    found = row(yard, "ListQueues", "queues", "small")
    waiting = yard.batch.list_jobs(jobQueue="small", jobStatus="RUNNABLE")["jobSummaryList"]
    assert found.pop("blockedSince") > 0
    assert found.pop("blockedJob") == waiting[0]["jobId"]
    assert found == {
        "jobQueue": "small",
        "state": "ENABLED",
        "status": "VALID",
        "statusReason": "JobQueue Healthy",
        "priority": 7,
        "computeEnvironments": ["small"],
        "jobsRunning": 2,
        "demand": {"jobs": 1, "resources": {"vcpus": 1.0, "memory": 512, "gpus": 0}},
        "jobsNeverRunnable": 0,
        "blockedCount": 0,
    }


def test_instances_this_machine_first(yard: Service) -> None:
    host, own = yard.call("ListInstances", {})["instances"]
    assert (host["instanceId"], host["computeEnvironment"]) == ("i-0123456789abcdef0", "local")
    assert {"instanceType", "market", "launchedAt"} & host.keys() == set()
    assert host["next"]["text"] == "This machine; managed instances reserve 2 vCPUs and 3953 MiB of it."
    starting = yard.batch.list_jobs(jobQueue="small", jobStatus="STARTING")["jobSummaryList"]
    assert sorted(own.pop("jobs")) == sorted(job["jobId"] for job in starting)
    for member in ("launchedAt", "readyAt"):
        assert own.pop(member) == yard.now_ms
    assert own == {
        "instanceId": yard.machine.world.instances.launched_in["small"][0],
        "instanceType": "c6i.large",
        "computeEnvironment": "small",
        "market": "ON_DEMAND",
        "state": "READY",
        "capacity": {"vcpus": 2.0, "memory": 3953, "gpus": 0},
        "free": {"vcpus": 0.0, "memory": 2929, "gpus": 0},
        "gpuIds": [],
        "jobsCount": 2,
        "next": {"action": "NOTHING", "text": ""},
    }


def test_an_interruption(yard: Service) -> None:
    instance_id = yard.machine.world.instances.launched_in["small"][0]
    found = yard.call("InterruptInstance", {"instanceId": instance_id})["instance"]
    assert (found["state"], found["endsAt"], found["jobsCount"]) == ("DRAINING", yard.now_ms + 2000, 2)
    assert found["next"]["action"] == "ENDING"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"instanceId": "i-0"}, "The instance i-0 does not exist. `batchyard instances` lists those there are."),
        (
            {"instanceId": "i-0123456789abcdef0"},
            "i-0123456789abcdef0 is this machine itself: only instances of MANAGED environments can go.",
        ),
        ({"instanceId": "i-0", "noticeSeconds": -1.0}, "noticeSeconds must be from 0 to 86400, got -1.0."),
        ({"instanceId": "i-0", "noticeSeconds": float("nan")}, "noticeSeconds must be from 0 to 86400, got nan."),
    ],
)
def test_an_interruption_is_refused(request_: dict[str, Any], message: str, yard: Service) -> None:
    assert refusal_of(lambda: yard.call("InterruptInstance", request_)) == message
