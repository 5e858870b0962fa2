"""Overrides are held to the rules of registration: what nobody can register on a platform, nobody can submit there
either, and in the same words (AWS Batch behaviour 6.5, 7.2)."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.api.service import Service, container, refusal_of

Document = dict[str, Any]

ROLE = "arn:aws:iam::123456789012:role/execution"
NETWORK = {"maxvCpus": 64, "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}
PROVIDER = {
    "infrastructureRoleArn": ROLE,
    "instanceLaunchTemplate": {
        "ec2InstanceProfileArn": ROLE,
        "networkConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]},
    },
}
WINDOWS = {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}
VALUES = {
    "VCPU": ("0", "0.25", "1", "1.5", "2", "-1", "many", "1e3"),
    "MEMORY": ("0", "3", "512", "512.5", "2048", "lots"),
    "GPU": ("0", "1", "0.5", "none"),
}
OLD = ("vcpus", "memory")


def requirements(**values: str) -> list[Document]:
    return [{"type": kind, "value": value} for kind, value in values.items()]


SMALL = requirements(VCPU="1", MEMORY="2048")
# By platform: the definition's members around one container, and that container, whose resources overrides change.
PLAIN: dict[str, tuple[Document, Document]] = {
    "EC2": ({}, container(resourceRequirements=SMALL)),
    "FARGATE": ({"platformCapabilities": ["FARGATE"]}, container(executionRoleArn=ROLE, resourceRequirements=SMALL)),
    "FARGATE on Windows": (
        {"platformCapabilities": ["FARGATE"]},
        container(executionRoleArn=ROLE, resourceRequirements=SMALL, runtimePlatform=WINDOWS),
    ),
}
TASKS: dict[str, tuple[Document, Document]] = {
    "EC2": ({}, {}),
    "FARGATE": ({"platformCapabilities": ["FARGATE"]}, {"executionRoleArn": ROLE}),
    "FARGATE on Windows": (
        {"platformCapabilities": ["FARGATE"]},
        {"executionRoleArn": ROLE, "runtimePlatform": WINDOWS},
    ),
    "MANAGED_INSTANCES": ({"platformCapabilities": ["MANAGED_INSTANCES"]}, {}),
}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With a queue for each platform, of its name."""
    made = Service(Path(tmp_path_factory.mktemp("yard")))
    made.make_queue("EC2", "local")
    for name, more in (
        ("FARGATE", {"type": "FARGATE"}),
        ("MANAGED_INSTANCES", {"type": "ECS_MANAGED_INSTANCES", "managedInstancesProvider": PROVIDER}),
    ):
        resources = (NETWORK if name == "FARGATE" else {"maxvCpus": 64}) | more
        request = {"computeEnvironmentName": name, "type": "MANAGED", "computeResources": resources}
        made.call("CreateComputeEnvironment", request)
        order = [{"order": 1, "computeEnvironment": name}]
        made.call("CreateJobQueue", {"jobQueueName": name, "priority": 1, "computeEnvironmentOrder": order})
    yield made
    made.close()


def overrides() -> Iterator[list[Document]]:
    """Every type alone with every value, every pair of vCPUs and memory, and a type twice."""
    for kind, values in VALUES.items():
        yield from (requirements(**{kind: value}) for value in values)
    yield from (requirements(VCPU=v, MEMORY=m) for v, m in product(VALUES["VCPU"], VALUES["MEMORY"]))
    yield requirements(VCPU="1") * 2


def merged(base: list[Document], change: list[Document]) -> list[Document]:
    """As SubmitJob merges: by type. What the override has twice stays twice, for registration to see."""
    named = {entry["type"] for entry in change}
    return [entry for entry in base if entry["type"] not in named] + change


def refusal_or_none(service: Service, operation: str, request: Document) -> str:
    """The text; empty when it was accepted."""
    try:
        return refusal_of(lambda: service.call(operation, request))
    except AssertionError:
        return ""


def held(service: Service, platform: str, whole: Document, base: Document, override: Document) -> str:
    """Asserts that `base` with `override` is refused exactly as `whole`, which says the same at once."""
    registered = refusal_or_none(service, "RegisterJobDefinition", {"jobDefinitionName": "whole"} | whole)
    service.call("RegisterJobDefinition", {"jobDefinitionName": "base"} | base)
    request = {"jobName": "j", "jobQueue": platform.partition(" ")[0], "jobDefinition": "base"} | override
    submitted = refusal_or_none(service, "SubmitJob", request)
    assert submitted == registered, override
    return submitted


@pytest.mark.parametrize("platform", PLAIN)
def test_container_overrides_are_held_to_the_rules_of_their_platform(platform: str, yard: Service) -> None:
    around, body = PLAIN[platform]
    refusals = set()
    for change in overrides():
        properties = body | {"resourceRequirements": merged(SMALL, change)}
        refusals.add(
            held(
                yard,
                platform,
                {"type": "container", "containerProperties": properties} | around,
                {"type": "container", "containerProperties": body} | around,
                {"containerOverrides": {"resourceRequirements": change}},
            )
        )
    assert len(refusals) > 5, "so few rules are broken that they are not tried"
    assert "" in refusals, "nothing is accepted"


@pytest.mark.parametrize("platform", TASKS)
def test_overrides_of_a_task_are_held_to_the_rules_of_their_platform(platform: str, yard: Service) -> None:
    """ecsPropertiesOverride, on one container and on two."""
    around, task = TASKS[platform]
    refusals = set()
    for change, several in product(overrides(), (False, True)):
        first = {"name": "a", "image": "i", "command": ["true"], "resourceRequirements": SMALL}
        others = [first | {"name": "b"}] if several else []
        if several and platform == "EC2":
            continue  # the process engine of these tests runs one container
        changed = first | {"resourceRequirements": merged(SMALL, change)}
        bodies = [
            {"type": "container", "ecsProperties": {"taskProperties": [task | {"containers": [each, *others]}]}}
            | around
            for each in (changed, first)
        ]
        entry = {"name": "a", "resourceRequirements": change}
        override = {"ecsPropertiesOverride": {"taskProperties": [{"containers": [entry]}]}}
        if several:  # refused for its number of containers where nothing else is wrong
            registered = refusal_or_none(yard, "RegisterJobDefinition", {"jobDefinitionName": "whole"} | bodies[0])
            if not registered:
                continue
        refusals.add(held(yard, platform, *bodies, override))
    assert len(refusals) > 5, "so few rules are broken that they are not tried"


@pytest.mark.parametrize("member", OLD)
def test_the_old_members_are_refused_on_fargate_in_overrides_too(member: str, yard: Service) -> None:
    around, body = PLAIN["FARGATE"]
    yard.register("f", containerProperties=body, **around)
    request = {"jobName": "j", "jobQueue": "FARGATE", "jobDefinition": "f", "containerOverrides": {member: 2048}}
    assert refusal_of(lambda: yard.call("SubmitJob", request)) == (
        "vcpus and memory are not applicable for Fargate. Use resourceRequirements instead."
    )


def test_other_overrides_of_a_fargate_job(yard: Service) -> None:
    around, body = PLAIN["FARGATE"]
    yard.register("f", containerProperties=body, **around)
    request = {"jobName": "j", "jobQueue": "FARGATE", "jobDefinition": "f"}
    typed = request | {"containerOverrides": {"instanceType": "c5.large"}}
    assert refusal_of(lambda: yard.call("SubmitJob", typed)) == "instanceType is not applicable for Fargate."
    yard.call("SubmitJob", request | {"containerOverrides": {"command": ["a"], "environment": [{"name": "A"}]}})


def test_old_and_new_members_in_one_override(yard: Service) -> None:
    yard.call(
        "RegisterJobDefinition", {"jobDefinitionName": "e", "type": "container", "containerProperties": PLAIN["EC2"][1]}
    )
    request = {"jobName": "j", "jobQueue": "EC2", "jobDefinition": "e"}
    both = {"vcpus": 2, "resourceRequirements": requirements(MEMORY="64")}
    assert refusal_of(lambda: yard.call("SubmitJob", request | {"containerOverrides": both})) == (
        "Cannot use both ECS containerProperties vcpus/memory and resourceRequirement VCPU/MEMORY."
    )
    yard.call(
        "SubmitJob", request | {"containerOverrides": {"vcpus": 2}}
    )  # ignored beside resourceRequirements, as on AWS


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"resources": {"limits": {"cpu": "0.3"}}},
         "Value 0.3 for type cpu in resources is not valid. Provide a valid number and unit."),
        ({"resources": {"requests": {"cpu": "2"}}}, "cpu request must be <= to cpu limit if both are provided."),
        ({"resources": {"limits": {"tpu": "1"}}}, "tpu is not a supported type for resources."),
        ({"name": "b"}, ("eksPropertiesOverride.podProperties.containers is for the container b, and the job "
                         "definition has a there.")),
        ({"image": ""}, "EKS container image must be provided."),
        ({"env": [{"name": "AWS_BATCH_X", "value": "1"}]},
         ("Environment variable name AWS_BATCH_X must not start with AWS_BATCH: this prefix is reserved for the "
          "variables that the service sets.")),
        ({"resources": {"limits": {"cpu": "4"}}},
         ("No compute environment of job queue EC2 can run this job: the process engine needs a command, and neither "
          "the job definition nor containerOverrides gives one (the image is recorded there, not used).")),
    ],
)  # fmt: skip
def test_overrides_of_a_pod_are_held_to_its_rules(override: Document, message: str, yard: Service) -> None:
    pod = {"containers": [{"name": "a", "image": "i", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}}]}
    definition = {"jobDefinitionName": "pod", "type": "container", "eksProperties": {"podProperties": pod}}
    yard.call("RegisterJobDefinition", definition)
    request = {"jobName": "j", "jobQueue": "EC2", "jobDefinition": "pod"}
    change = {"eksPropertiesOverride": {"podProperties": {"containers": [override]}}}
    assert refusal_of(lambda: yard.call("SubmitJob", request | change)) == message


def test_a_fargate_queue_takes_no_pods(yard: Service) -> None:
    pod = {"containers": [{"image": "i", "command": ["true"]}]}
    definition = {"jobDefinitionName": "nowhere", "type": "container", "eksProperties": {"podProperties": pod}}
    yard.call("RegisterJobDefinition", definition)
    request = {"jobName": "j", "jobQueue": "FARGATE", "jobDefinition": "nowhere"}
    assert refusal_of(lambda: yard.call("SubmitJob", request)) == (
        "Job Queue is attached to Compute Environment that can not run Jobs with capability EC2"
    )


@pytest.mark.parametrize("change", list(overrides()), ids=str)
def test_overrides_of_nodes_are_held_to_the_rules_of_registration(change: list[Document], yard: Service) -> None:
    def nodes(body: Document) -> Document:
        ranges = [{"targetNodes": "0:", "container": body}]
        properties = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": ranges}
        return {"type": "multinode", "nodeProperties": properties}

    body = PLAIN["EC2"][1]
    whole = nodes(body | {"resourceRequirements": merged(SMALL, change)})
    registered = refusal_or_none(yard, "RegisterJobDefinition", {"jobDefinitionName": "whole"} | whole)
    yard.call("RegisterJobDefinition", {"jobDefinitionName": "nodes"} | nodes(body))
    entry = {"targetNodes": "0:", "containerOverrides": {"resourceRequirements": change}}
    request = {"jobName": "j", "jobQueue": "EC2", "jobDefinition": "nodes"}
    overridden = request | {"nodeOverrides": {"nodePropertyOverrides": [entry]}}
    assert refusal_or_none(yard, "SubmitJob", overridden) == registered
