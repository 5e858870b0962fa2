"""ecsProperties: what is refused, what is kept, and how it is described (AWS Batch behaviour 6.10)."""

from typing import Any

import pytest

from tests.api.service import Service, container, refusal_of

ROLE = "arn:aws:iam::123456789012:role/execution"


def one(name: str = "a", **members: Any) -> dict[str, Any]:
    return container(name=name, **members)


def task(*containers: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"ecsProperties": {"taskProperties": [{"containers": list(containers) or [one()], **members}]}}


def depends(target: str, condition: str) -> list[dict[str, str]]:
    return [{"containerName": target, "condition": condition}]


def sized(name: str, vcpus: str, memory: str, **members: Any) -> dict[str, Any]:
    sizes = [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}]
    return one(name, resourceRequirements=sizes, **members)


def fargate(*containers: dict[str, Any], **members: Any) -> dict[str, Any]:
    found = containers or (sized("a", "1", "2048"),)
    return {"platformCapabilities": ["FARGATE"]} | task(*found, **({"executionRoleArn": ROLE} | members))


def managed(*containers: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"platformCapabilities": ["MANAGED_INSTANCES"]} | task(*containers, **members)


GPU = {"type": "GPU", "value": "1"}

# fmt: off
REFUSALS: list[tuple[dict[str, Any], str]] = [
    # the task and its containers
    ({"ecsProperties": {"taskProperties": []}}, "ecsProperties.taskProperties must hold exactly 1 task, got 0."),
    ({"ecsProperties": {"taskProperties": [{"containers": [one()]}] * 2}},
     "ecsProperties.taskProperties must hold exactly 1 task, got 2."),
    ({"ecsProperties": {"taskProperties": [{"containers": []}]}}, "Number of containers must be between 1 and 10"),
    (task(*(one(f"c{number}") for number in range(11))), "Number of containers must be between 1 and 10"),
    (task(one("a"), one("a")), "Container names must be unique"),
    (task(container(), container()), "Container names must be unique"),
    (task(one("a"), one("../a")),
     "Container name '../a' must have 1 to 200 letters, digits, hyphens and underscores."),
    (task(one("a.b")), "Container name 'a.b' must have 1 to 200 letters, digits, hyphens and underscores."),
    (task(one("")), "Container name '' must have 1 to 200 letters, digits, hyphens and underscores."),
    (task(one("a" * 201)),
     f"Container name '{'a' * 128}...' must have 1 to 200 letters, digits, hyphens and underscores."),
    (task(one("a", essential=False), one("b", essential=False)),
     "At least one container must be set as essential"),
    # dependsOn
    (task(one("a", dependsOn=depends("a", "START"))),
     "Container dependency can not be used in a single-container job."),
    (task(one("a", dependsOn=depends("c", "START")), one("b")),
     "containerName c must reference a defined container."),
    (task(one("a", dependsOn=depends("b", "HEALTHY")), one("b")),
     "TaskContainer dependency HEALTHY is not valid. Valid values are: [START, COMPLETE, SUCCESS]"),
    *((task(one("a", dependsOn=depends("b", condition)), one("b")),
       f"The container target of a dependency can not have condition {condition} if the target is essential")
      for condition in ("COMPLETE", "SUCCESS")),
    (task(one("a", dependsOn=depends("b", "START")), one("b", dependsOn=depends("a", "START")), one("c")),
     "The container dependencies form a circle: none of a, b could ever start."),
    (task(one("a", dependsOn=depends("a", "START")), one("b")),
     "The container dependencies form a circle: none of a could ever start."),
    # what a container says, in the words of containerProperties
    (task(one(image="")), "ECS Container Image must be provided."),
    (task(one(resourceRequirements=[])), "vCPU is required."),
    (task(one(resourceRequirements=[{"type": "VCPU", "value": "1"}])), "Memory is required."),
    (task(sized("a", "0.5", "512")), "vCPU must be at least 1, got 0.5."),
    (task(sized("a", "1", "3")), "Memory must be at least 4 Mib, got 3 Mib."),
    (task(one(environment=[{"name": "AWS_BATCH_X", "value": "1"}])),
     ("Environment variable name AWS_BATCH_X must not start with AWS_BATCH: this prefix is reserved for the variables "
     "that the service sets.")),
    (task(one(user="Root!")), "User 'Root!' does not match regex"),
    (task(one(secrets=[{"name": "A", "valueFrom": "arn"}])),
     "executionRoleArn cannot be empty when using secrets or secretOptions"),
    (task(one(logConfiguration={"logDriver": "awslogs", "options": {"x": "y"}})),
     "Log driver awslogs disallows options: x"),
    (task(one(linuxParameters={"maxSwap": 1})),
     "When container specified swap memory, swappiness value is required."),
    *((task(one(**{member: 1})), f"{member} must be at least 2 seconds, got 1.")
      for member in ("startTimeout", "stopTimeout")),
    # what a task says
    (task(ipcMode="private"), "ipcMode private is not valid. Valid values are: [host, task, none]"),
    (task(pidMode="none"), "Capability none is not valid. Valid capabilities: [host, task]"),
    (task(volumes=[{"name": "v"}, {"name": "v"}]), "Volume name v is used twice."),
    (task(volumes=[{"name": "v", "s3filesVolumeConfiguration": {"fileSystemArn": "arn"}}]),
     "A jobRoleArn/taskRoleArn is required when using s3filesVolumeConfiguration."),
    *((task(**{member: value}), f"{member} {words} EC2.") for member, value, words in [
        ("networkConfiguration", {"assignPublicIp": "ENABLED"}, "not applicable for"),
        ("platformVersion", "LATEST", "not applicable for"),
        ("runtimePlatform", {}, "is not applicable for"),
        ("ephemeralStorage", {"sizeInGiB": 21}, "is not applicable for"),
        ("networkMode", "host", "is not applicable for"),
    ]),
    # Fargate
    (fargate(executionRoleArn=""), "executionRoleArn is required for Fargate jobs."),
    (fargate(sized("a", "2", "4096"), sized("b", "4", "8192")),
     "Fargate resource requirements (6.00 vCPU, 12288 MiB) not valid."),
    (fargate(one("a", resourceRequirements=[{"type": "VCPU", "value": "1"}])), "Memory is required."),
    (fargate(one(resourceRequirements=[*container()["resourceRequirements"], GPU])),
     "GPU is not applicable for Fargate."),
    (fargate(sized("a", "1", "2048", privileged=True)),
     "Fargate requires that the ‘privileged’ setting be ‘false’ at the container level."),  # noqa: RUF001
    (fargate(sized("a", "1", "2048", ulimits=[{"name": "nofile", "softLimit": 1, "hardLimit": 1}])),
     "ulimits is not applicable for Fargate."),
    (fargate(sized("a", "1", "2048", linuxParameters={"tmpfs": []})),
     "linuxParameter.tmpfs is not allowed for Fargate."),
    (fargate(sized("a", "1", "2048", logConfiguration={"logDriver": "syslog"})),
     "Log driver for Fargate is not valid: syslog"),
    (fargate(sized("a", "1", "2048", stopTimeout=121)),
     "stopTimeout must be at most 120 seconds for Fargate, got 121."),
    (fargate(volumes=[{"name": "v", "host": {"sourcePath": "/x"}}]),
     "host.sourcePath should not be set for volumes in Fargate."),
    (fargate(volumes=[{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}], platformVersion="1.3.0"),
     "EFS is supported for Fargate platform versions 1.4.0 or later, provided 1.3.0"),
    (fargate(ephemeralStorage={"sizeInGiB": 20}),
     "Ephemeral storage for Fargate tasks can be only between range 21 GiB to 200 GiB"),
    (fargate(ipcMode="task"), "ipcMode is not applicable for Fargate."),
    (fargate(networkMode="host"), "networkMode is not applicable for Fargate."),
    (fargate(sized("a", "0.25", "512"), sized("b", "0.25", "512"),
             runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_FULL"}),
     "vCPU must be at least 1 for Windows Job definition, got 0.50."),
    # managed instances
    (managed(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_FULL"}),
     "runtimePlatform for MANAGED_INSTANCES only supports LINUX operating system family."),
    (managed(networkMode="bridge"), "networkMode bridge is not valid. Valid values are: [host]"),
    (managed(ephemeralStorage={"sizeInGiB": 21}), "ephemeralStorage is not applicable for MANAGED_INSTANCES."),
    (managed(networkConfiguration={}), "networkConfiguration not applicable for MANAGED_INSTANCES."),
]
# fmt: on


@pytest.mark.parametrize(("members", "message"), REFUSALS, ids=[message[:60] for _, message in REFUSALS])
def test_a_task_is_refused_with_its_text(members: dict[str, Any], message: str, shared: Service) -> None:
    request = {"jobDefinitionName": "refused", "type": "container"} | members
    before = len(shared.asked)
    assert refusal_of(lambda: shared.call("RegisterJobDefinition", request)) == message
    assert len(shared.asked) == before, "a refused request reached the machine"


ACCEPTED: list[dict[str, Any]] = [
    task(container()),
    task(*(one(f"c{number}") for number in range(10))),
    task(one("a" * 200)),
    task(one("a", dependsOn=depends("b", "SUCCESS")), one("b", essential=False)),
    # a diamond is no circle
    task(
        one("a", dependsOn=[*depends("b", "START"), *depends("c", "START")]),
        one("b", dependsOn=depends("d", "START")),
        one("c", dependsOn=depends("d", "START")),
        one("d"),
    ),
    task(one(startTimeout=2, stopTimeout=600), ipcMode="none", pidMode="host"),
    task(one(resourceRequirements=[*container()["resourceRequirements"], GPU])),
    # of the user guide: 8 vCPU and 16384 MiB together
    fargate(sized("c1", "2", "4096"), sized("c2", "6", "12288")),
    fargate(runtimePlatform={"cpuArchitecture": "ARM64"}, ephemeralStorage={"sizeInGiB": 200}, platformVersion="1.4.0"),
    fargate(networkConfiguration={"assignPublicIp": "ENABLED"}),
    managed(networkMode="host", runtimePlatform={"operatingSystemFamily": "LINUX", "cpuArchitecture": "ARM64"}),
    managed(one(resourceRequirements=[*container()["resourceRequirements"], GPU])),
    # FireLens beside containers that do not use it, as the user guide has it
    task(one("c1", essential=False), one("c3", firelensConfiguration={"type": "fluentbit", "options": {"a": "b"}})),
]


@pytest.mark.parametrize("members", ACCEPTED, ids=str)
def test_a_task_is_accepted_and_kept(members: dict[str, Any], shared: Service) -> None:
    answer = shared.batch.register_job_definition(**{"jobDefinitionName": "accepted", "type": "container"} | members)
    asked = [f"accepted:{answer['revision']}"]
    (found,) = shared.batch.describe_job_definitions(jobDefinitions=asked)["jobDefinitions"]
    (sent,), (described,) = members["ecsProperties"]["taskProperties"], found["ecsProperties"]["taskProperties"]
    assert {member: described[member] for member in sent if member != "containers"} == {
        member: value for member, value in sent.items() if member != "containers"
    }
    for before, after in zip(sent["containers"], described["containers"], strict=True):
        assert {member: after[member] for member in before} == before


def test_a_task_is_described_with_the_defaults_that_clients_compare(shared: Service) -> None:
    shared.call("RegisterJobDefinition", {"jobDefinitionName": "defaults", "type": "container"} | task(one("a")))
    (found,) = shared.batch.describe_job_definitions(jobDefinitions=["defaults:1"])["jobDefinitions"]
    assert found["containerOrchestrationType"] == "ECS"
    assert "containerProperties" not in found
    empty: dict[str, Any] = {"dependsOn": [], "environment": [], "mountPoints": [], "secrets": [], "ulimits": []}
    assert found["ecsProperties"]["taskProperties"] == [
        {"volumes": [], "containers": [one("a") | empty | {"essential": True}]}
    ]
