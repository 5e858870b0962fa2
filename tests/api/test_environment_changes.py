"""UpdateComputeEnvironment against what the environment is, instance types against the catalogue, and which
environments can share a queue. The refusals are those of AWS where its texts are known."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.capacity.environment_rules import INFRASTRUCTURE
from tests.api.service import ROLE, Service, refusal_of

EXAMPLES = Path(__file__).parents[1] / "examples"
EC2 = {
    "type": "EC2",
    "allocationStrategy": "BEST_FIT_PROGRESSIVE",
    "minvCpus": 0,
    "maxvCpus": 16,
    "instanceTypes": ["optimal"],
    "instanceRole": "ecsInstanceRole",
    "subnets": ["subnet-1"],
    "securityGroupIds": ["sg-1"],
}
SPOT = EC2 | {"type": "SPOT", "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED", "bidPercentage": 60}
FARGATE = {"type": "FARGATE", "maxvCpus": 16, "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}
# AWS's sentence, to the letter (observed: aws/aws-cdk#27054).
NOT_ON_FARGATE = (
    "The following parameters can't be updated for Fargate compute environment: allocationStrategy, bidPercentage, "
    "ec2Configuration, ec2KeyPair, imageId, instanceRole, instanceTypes, launchTemplate, placementGroup, tags, type, "
    "updatePolicy, updateToLatestImageVersion."
)
OVERRIDE = {"launchTemplateId": "lt-2", "targetInstanceTypes": ["c5.large"]}


def make(service: Service, resources: dict[str, Any], name: str = "e", **members: Any) -> None:
    request = {"computeEnvironmentName": name, "type": "MANAGED", "computeResources": resources} | members
    service.call("CreateComputeEnvironment", request)  # as sent: boto3 refuses empty texts


def resources_now(service: Service, name: str = "e") -> dict[str, Any]:
    (found,) = service.batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"]
    resources: dict[str, Any] = found["computeResources"]
    return resources


def change(service: Service, **members: Any) -> None:
    service.call("UpdateComputeEnvironment", {"computeEnvironment": "e", **members})


NO_MANUAL_SCALE_DOWN = (
    "Manually scaling down compute environment is not supported. Disconnecting job queues from compute environment "
    "will cause it to scale-down to minvCpus."
)
BEST_FIT_STAYS = "Compute environments with the allocation strategy BEST_FIT take no infrastructure updates"
ELSEWHERE = "create a new compute environment instead."

# fmt: off
REFUSALS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    # scaling: against the merged amounts
    (EC2, {"minvCpus": 17}, "maxvCpus should be greater than or equal to minvCpus."),
    (EC2 | {"minvCpus": 4}, {"maxvCpus": 3}, "maxvCpus should be greater than or equal to minvCpus."),
    (EC2, {"desiredvCpus": 17}, "desiredvCpus should be between minvCpus and maxvCpus."),
    (EC2 | {"minvCpus": 2}, {"desiredvCpus": 1}, "desiredvCpus should be between minvCpus and maxvCpus."),
    (EC2 | {"desiredvCpus": 2}, {"desiredvCpus": 1}, NO_MANUAL_SCALE_DOWN),
    # strategies
    (EC2, {"allocationStrategy": "BEST_FIT"},
     ("computeResources.allocationStrategy must be one of [BEST_FIT_PROGRESSIVE, BEST_FIT_PROGRESSIVE_ORDERED, "
      "SPOT_CAPACITY_OPTIMIZED, SPOT_PRICE_CAPACITY_OPTIMIZED, SPOT_CAPACITY_OPTIMIZED_PRIORITIZED], got BEST_FIT.")),
    (EC2, {"allocationStrategy": "SPOT_CAPACITY_OPTIMIZED"},
     "SPOT_CAPACITY_OPTIMIZED can only be used with compute resources of type SPOT."),
    (SPOT, {"type": "EC2"}, "SPOT_CAPACITY_OPTIMIZED can only be used with compute resources of type SPOT."),
    (SPOT, {"allocationStrategy": "BEST_FIT_PROGRESSIVE_ORDERED", "instanceTypes": ["c5"]},
     "BEST_FIT_PROGRESSIVE_ORDERED can only be used with compute resources of type EC2."),
    (EC2, {"allocationStrategy": "BEST_FIT_PROGRESSIVE_ORDERED"},
     ("Instance type bundles (e.g. optimal, default_x86_64) are not allowed for BEST_FIT_PROGRESSIVE_ORDERED "
      "allocation strategy. Specify instance families or types directly.")),
    (EC2 | {"allocationStrategy": "BEST_FIT"}, {"instanceTypes": ["c5"]},
     f"{BEST_FIT_STAYS} (instanceTypes): {ELSEWHERE}"),
    ({name: value for name, value in EC2.items() if name != "allocationStrategy"},
     {"allocationStrategy": "BEST_FIT_PROGRESSIVE"},
     f"{BEST_FIT_STAYS} (allocationStrategy): {ELSEWHERE}"),
    # instance types
    (EC2, {"instanceTypes": ["c5.huge"]},
     ("The instance type [c5.huge] does not exist. The family c5 has c5.large, c5.xlarge, c5.2xlarge, c5.4xlarge, "
      "c5.9xlarge and more.")),
    (EC2, {"instanceTypes": ["m5", "m6g"]}, "arm-based instance type cannot be used with other instance types"),
    (EC2, {"launchTemplate": {"launchTemplateId": "lt-1", "overrides": [OVERRIDE]}},
     "LaunchTemplate.overrides.targetInstanceTypes[]: [c5.large] is not among the instanceTypes."),
    (EC2 | {"instanceTypes": ["c5"]},
     {"launchTemplate": {"launchTemplateId": "lt-1", "overrides": [OVERRIDE, {**OVERRIDE,
                                                                              "targetInstanceTypes": ["c5"]}]}},
     "LaunchTemplate.overrides.targetInstanceTypes[] must not overlap, as [c5] does."),
    # kinds
    (EC2, {"type": "FARGATE"}, f"The type cannot change from EC2 to FARGATE: {ELSEWHERE}"),
    *((FARGATE, {"maxvCpus": 32, member: value}, NOT_ON_FARGATE) for member, value in {
        "allocationStrategy": "BEST_FIT_PROGRESSIVE", "bidPercentage": 0,
        "ec2Configuration": [{"imageType": "ECS_AL2"}],
        "ec2KeyPair": "k", "imageId": "ami-1", "instanceRole": "r", "instanceTypes": ["c5"],
        "launchTemplate": {"launchTemplateName": "t"}, "placementGroup": "g", "tags": {"a": "b"}, "type": "FARGATE",
        "updateToLatestImageVersion": False}.items()),
    (FARGATE, {"type": "FARGATE_SPOT"}, NOT_ON_FARGATE),
    (FARGATE, {"type": "SPOT"}, NOT_ON_FARGATE),
    (FARGATE, {"desiredvCpus": 1}, "desiredvCpus is not applicable for Fargate."),
    (FARGATE, {"minvCpus": 1}, "minvCpus is not applicable for Fargate."),
    (FARGATE, {"subnets": ["s"] * 17}, "Fargate supports a maximum of 16 subnets."),
    (FARGATE, {"securityGroupIds": ["s"] * 6}, "Fargate supports a maximum of 5 security groups."),
]
# fmt: on


@pytest.mark.parametrize(
    ("before", "changes", "message"), REFUSALS, ids=[f"{n}-{text[:40]}" for n, (_, _, text) in enumerate(REFUSALS)]
)
def test_a_change_of_computeresources_is_refused_and_leaves_nothing(
    before: dict[str, Any], changes: dict[str, Any], message: str, service: Service
) -> None:
    make(service, before)
    was = resources_now(service)
    assert refusal_of(lambda: change(service, computeResources=changes)) == message
    assert resources_now(service) == was


def test_what_a_kind_of_environment_has_no_use_for_is_refused(service: Service) -> None:
    make(service, EC2)
    assert refusal_of(lambda: change(service, unmanagedvCpus=4)) == (
        "unmanagedvCpus is not applicable for managed Compute Environments"
    )
    local = {"computeEnvironment": "local", "computeResources": {"maxvCpus": 4}}
    assert refusal_of(lambda: service.call("UpdateComputeEnvironment", local)) == (
        "computeResources is not applicable for UNMANAGED Compute Environments."
    )


def test_an_infrastructure_update_needs_the_service_linked_role(service: Service) -> None:
    make(service, EC2, serviceRole=ROLE)
    assert refusal_of(lambda: change(service, computeResources={"instanceTypes": ["c5"], "bidPercentage": 50})) == (
        "Only compute environments with the service-linked role AWSServiceRoleForBatch take infrastructure updates "
        "(bidPercentage, instanceTypes): create a new compute environment instead."
    )
    change(
        service, computeResources={"maxvCpus": 32, "instanceTypes": ["optimal"], "imageId": ""}
    )  # nothing but a size
    assert resources_now(service)["maxvCpus"] == 32
    linked = "arn:aws:iam::1:role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch"
    assert "from an ordinary role to the service-linked role" in refusal_of(lambda: change(service, serviceRole=linked))
    change(service, serviceRole=ROLE + "2")


def test_an_infrastructure_update_of_a_linked_environment_is_made(service: Service) -> None:
    make(service, EC2)
    change(
        service,
        computeResources={
            "type": "SPOT",
            "allocationStrategy": "SPOT_PRICE_CAPACITY_OPTIMIZED",
            "instanceTypes": ["c5", "m5.large"],
            "bidPercentage": 80,
            "updateToLatestImageVersion": True,
        },
    )
    now = resources_now(service)
    assert (now["type"], now["instanceTypes"], now["bidPercentage"]) == ("SPOT", ["c5", "m5.large"], 80)
    assert "updateToLatestImageVersion" not in now
    assert now["maxvCpus"] == 16
    assert "from the service-linked role to an ordinary role" in refusal_of(lambda: change(service, serviceRole=ROLE))


def test_desired_vcpus_can_be_raised_and_are_given_as_far_as_this_host_goes(service: Service) -> None:
    make(service, EC2)
    change(service, computeResources={"desiredvCpus": 1})
    assert resources_now(service)["desiredvCpus"] == 2  # one c6i.large
    change(service, computeResources={"desiredvCpus": 6})
    assert resources_now(service)["desiredvCpus"] == 2  # there is no memory here for another one


def test_empty_members_remove_and_change_nothing_on_fargate(service: Service) -> None:
    extras = {
        "imageId": "ami-1",
        "ec2KeyPair": "k",
        "placementGroup": "p",
        "launchTemplate": {"launchTemplateId": "lt-1"},
        "scalingPolicy": {"minScaleDownDelayMinutes": 20},
    }
    make(service, EC2 | extras)
    empty = {"imageId": "", "ec2KeyPair": "", "placementGroup": "", "securityGroupIds": []}
    template = {"launchTemplateId": "", "launchTemplateName": "", "version": ""}
    change(
        service,
        computeResources=empty | {"launchTemplate": template, "scalingPolicy": {"minScaleDownDelayMinutes": 0}},
    )
    assert resources_now(service) == {k: v for k, v in EC2.items() if k != "securityGroupIds"} | {"desiredvCpus": 0}
    make(service, FARGATE, name="f")
    request = {"computeEnvironment": "f", "computeResources": {"subnets": [], "securityGroupIds": ["sg-9"]}}
    service.call("UpdateComputeEnvironment", request)
    assert resources_now(service, "f") == FARGATE | {"securityGroupIds": ["sg-9"]}


def test_a_fargate_environment_takes_no_update_policy(service: Service) -> None:
    make(service, FARGATE)
    request = {"computeEnvironment": "e", "computeResources": {"maxvCpus": 8}}
    for policy in ({"terminateJobsOnUpdate": False}, {"jobExecutionTimeoutMinutes": 30}):
        assert refusal_of(lambda p=policy: service.call("UpdateComputeEnvironment", request | {"updatePolicy": p})) == (
            NOT_ON_FARGATE
        )
    assert resources_now(service)["maxvCpus"] == 16, "a refused update changed something"
    service.call("UpdateComputeEnvironment", request | {"updatePolicy": {}})
    assert resources_now(service)["maxvCpus"] == 8


def test_the_list_of_what_fargate_cannot_update_is_the_infrastructure_without_its_network() -> None:
    named = NOT_ON_FARGATE.partition(": ")[2].removesuffix(".").split(", ")
    assert set(named) == {*INFRASTRUCTURE, "updatePolicy"} - {"subnets", "securityGroupIds"}


@pytest.mark.parametrize("name", ["gpu-spot-env", "spot-ml-env"])
def test_published_examples_are_accepted(name: str, service: Service) -> None:
    sent = json.loads((EXAMPLES / f"compute-environment-{name}.resources.json").read_text())
    make(service, sent)
    assert resources_now(service) == sent | {"desiredvCpus": 0}


@pytest.mark.parametrize("types", [["c5.huge"], ["c5.large", "c77"], ["nothing"]])
def test_an_environment_of_unknown_types_is_not_made(types: list[str], service: Service) -> None:
    request = {"computeEnvironmentName": "e", "type": "MANAGED", "computeResources": EC2 | {"instanceTypes": types}}
    message = refusal_of(lambda: service.call("CreateComputeEnvironment", request))
    assert message.startswith(f"The instance type [{types[-1]}] does not exist.")
    found = service.batch.describe_compute_environments()["computeEnvironments"]
    assert [each["computeEnvironmentName"] for each in found] == ["local"]


EKS = {"eksClusterArn": "arn:aws:eks:us-east-1:123456789012:cluster/c", "kubernetesNamespace": "n"}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"computeResources": EC2}, {"computeResources": FARGATE},
         "Fargate and EC2 compute environments can not be mixed."),
        ({"computeResources": EC2}, {"computeResources": EC2, "eksConfiguration": EKS},
         "Compute environments of EC2 and EKS can not be mixed in one job queue."),
        ({"computeResources": EC2}, {"computeResources": SPOT | {"instanceTypes": ["m6g.large"]}},
         ("All compute environments of a job queue must have one CPU architecture: second has arm64 and first has "
          "x86_64.")),
        ({"computeResources": EC2}, {"computeResources": SPOT | {"instanceTypes": ["m6i.large"]}}, ""),
        ({"computeResources": FARGATE}, {"computeResources": FARGATE | {"type": "FARGATE_SPOT"}}, ""),
    ],
)  # fmt: skip
def test_which_environments_can_share_a_queue(
    first: dict[str, Any], second: dict[str, Any], message: str, service: Service
) -> None:
    for name, members in (("first", first), ("second", second)):
        service.batch.create_compute_environment(computeEnvironmentName=name, type="MANAGED", **members)
    order = [{"order": n, "computeEnvironment": name} for n, name in enumerate(("first", "second"))]
    request = {"jobQueueName": "q", "priority": 1, "computeEnvironmentOrder": order}
    if message:
        assert refusal_of(lambda: service.call("CreateJobQueue", request)) == message
    else:
        service.call("CreateJobQueue", request)
        assert len(service.batch.describe_job_queues(jobQueues=["q"])["jobQueues"]) == 1
