"""The calls of Terraform's AWS provider, in its order, and the fields that its plans compare."""

import pytest
from botocore.exceptions import ClientError

from tests.clients.calling import JOB_SECONDS, Clients, Document, managed, needs
from tests.waiting import until

ROLE = "arn:aws:iam::123456789012:role/AWSBatchServiceRole"


def environment(clients: Clients, name: str) -> Document | None:
    found = clients.batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"]
    return found[0] if found else None


def queue(clients: Clients, name: str) -> Document | None:
    found = clients.batch.describe_job_queues(jobQueues=[name])["jobQueues"]
    return found[0] if found else None


def refusal(error: pytest.ExceptionInfo[ClientError]) -> str:
    assert error.value.response["Error"]["Code"] == "ClientException"
    return str(error.value.response["Error"]["Message"])


def test_environment_and_queue_are_made_changed_and_destroyed(clients: Clients) -> None:
    batch = clients.batch
    made = batch.create_compute_environment(
        computeEnvironmentName="tf-env", type="UNMANAGED", state="ENABLED", serviceRole=ROLE, tags={"Name": "tf"}
    )
    arn = made["computeEnvironmentArn"]
    found = environment(clients, "tf-env")
    assert found is not None
    assert (found["status"], found["state"], found["type"]) == ("VALID", "ENABLED", "UNMANAGED")
    assert (found["computeEnvironmentArn"], found["serviceRole"], found["tags"]) == (arn, ROLE, {"Name": "tf"})
    assert found["ecsClusterArn"].startswith("arn:aws:ecs:")
    assert "computeResources" not in found  # the plan has none: one here would replace the environment at each apply

    order = [{"order": 1, "computeEnvironment": "tf-env"}]
    made = batch.create_job_queue(
        jobQueueName="tf-queue", priority=10, state="ENABLED", computeEnvironmentOrder=order, tags={"Name": "tf"}
    )
    queue_arn = made["jobQueueArn"]
    described = queue(clients, queue_arn)
    assert described is not None
    assert (described["status"], described["priority"], described["tags"]) == ("VALID", 10, {"Name": "tf"})
    assert described["computeEnvironmentOrder"] == [{"order": 1, "computeEnvironment": arn}]
    assert described["jobStateTimeLimitActions"] == []
    assert "schedulingPolicyArn" not in described

    batch.tag_resource(resourceArn=queue_arn, tags={"Owner": "data"})
    batch.untag_resource(resourceArn=queue_arn, tagKeys=["Name"])
    assert batch.list_tags_for_resource(resourceArn=queue_arn)["tags"] == {"Owner": "data"}
    batch.update_job_queue(jobQueue=queue_arn, priority=20, state="ENABLED", computeEnvironmentOrder=order)
    described = queue(clients, "tf-queue")
    assert described is not None
    assert (described["priority"], described["tags"]) == (20, {"Owner": "data"})

    destroy(clients, arn, queue_arn)


def test_a_scheduling_policy_and_its_queue(clients: Clients) -> None:
    batch = clients.batch
    fair = {
        "computeReservation": 1,
        "shareDecaySeconds": 3600,
        "shareDistribution": [{"shareIdentifier": "A1*", "weightFactor": 0.1}, {"shareIdentifier": "A2"}],
    }
    arn = batch.create_scheduling_policy(name="tf-policy", fairsharePolicy=fair, tags={"Name": "tf"})["arn"]
    (found,) = batch.describe_scheduling_policies(arns=[arn])["schedulingPolicies"]
    assert (found["arn"], found["name"], found["tags"]) == (arn, "tf-policy", {"Name": "tf"})
    assert found["fairsharePolicy"]["shareDistribution"][0]["weightFactor"] == pytest.approx(0.1)
    batch.tag_resource(resourceArn=arn, tags={"Owner": "data"})
    batch.update_scheduling_policy(arn=arn, fairsharePolicy={"shareDecaySeconds": 60})
    (found,) = batch.describe_scheduling_policies(arns=[arn])["schedulingPolicies"]
    assert found["fairsharePolicy"]["shareDecaySeconds"] == 60
    order = [{"order": 1, "computeEnvironment": "local"}]
    batch.create_job_queue(
        jobQueueName="tf-shared", priority=1, computeEnvironmentOrder=order, schedulingPolicyArn=arn, state="ENABLED"
    )
    described = queue(clients, "tf-shared")
    assert described is not None
    assert described["schedulingPolicyArn"] == arn
    take_turns(clients, "tf-shared")
    with pytest.raises(ClientError) as error:
        batch.delete_scheduling_policy(arn=arn)
    assert "is used by job queue tf-shared" in refusal(error)
    batch.update_job_queue(jobQueue="tf-shared", state="DISABLED")
    batch.delete_job_queue(jobQueue="tf-shared")
    until(lambda: queue(clients, "tf-shared") is None, JOB_SECONDS, lambda: "the end of tf-shared")
    batch.delete_scheduling_policy(arn=arn)
    assert batch.describe_scheduling_policies(arns=[arn])["schedulingPolicies"] == []


def take_turns(clients: Clients, name: str) -> None:
    """Two shares, each job as large as the machine: who comes second does not wait for all of the first."""
    batch = clients.batch
    everything = {"image": "busybox", "command": ["sleep", "0.2"], "resourceRequirements": needs(8, 64)}
    batch.register_job_definition(
        jobDefinitionName="tf-turn", type="container", schedulingPriority=1, containerProperties=everything
    )
    ids = {
        batch.submit_job(jobName="turn", jobQueue=name, jobDefinition="tf-turn", shareIdentifier=share)["jobId"]: share
        for share in ["first"] * 5 + ["second"] * 5
    }
    ended = [clients.ended(job_id) for job_id in ids]
    assert {job["status"] for job in ended} == {"SUCCEEDED"}
    shares = [ids[job["jobId"]] for job in sorted(ended, key=lambda job: int(job["startedAt"]))]
    assert shares[0] == "first"
    assert shares[:6].count("second") >= 2, shares
    for share in ("first", "second"):
        own = [job for job in ended if ids[job["jobId"]] == share]
        assert own == sorted(own, key=lambda job: int(job["startedAt"])), "inside a share the oldest goes first"


def destroy(clients: Clients, arn: str, queue_arn: str) -> None:
    """Environments are refused their end as long as a queue has them, with the text that is matched."""
    batch = clients.batch
    batch.update_compute_environment(computeEnvironment=arn, state="DISABLED")
    disabled = environment(clients, arn)
    assert disabled is not None
    assert (disabled["state"], disabled["status"]) == ("DISABLED", "VALID")
    with pytest.raises(ClientError) as error:
        batch.delete_compute_environment(computeEnvironment=arn)
    assert "found existing JobQueue relationship" in refusal(error)
    batch.update_job_queue(jobQueue=queue_arn, state="DISABLED")
    batch.delete_job_queue(jobQueue=queue_arn)
    assert queue(clients, queue_arn) is None
    batch.delete_compute_environment(computeEnvironment=arn)
    assert environment(clients, arn) is None


def test_a_managed_environment_comes_back_as_planned(clients: Clients) -> None:
    resources = managed("EC2", "BEST_FIT_PROGRESSIVE", "c4.large", max_vcpus=16) | {"tags": {"a": "b"}}
    clients.batch.create_compute_environment(
        computeEnvironmentName="tf-managed", type="MANAGED", serviceRole=ROLE, computeResources=resources
    )
    found = environment(clients, "tf-managed")
    assert found is not None
    assert found["status"] == "VALID"
    assert {name: found["computeResources"][name] for name in resources} == resources
    changed = {"maxvCpus": 32}
    clients.batch.update_compute_environment(computeEnvironment="tf-managed", computeResources=changed)
    found = environment(clients, "tf-managed")
    assert found is not None
    assert {name: found["computeResources"][name] for name in resources} == resources | changed
    clients.batch.update_compute_environment(computeEnvironment="tf-managed", state="DISABLED")
    clients.batch.delete_compute_environment(computeEnvironment="tf-managed")
    assert environment(clients, "tf-managed") is None


def test_definitions_are_read_by_arn_and_deregistered(clients: Clients) -> None:
    batch = clients.batch
    container = {"image": "busybox", "command": ["ls", "-la"], "resourceRequirements": needs(1, 1024)}
    strategy = {"attempts": 10, "evaluateOnExit": [{"action": "RETRY", "onStatusReason": "Host EC2*"}]}
    registered = batch.register_job_definition(
        jobDefinitionName="tf-definition",
        type="container",
        containerProperties=container,
        retryStrategy=strategy,
        timeout={"attemptDurationSeconds": 60},
        platformCapabilities=["EC2"],
        propagateTags=False,
        tags={"Name": "tf"},
    )
    arn = registered["jobDefinitionArn"]
    assert arn.endswith(":job-definition/tf-definition:1")
    (found,) = batch.describe_job_definitions(jobDefinitions=[arn])["jobDefinitions"]
    assert found["status"] == "ACTIVE"
    assert {name: found["containerProperties"][name] for name in container} == container
    # The provider keeps actions in lower case, and would plan a change at each run if they came back otherwise.
    assert found["retryStrategy"]["evaluateOnExit"] == [{"action": "retry", "onStatusReason": "Host EC2*"}]
    assert (found["timeout"], found["propagateTags"], found["tags"]) == (
        {"attemptDurationSeconds": 60},
        False,
        {"Name": "tf"},
    )
    batch.deregister_job_definition(jobDefinition=arn)
    listed = batch.describe_job_definitions(jobDefinitionName="tf-definition", status="ACTIVE")["jobDefinitions"]
    assert listed == []


def test_what_is_gone_says_that_it_does_not_exist(clients: Clients) -> None:
    with pytest.raises(ClientError) as error:
        clients.batch.update_job_queue(jobQueue="tf-nothing", state="DISABLED")
    assert "does not exist" in refusal(error)
    with pytest.raises(ClientError) as error:
        clients.batch.update_compute_environment(computeEnvironment="tf-nothing", state="DISABLED")
    assert "does not exist" in refusal(error)


def test_the_provider_learns_its_account(clients: Clients) -> None:
    """Before its first plan: the account id of ARNs, and the partition that it takes from the caller's ARN."""
    found = clients.sts.get_caller_identity()
    assert found["Account"] == "123456789012"
    assert found["Arn"].split(":")[:2] == ["arn", "aws"]
    assert found["Arn"].split(":")[4] == found["Account"]
    assert found["UserId"]
