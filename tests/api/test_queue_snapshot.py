"""GetJobQueueSnapshot: the front of a queue in the order of its turn, and what of its capacity is in use."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.api.service import Service

VCPUS = 4  # of the host


def submit(service: Service, vcpus: int = VCPUS, **members: Any) -> str:
    overrides = {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}
    made = service.batch.submit_job(
        jobName="j", jobQueue="default", jobDefinition="sleeper", containerOverrides=overrides, **members
    )
    return str(made["jobId"])


def front(service: Service, queue: str = "default") -> list[str]:
    jobs = service.batch.get_job_queue_snapshot(jobQueue=queue)["frontOfQueue"]["jobs"]
    return [job["jobArn"].partition(":job/")[2] for job in jobs]


def test_the_front_in_the_order_of_its_turn(service: Service) -> None:
    running, first = submit(service), submit(service)
    array = submit(service, arrayProperties={"size": 150})
    last = submit(service)
    found = service.batch.get_job_queue_snapshot(jobQueue="default")
    ids = front(service)
    assert ids[0] == first
    assert ids[1:] == [f"{array}:{index}" for index in range(99)], "children, not parents; a hundred at most"
    assert running not in ids
    assert last not in ids
    usage = found["queueUtilization"]["totalCapacityUsage"]
    assert usage == [{"capacityUnit": "VCPU", "quantity": float(VCPUS)}]
    assert "fairshareUtilization" not in found["queueUtilization"]
    assert all(job["earliestTimeAtPosition"] > 0 for job in found["frontOfQueue"]["jobs"])
    service.batch.terminate_job(jobId=array, reason="no more")
    assert front(service) == [first, last]


def test_jobs_that_nothing_can_run_stand_where_they_were_submitted(service: Service) -> None:
    submit(service)
    huge, behind = submit(service, VCPUS + 1), submit(service)
    assert front(service) == [huge, behind]


def test_an_unknown_queue_is_refused(service: Service) -> None:
    with pytest.raises(ClientError, match="JobQueue nowhere not found"):
        service.batch.get_job_queue_snapshot(jobQueue="nowhere")


def test_a_shared_queue_answers_before_its_first_job_and_after_its_last(service: Service) -> None:
    """Every question about queues, of each kind of queue."""
    policy = service.batch.create_scheduling_policy(name="fair", fairsharePolicy={"computeReservation": 50})["arn"]
    order = [{"order": 1, "computeEnvironment": "local"}]
    for name, members in (("fair", {"schedulingPolicyArn": policy}), ("plain", {})):
        service.batch.create_job_queue(jobQueueName=name, priority=1, computeEnvironmentOrder=order, **members)

    for _ in range(2):
        for name in ("fair", "plain"):
            assert front(service, name) == []
            (found,) = service.batch.describe_job_queues(jobQueues=[name])["jobQueues"]
            assert found["status"] == "VALID"
        for question in ("ListQueues", "ListEnvironments"):
            assert service.call(question, {})
        service.end(service.submit(jobQueue="fair", shareIdentifier="a", schedulingPriorityOverride=1))


def test_shares_take_turns_at_the_front(service: Service) -> None:
    policy = service.batch.create_scheduling_policy(name="fair", fairsharePolicy={"shareDecaySeconds": 3600})
    service.batch.create_job_queue(
        jobQueueName="fair",
        priority=1,
        schedulingPolicyArn=policy["arn"],
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "local"}],
    )
    submit(service)
    service.batch.register_job_definition(
        jobDefinitionName="shared",
        type="container",
        schedulingPriority=1,
        containerProperties={
            "image": "busybox",
            "command": ["true"],
            "resourceRequirements": [{"type": "VCPU", "value": "4"}, {"type": "MEMORY", "value": "64"}],
        },
    )
    ids = [
        service.batch.submit_job(jobName="j", jobQueue="fair", jobDefinition="shared", shareIdentifier=share)["jobId"]
        for share in ("a", "a", "b", "b")
    ]
    assert front(service, "fair") == [ids[0], ids[2], ids[1], ids[3]]
    utilization = service.batch.get_job_queue_snapshot(jobQueue="fair")["queueUtilization"]
    assert utilization["fairshareUtilization"] == {"activeShareCount": 2, "topCapacityUtilization": []}
