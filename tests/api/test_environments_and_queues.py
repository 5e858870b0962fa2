"""Compute environments and job queues: shapes, refusals with their texts, changes, pages."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.api.context import Settings
from batchyard.core.model import commands
from tests.api.service import ROLE, Service, refusal_of

EC2 = {
    "type": "EC2",
    "minvCpus": 0,
    "maxvCpus": 16,
    "instanceTypes": ["optimal"],
    "instanceRole": "ecsInstanceRole",
    "subnets": ["subnet-1"],
    "securityGroupIds": ["sg-1"],
}
FARGATE = {"type": "FARGATE", "maxvCpus": 16, "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}
CLUSTER = "arn:aws:eks:us-east-1:123456789012:cluster/c"


def managed(resources: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    return {"type": "MANAGED", "computeResources": EC2 | (resources or {})} | members


def without(member: str, base: dict[str, Any] = EC2) -> dict[str, Any]:
    return {"type": "MANAGED", "computeResources": {name: value for name, value in base.items() if name != member}}


def fargate(**resources: Any) -> dict[str, Any]:
    return {"type": "MANAGED", "computeResources": FARGATE | resources}


def unmanaged(**members: Any) -> dict[str, Any]:
    return {"type": "UNMANAGED", "serviceRole": ROLE} | members


def spot(**resources: Any) -> dict[str, Any]:
    return managed({"type": "SPOT"} | resources)


def eks(namespace: str = "batch", cluster: str = CLUSTER, **resources: Any) -> dict[str, Any]:
    strategy = {"allocationStrategy": "BEST_FIT_PROGRESSIVE"} | resources
    return managed(strategy, eksConfiguration={"eksClusterArn": cluster, "kubernetesNamespace": namespace})


def template(**members: Any) -> dict[str, Any]:
    return managed({"launchTemplate": members})


TYPES = {"targetInstanceTypes": ["c5.large"]}

# fmt: off
ENVIRONMENT_REFUSALS: list[tuple[dict[str, Any], str]] = [
    (unmanaged(computeEnvironmentName="a b"), "Compute Environment name should match a valid pattern."),
    (unmanaged(computeEnvironmentName=""), "Compute Environment name should match a valid pattern."),
    (unmanaged(type="CLOUD"), "type must be one of [MANAGED, UNMANAGED], got CLOUD."),
    (unmanaged(state="DISABLED"), "Compute Environment must be created in ENABLED state."),
    ({"type": "UNMANAGED"}, "ServiceRole is required."),
    (unmanaged(serviceRole="arn:aws:iam::1:role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch"),
     "Service Linked Role cannot be used with UNMANAGED Compute Environment"),
    (unmanaged(computeResources=EC2), "computeResources is not applicable for UNMANAGED Compute Environments."),
    (managed(unmanagedvCpus=1), "unmanagedvCpus is not applicable for managed Compute Environments"),
    ({"type": "MANAGED"}, "computeResources is required for MANAGED Compute Environments."),
    (managed({"maxvCpus": 1, "minvCpus": 2}), "maxvCpus should be greater than or equal to minvCpus."),
    (without("minvCpus"), "Resource minvCpus is required."),
    (managed({"minvCpus": -1}), "minvCpus should be greater than or equal to 0."),
    (managed({"desiredvCpus": 17}), "desiredvCpus should be between minvCpus and maxvCpus."),
    (without("instanceTypes"), "Resource instanceTypes are required."),
    (managed({"instanceTypes": []}), "Resource instanceTypes are required."),
    (managed({"instanceTypes": ["m5.large", "m6g.large"]}),
     "arm-based instance type cannot be used with other instance types"),
    (managed({"instanceTypes": ["optimal", "default_arm64"]}),
     "arm-based instance type cannot be used with other instance types"),
    (without("instanceRole"), "Instance role is required."),
    (without("securityGroupIds"), "Security group ids are required."),
    (without("subnets"), "Resource subnets are required."),
    (managed({"type": "LOCAL"}),
     "computeResources.type must be one of [EC2, SPOT, FARGATE, FARGATE_SPOT, ECS_MANAGED_INSTANCES], got LOCAL."),
    (managed({"allocationStrategy": "SPOT_CAPACITY_OPTIMIZED"}),
     "SPOT_CAPACITY_OPTIMIZED can only be used with compute resources of type SPOT."),
    (managed({"allocationStrategy": "BEST_FIT_PROGRESSIVE_ORDERED"}),
     ("Instance type bundles (e.g. optimal, default_x86_64) are not allowed for BEST_FIT_PROGRESSIVE_ORDERED "
      "allocation strategy. Specify instance families or types directly.")),
    (spot(), "compute resource spotIamFleetRole is required."),
    (spot(allocationStrategy="BEST_FIT"), "compute resource spotIamFleetRole is required."),
    (spot(spotIamFleetRole="r", bidPercentage=101), "Bid percentage must be between 0 to 100."),
    (managed({"scalingPolicy": {"minScaleDownDelayMinutes": 19}}),
     "scalingPolicy.minScaleDownDelayMinutes must be between 20 and 10080, got 19."),
    (managed({"ec2Configuration": [{"imageType": "WINDOWS"}]}),
     "Invalid imageType in ComputeResources.ec2Configuration"),
    (template(), "One of LaunchTemplateId and LaunchTemplateName or LaunchTemplate.overrides should be provided"),
    (template(launchTemplateId="lt-1", launchTemplateName="n"),
     "LaunchTemplate should have either LaunchTemplateId or LaunchTemplateName"),
    (template(launchTemplateId="lt-1", version="newest"),
     "LaunchTemplateVersion must be either empty or a number or $Default or $Latest"),
    (template(overrides=[TYPES] * 11), "LaunchTemplate.overrides size cannot be greater than 10"),
    (template(overrides=[{}]), "LaunchTemplate.overrides.targetInstanceTypes[] is required"),
    (fargate(minvCpus=0), "minvCpus is not applicable for Fargate."),
    (fargate(allocationStrategy="BEST_FIT"), "allocationStrategy is not applicable for Fargate."),
    (fargate(subnets=["s"] * 17), "Fargate supports a maximum of 16 subnets."),
    (fargate(securityGroupIds=["s"] * 6), "Fargate supports a maximum of 5 security groups."),
    (fargate(type="ECS_MANAGED_INSTANCES"), "managedInstancesProvider is required for ECS_MANAGED_INSTANCES."),
    (eks(allocationStrategy=""), ("computeResources.allocationStrategy must be one of [BEST_FIT, "
     "BEST_FIT_PROGRESSIVE, BEST_FIT_PROGRESSIVE_ORDERED, SPOT_CAPACITY_OPTIMIZED, SPOT_PRICE_CAPACITY_OPTIMIZED, "
     "SPOT_CAPACITY_OPTIMIZED_PRIORITIZED], got .")),
    (managed(eksConfiguration={"eksClusterArn": CLUSTER, "kubernetesNamespace": "n"}),
     "allocationStrategy is required for EKS Compute Environments."),
    (eks(type="FARGATE"), "Supported compute types for EKS compute environments are [EC2, SPOT]"),
    (eks(cluster="c"), "eksClusterArn must be an EKS cluster ARN."),
    (eks(cluster=CLUSTER.replace("us-east-1", "eu-west-1")),
     "eksClusterArn must be in the same AWS region as the compute environment"),
    (eks("default"), "kubernetesNamespace cannot be the default Kubernetes namespace"),
    (eks("kube-system"), "kubernetesNamespace cannot be a reserved Kubernetes system namespace"),
    (eks("n" * 64), "kubernetesNamespace must less than or equal to 63 characters"),
    (eks("No"), "kubernetesNamespace must be a valid Kubernetes namespace."),
    (unmanaged(tags={"AWS:x": "1"}), "Tag key AWS:x must not start with aws:: this prefix is reserved."),
    (unmanaged(tags={str(number): "" for number in range(51)}),
     "tags: Member must have length less than or equal to 50, got 51."),
    (unmanaged(computeEnvironmentName="local"), "Object already exists"),
]


def order(*names: str) -> dict[str, Any]:
    return {"computeEnvironmentOrder": [{"order": i, "computeEnvironment": name} for i, name in enumerate(names)]}


def time_limit(**members: Any) -> dict[str, Any]:
    whole = {"reason": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", "state": "RUNNABLE", "maxTimeSeconds": 600}
    return order("local") | {"jobStateTimeLimitActions": [whole | {"action": "CANCEL"} | members]}


QUEUE_REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"jobQueueName": "a b"}, "Job Queue name should match a valid pattern."),
    ({"state": "ON"}, "state must be one of [ENABLED, DISABLED], got ON."),
    ({}, "At least 1 compute environment must be provided"),
    (order("a", "b", "c", "d"), "Only 3 environments are allowed in job queue request."),
    ({"computeEnvironmentOrder": [{"order": 1, "computeEnvironment": "a"}, {"order": 1, "computeEnvironment": "b"}]},
     "Duplicate ComputeEnvironment order values."),
    (order("local", "arn:aws:batch:us-east-1:123456789012:compute-environment/local"),
     "Duplicate ComputeEnvironments within order list."),
    (order("local") | {"schedulingPolicyArn": "fair"}, "Only scheduling policy Arn can be allowed."),
    (order("local") | {"schedulingPolicyArn": "arn:aws:batch:us-east-1:1:scheduling-policy/p"},
     "SchedulingPolicy arn:aws:batch:us-east-1:1:scheduling-policy/p not found."),
    ({"serviceEnvironmentOrder": [{"order": 1, "serviceEnvironment": "a"}] * 2},
     "Job queue can only have 1 service environment."),
    ({"serviceEnvironmentOrder": [{"order": 1, "serviceEnvironment": "a"}]},
     "Service environments must be created and valid before attaching them to a job queue."),
    ({"jobQueueType": "SAGEMAKER_TRAINING"},
     "Job queues of type SAGEMAKER_TRAINING must have serviceEnvironmentOrder."),
    (time_limit(action="TERMINATE"), "Invalid job action. Valid job actions: [CANCEL]"),
    (time_limit(reason="BORED"), "Invalid job reason"),
    (time_limit(maxTimeSeconds=599),
     "jobStateTimeLimitActions.maxTimeSeconds must be between 600 and 86400, got 599."),
    (order("local") | {"jobStateTimeLimitActions": time_limit()["jobStateTimeLimitActions"] * 2},
     "Duplicate job state limit actions are not allowed."),
    (order("local") | {"jobQueueName": "default"}, "Object already exists"),
]
# fmt: on


@pytest.mark.parametrize(
    ("members", "message"), ENVIRONMENT_REFUSALS, ids=[text[:60] for _, text in ENVIRONMENT_REFUSALS]
)
def test_an_environment_is_refused_with_its_text(members: dict[str, Any], message: str, shared: Service) -> None:
    request = {"computeEnvironmentName": "refused"} | members
    assert refusal_of(lambda: shared.call("CreateComputeEnvironment", request)) == message


@pytest.mark.parametrize(("members", "message"), QUEUE_REFUSALS, ids=[text[:60] for _, text in QUEUE_REFUSALS])
def test_a_queue_is_refused_with_its_text(members: dict[str, Any], message: str, shared: Service) -> None:
    request = {"jobQueueName": "refused", "priority": 1} | members
    assert refusal_of(lambda: shared.call("CreateJobQueue", request)) == message


ACCEPTED_ENVIRONMENTS: list[dict[str, Any]] = [
    managed(),
    managed(
        {"instanceTypes": ["m6g.large", "c7gd", "default_arm64"], "scalingPolicy": {"minScaleDownDelayMinutes": 0}}
    ),
    managed({"instanceTypes": ["g4dn.xlarge", "p4de.24xlarge"], "ec2Configuration": [{"imageType": "ECS_AL2_NVIDIA"}]}),
    without("securityGroupIds")
    | {
        "computeResources": {k: v for k, v in EC2.items() if k != "securityGroupIds"}
        | {"launchTemplate": {"launchTemplateId": "lt-1", "version": "$Latest"}}
    },
    spot(allocationStrategy="SPOT_CAPACITY_OPTIMIZED", bidPercentage=60),
    fargate(tags={}, instanceTypes=[]),
    eks(),
    unmanaged(unmanagedvCpus=8),
    managed({"bidPercentage": 60}),
]


@pytest.mark.parametrize("number", range(len(ACCEPTED_ENVIRONMENTS)))
def test_an_environment_is_accepted_and_all_of_it_comes_back(number: int, shared: Service) -> None:
    name = f"accepted-{number}"
    sent = ACCEPTED_ENVIRONMENTS[number]
    shared.batch.create_compute_environment(computeEnvironmentName=name, **sent)
    (found,) = shared.batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"]
    assert found["status"] == "VALID"
    for member, value in sent.items():
        assert found[member] == (found[member] | value if isinstance(value, dict) else value)


def test_only_the_environment_made_by_the_service_has_resources_without_being_managed(service: Service) -> None:
    service.do(commands.CreateComputeEnvironment("built-in", "u", "UNMANAGED", "ENABLED", "process", document={}))
    found = service.batch.describe_compute_environments()["computeEnvironments"]
    resources = {each["computeEnvironmentName"]: each.get("computeResources") for each in found}
    assert resources["local"] is None  # a caller's
    built_in = resources["built-in"]
    assert built_in["type"] == "EC2"
    assert built_in["minvCpus"] == built_in["maxvCpus"] == built_in["desiredvCpus"] == 4


def test_an_environment_is_changed_by_name_and_by_arn_and_deleted(service: Service) -> None:
    service.batch.create_compute_environment(computeEnvironmentName="e", **managed())
    arn = service.context.account.environment_arn("e")
    answer = service.batch.update_compute_environment(computeEnvironment=arn, computeResources={"maxvCpus": 99})
    assert (answer["computeEnvironmentName"], answer["computeEnvironmentArn"]) == ("e", arn)
    (found,) = service.batch.describe_compute_environments(computeEnvironments=[arn, "unknown"])["computeEnvironments"]
    assert found["computeResources"] == EC2 | {"maxvCpus": 99, "desiredvCpus": 0}
    service.batch.update_compute_environment(computeEnvironment="e", state="DISABLED")
    service.batch.delete_compute_environment(computeEnvironment=arn)
    assert service.batch.describe_compute_environments(computeEnvironments=["e"])["computeEnvironments"] == []


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"computeEnvironment": "nobody"}, "ComputeEnvironment nobody does not exist."),
        ({"computeResources": {"bidPercentage": -1}}, "Bid percentage must be between 0 to 100."),
        (
            {"updatePolicy": {"jobExecutionTimeoutMinutes": 0}},
            "updatePolicy.jobExecutionTimeoutMinutes must be between 1 and 7200, got 0.",
        ),
        (
            {"computeResources": {"minvCpus": 2, "maxvCpus": 1}},
            "maxvCpus should be greater than or equal to minvCpus.",
        ),
    ],
)
def test_a_change_of_an_environment_is_refused(members: dict[str, Any], message: str, shared: Service) -> None:
    request = {"computeEnvironment": "local"} | members
    assert refusal_of(lambda: shared.call("UpdateComputeEnvironment", request)) == message


def test_a_queue_is_changed_and_deleted(service: Service) -> None:
    service.batch.create_compute_environment(computeEnvironmentName="e", **managed())
    arn = service.context.account.queue_arn("default")
    service.batch.update_job_queue(jobQueue=arn, priority=9, **order("e", "local"))
    (found,) = service.batch.describe_job_queues(jobQueues=["default", "unknown"])["jobQueues"]
    assert found["priority"] == 9
    assert [entry["computeEnvironment"].split("/")[1] for entry in found["computeEnvironmentOrder"]] == ["e", "local"]
    service.batch.update_job_queue(jobQueue="default", state="DISABLED")
    (found,) = service.batch.describe_job_queues()["jobQueues"]
    assert (found["state"], found["priority"]) == ("DISABLED", 9)
    service.batch.delete_job_queue(jobQueue=arn)
    assert service.batch.describe_job_queues()["jobQueues"] == []


def test_errors_reach_the_client_as_client_exception(service: Service) -> None:
    service.batch.update_compute_environment(computeEnvironment="local", state="DISABLED")
    with pytest.raises(service.batch.exceptions.ClientException, match="found existing JobQueue relationship"):
        service.batch.delete_compute_environment(computeEnvironment="local")


def test_environments_and_queues_come_in_pages(service: Service) -> None:
    for number in range(4):
        service.make_queue(f"q{number}", f"e{number}")
    client = service.batch
    for operation, member, name in (
        ("describe_compute_environments", "computeEnvironments", "computeEnvironmentName"),
        ("describe_job_queues", "jobQueues", "jobQueueName"),
    ):
        pages = list(client.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}))
        assert [len(page[member]) for page in pages] == [2, 2, 1]
        assert len({one[name] for page in pages for one in page[member]}) == 5


@pytest.mark.parametrize(
    ("operation", "member"),
    [
        ("DescribeComputeEnvironments", "computeEnvironments"),
        ("DescribeJobQueues", "jobQueues"),
        ("DescribeJobDefinitions", "jobDefinitions"),
    ],
)
def test_more_than_a_hundred_names_are_refused(operation: str, member: str, shared: Service) -> None:
    message = refusal_of(lambda: shared.call(operation, {member: ["a"] * 101}))
    assert message == f"{member} must hold at most 100 entries, got 101."
    assert refusal_of(lambda: shared.call(operation, {"maxResults": 0})) == (
        "maxResults must be between 1 and 100, got 0."
    )


def test_a_tag_names_the_engine_of_a_new_environment(tmp_path: Path) -> None:
    service = Service(tmp_path, Settings(engine="docker", engines=("process", "docker")))
    for name, tags in (("a", {}), ("b", {"batchyard:engine": "process"})):
        service.batch.create_compute_environment(
            computeEnvironmentName=name, type="UNMANAGED", serviceRole=ROLE, tags=tags
        )
    assert [service.machine.world.environments[name].engine for name in "ab"] == ["docker", "process"]
    with pytest.raises(ClientError, match="batchyard:engine must be one of process, docker, got 'podman'"):
        service.batch.create_compute_environment(
            computeEnvironmentName="c", type="UNMANAGED", serviceRole=ROLE, tags={"batchyard:engine": "podman"}
        )
    service.close()
