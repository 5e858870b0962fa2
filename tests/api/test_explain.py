"""ExplainJob: the whole answer, as its model has it; and what has left memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.core.model.refusal import Refused
from tests.api.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    service.make_queue()
    service.register()
    yield service
    service.close()


def test_a_job_behind_others_is_told_what_is_ahead_and_who_holds_what(service: Service) -> None:
    holder = service.submit(containerOverrides={"resourceRequirements": [{"type": "VCPU", "value": "4"}]})
    service.submit(arrayProperties={"size": 3})
    last = service.submit()
    answer = service.call("ExplainJob", {"jobId": f"arn:aws:batch:us-east-1:123456789012:job/{last}"})
    assert (answer["wait"], answer["jobsAhead"], answer["jobsAheadElsewhere"]) == ("BEHIND", 3, 0)
    assert [(h["jobId"], h["resources"]["vcpus"]) for h in answer["holders"]] == [(holder, 4.0)]
    assert answer["free"][0]["vcpus"] == 0


def test_a_share_is_told_where_it_stands(service: Service) -> None:
    entries = [{"shareIdentifier": "team*", "weightFactor": 0.25}]
    service.batch.create_scheduling_policy(name="p", fairsharePolicy={"shareDistribution": entries})
    service.batch.create_job_queue(
        jobQueueName="fair",
        priority=1,
        schedulingPolicyArn=service.context.account.policy_arn("p"),
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "local"}],
    )
    members = {"jobQueue": "fair", "schedulingPriorityOverride": 1}
    first = service.submit(shareIdentifier="team1", arrayProperties={"size": 5}, **members)
    service.start(f"{first}:0")
    service.tick(10_000)
    service.submit(shareIdentifier="bob", **members)
    answer = service.call("ExplainJob", {"jobId": f"{first}:4"})
    assert (answer["wait"], answer["jobsAhead"]) == ("SHARE", 1)
    used = answer["share"].pop("usedVcpuSeconds")
    assert used == pytest.approx(40, rel=0.01)
    assert answer["share"] == {"shareIdentifier": "team1", "heldVcpus": 4, "weight": 0.25, "place": 2, "shares": 2}


def test_a_job_that_has_ended_and_one_that_never_was(service: Service) -> None:
    job = service.submit()
    service.end(job)
    assert service.call("ExplainJob", {"jobId": job})["text"].startswith("It has ended: Essential container")
    other = service.submit()
    service.fail_to_start(other, "CannotPullContainerError: no such image")
    text = "It has ended: Task failed to start. CannotPullContainerError: no such image"
    assert service.call("ExplainJob", {"jobId": other})["text"] == text
    with pytest.raises(Refused, match="does not exist"):
        service.call("ExplainJob", {"jobId": "no-such-job"})


def test_n_to_n_is_served_long_after_the_array_ended(service: Service) -> None:
    first = service.submit(arrayProperties={"size": 2})
    service.end(f"{first}:0")
    service.end(f"{first}:1", 1)
    service.tick(2 * 3_600_000)
    second = service.submit(arrayProperties={"size": 2}, dependsOn=[{"jobId": first, "type": "N_TO_N"}])
    states = service.batch.describe_jobs(jobs=[f"{second}:0", f"{second}:1"])["jobs"]
    assert {job["jobId"]: job["status"] for job in states} == {f"{second}:0": "STARTING", f"{second}:1": "FAILED"}
