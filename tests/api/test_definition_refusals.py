"""What RegisterJobDefinition refuses, each with its exact text (AWS Batch behaviour 6)."""

from typing import Any

import pytest

from batchyard.api.batch.rules.container_rules import MOUNT_FLAGS
from tests.api.service import Service, container, refusal_of

OPTIONS = (
    ", ".join(MOUNT_FLAGS) + ", and mode=VALUE, uid=VALUE, gid=VALUE, nr_inodes=VALUE, nr_blocks=VALUE, mpol=VALUE"
)
VCPU = {"type": "VCPU", "value": "1"}
MEMORY = {"type": "MEMORY", "value": "512"}
GPU = {"type": "GPU", "value": "1"}
FARGATE_BODY = container(
    executionRoleArn="arn:aws:iam::123456789012:role/execution",
    resourceRequirements=[{"type": "VCPU", "value": "0.25"}, MEMORY],
)
NODES = {
    "type": "multinode",
    "nodeProperties": {
        "numNodes": 4,
        "mainNode": 0,
        "nodeRangeProperties": [{"targetNodes": "0:", "container": container()}],
    },
}


def single(**members: Any) -> dict[str, Any]:
    return {"containerProperties": container(**members)}


def requirements(*entries: dict[str, str]) -> dict[str, Any]:
    return single(resourceRequirements=list(entries))


def fargate(**members: Any) -> dict[str, Any]:
    return {"platformCapabilities": ["FARGATE"], "containerProperties": FARGATE_BODY | members}


def windows(**members: Any) -> dict[str, Any]:
    amounts = [VCPU, {"type": "MEMORY", "value": "2048"}]
    system = {"operatingSystemFamily": "WINDOWS_SERVER_2019_FULL"}
    return fargate(resourceRequirements=amounts, runtimePlatform=system, **members)


def consumables(*entries: tuple[str, int]) -> dict[str, Any]:
    found = [{"consumableResource": name, "quantity": quantity} for name, quantity in entries]
    return single() | {"consumableResourceProperties": {"consumableResourceList": found}}


def retry(*rules: dict[str, str], **members: Any) -> dict[str, Any]:
    return single() | {"retryStrategy": {"attempts": 2, "evaluateOnExit": list(rules)} | members}


def linux(**members: Any) -> dict[str, Any]:
    return single(linuxParameters=members)


def efs(**members: Any) -> dict[str, Any]:
    return single(volumes=[{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"} | members}])


# fmt: off
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"jobDefinitionName": "no spaces", **single()}, "Job definition name should match a valid pattern."),
    ({"jobDefinitionName": "x" * 129, **single()}, "Job definition name should match a valid pattern."),
    ({"type": "Container", **single()}, "type must be one of [container, multinode], got Container."),
    # bodies
    ({}, "ECS ContainerProperties, ecsProperties, or eksProperties is required when using type container."),
    ({"type": "multinode"}, "Node properties of multinode job is required."),
    (single() | {"ecsProperties": {"taskProperties": []}}, "Cannot use both ECS containerProperties and ecsProperties"),
    (single() | {"eksProperties": {}}, "Cannot use both ECS containerProperties and eksProperties"),
    ({"ecsProperties": {"taskProperties": []}, "eksProperties": {}}, "Cannot use both ecsProperties and eksProperties"),
    (NODES | {"eksProperties": {}}, "Cannot use both nodeProperties and eksProperties"),
    # platform
    (single() | {"platformCapabilities": ["EC2", "FARGATE"]}, "Exactly 1 capability must be provided."),
    (single() | {"platformCapabilities": ["LAMBDA"]},
     "Capability LAMBDA is not valid. Valid capabilities: [FARGATE, EC2, MANAGED_INSTANCES]"),
    (single() | {"platformCapabilities": ["MANAGED_INSTANCES"]},
     "Cannot use ECS containerProperties for MANAGED_INSTANCES"),
    (NODES | {"platformCapabilities": ["FARGATE"]}, "Fargate does not support MNP jobs"),
    (NODES | {"platformCapabilities": ["MANAGED_INSTANCES"]}, "MANAGED_INSTANCES does not support MNP jobs"),
    # resources
    (single(image=""), "ECS Container Image must be provided."),
    (single(image="a b"), "image must have 1 to 255 characters of letters, digits and -_:./#@, got 'a b'."),
    (requirements(MEMORY), "vCPU is required."),
    (requirements(VCPU), "Memory is required."),
    (requirements(VCPU, VCPU, MEMORY), "Cannot provide duplicates in resourceRequirements."),
    (requirements({"type": "VCPU", "value": "0"}, MEMORY), "vCPU must be at least 1, got 0."),
    (requirements({"type": "VCPU", "value": "0.5"}, MEMORY), "vCPU must be at least 1, got 0.5."),
    (requirements({"type": "VCPU", "value": "1.5"}, MEMORY), "vCPU must be a whole number, got 1.5."),
    (requirements({"type": "VCPU", "value": "-1"}, MEMORY), "vCPU must be at least 1, got -1."),
    (requirements(VCPU, {"type": "MEMORY", "value": "3"}), "Memory must be at least 4 Mib, got 3 Mib."),
    (requirements(VCPU, MEMORY, {"type": "GPU", "value": "two"}),
     "Value two for type GPU in resourceRequirement is not valid. Please provide a numeric value."),
    (requirements({"type": "VCPU", "value": "nan"}, MEMORY),
     "Value nan for type VCPU in resourceRequirement is not valid. Please provide a numeric value."),
    (requirements({"type": "VCPU", "value": "1" * 400}, MEMORY),
     f"Value {'1' * 128}... for type VCPU in resourceRequirement is not valid. Please provide a numeric value."),
    (requirements(VCPU, MEMORY, {"type": "GPU", "value": "0"}), "GPU must be at least 1, got 0."),
    (requirements(VCPU, MEMORY, {"type": "GPU", "value": "1.5"}),
     "Value 1.5 for type GPU in resourceRequirement is not valid. Please provide a numeric value."),
    (requirements(VCPU, MEMORY, GPU, GPU), "Cannot provide duplicates in resourceRequirements."),
    (requirements(VCPU, {"type": "MEMORY", "value": "4.5"}), "Memory must be a whole number, got 4.5."),
    (requirements({"type": "CPU", "value": "1"}),
     "containerProperties.resourceRequirements[0].type must be one of [GPU, VCPU, MEMORY], got CPU."),
    (single(vcpus=1, memory=512),
     "Cannot use both ECS containerProperties vcpus/memory and resourceRequirement VCPU/MEMORY."),
    ({"containerProperties": {"image": "busybox", "vcpus": 0, "memory": 4}}, "vCPU must be at least 1, got 0."),
    ({"containerProperties": {"image": "busybox", "vcpus": 1, "memory": 3}},
     "Memory must be at least 4 Mib, got 3 Mib."),
    # environment, user, secrets, logs
    (single(environment=[{"value": "x"}]), "Environment variable name is required."),
    (single(environment=[{"name": "AWS_BATCH_JOB_ID", "value": "x"}]),
     ("Environment variable name AWS_BATCH_JOB_ID must not start with AWS_BATCH: this prefix is reserved for the "
     "variables that the service sets.")),
    (single(command=["\0"]), "containerProperties.command[0] must not hold a NUL character."),
    (single(user="Root!"), "User 'Root!' does not match regex"),
    (single(executionRoleArn="arn", secrets=[{"name": "A=B", "valueFrom": "arn"}]),
     "Environment variable name A=B must not hold '='."),
    (single(executionRoleArn="arn", secrets=[{"name": "A", "valueFrom": ""}]),
     "valueFrom of the secret A must name a secret or parameter."),
    (single(secrets=[{"name": "A", "valueFrom": "arn"}]),
     "executionRoleArn cannot be empty when using secrets or secretOptions"),
    (single(logConfiguration={"logDriver": "awslogs", "secretOptions": [{"name": "A", "valueFrom": "arn"}]}),
     "executionRoleArn cannot be empty when using secrets or secretOptions"),
    (single(logConfiguration={"logDriver": "awslogs", "options": {"awslogs-stream": "x"}}),
     "Log driver awslogs disallows options: awslogs-stream"),
    (single(logConfiguration={"logDriver": "paper"}),
     ("containerProperties.logConfiguration.logDriver must be one of [json-file, syslog, journald, gelf, fluentd, "
     "awslogs, splunk, awsfirelens], got paper.")),
    # volumes, ulimits, linuxParameters
    (single(volumes=[{"name": "v", "host": {}, "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]),
     "When the volume parameter is specified, only one volume configuration type should be used."),
    (single(volumes=[{"name": "a b"}]),
     "Volume name 'a b' must have 1 to 255 letters, digits, hyphens and underscores."),
    (efs(fileSystemId="x"), "EFS configuration fileSystemId is not valid: x."),
    (efs(authorizationConfig={"iam": "ENABLED"}), "EFS IAM authorization requires TransitEncryption to be enabled."),
    (efs(authorizationConfig={"accessPointId": "p"}),
     "EFS IAM access point requires TransitEncryption to be enabled."),
    (efs(authorizationConfig={"accessPointId": "p"}, transitEncryption="ENABLED", rootDirectory="/data"),
     'When using an EFS access point, the root directory must either be set to "/" or omitted'),
    (efs(transitEncryptionPort=65536), "TransitEncryptionPort must be a valid port number."),
    (efs(rootDirectory="/" + "x" * 4096),
     "EFS configuration rootDirectory must have at most 4096 characters, got 4097."),
    (single(jobRoleArn="arn", volumes=[
        {"name": "v", "s3filesVolumeConfiguration": {"fileSystemArn": "arn", "transitEncryptionPort": -1}}]),
     "TransitEncryptionPort must be a valid port number."),
    (single(volumes=[{"name": "v"}, {"name": "v"}]), "Volume name v is used twice."),
    (single(volumes=[{"name": "v", "s3filesVolumeConfiguration": {"fileSystemArn": "arn"}}]),
     "A jobRoleArn/taskRoleArn is required when using s3filesVolumeConfiguration."),
    (single(ulimits=[{"name": "files", "softLimit": 1, "hardLimit": 1}]),
     ("Ulimit name files is not valid. Valid names: core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, "
     "nproc, rss, rtprio, rttime, sigpending, stack.")),
    (single(ulimits=[{"name": "nofile", "softLimit": 2, "hardLimit": 1}]),
     "Ulimit nofile: softLimit 2 must not be greater than hardLimit 1."),
    (linux(devices=[{"hostPath": "/dev/fuse", "permissions": ["EXECUTE"]}]),
     "Invalid permission: EXECUTE for device /dev/fuse"),
    (linux(tmpfs=[{"containerPath": "/t", "size": 0}]),
     "Size of a tmpfs is invalid. The size is required and must be a positive integer."),
    *((linux(tmpfs=[{"containerPath": "/t", "size": 1, "mountOptions": [option]}]),
       f"mountOptions of a tmpfs must be of mount(8)'s, got {option!r}. Valid options: {OPTIONS}.")
      for option in ("fast", "", "ro=1", "size=9")),
    (linux(maxSwap=-1, swappiness=1), "Invalid swap memory size: -1, must be non-negative."),
    (linux(maxSwap=1, swappiness=101), "Invalid swappiness: 101, must be between 0 and 100."),
    (linux(maxSwap=1), "When container specified swap memory, swappiness value is required."),
    (linux(sharedMemorySize=0), "sharedMemorySize must be at least 1 MiB, got 0."),
    # what only one platform has
    (single(networkConfiguration={"assignPublicIp": "ENABLED"}), "networkConfiguration not applicable for EC2."),
    (single(fargatePlatformConfiguration={}), "fargatePlatformConfiguration not applicable for EC2."),
    (single(runtimePlatform={}), "runtimePlatform is not applicable for EC2."),
    (single(ephemeralStorage={"sizeInGiB": 21}), "ephemeralStorage is not applicable for EC2."),
    (fargate(executionRoleArn=""), "executionRoleArn is required for Fargate jobs."),
    (fargate(resourceRequirements=[VCPU, MEMORY]), "Fargate resource requirements (1.00 vCPU, 512 MiB) not valid."),
    (fargate(resourceRequirements=[VCPU, {"type": "MEMORY", "value": "2048"}, {"type": "GPU", "value": "1"}]),
     "GPU is not applicable for Fargate."),
    (fargate(privileged=True), "Fargate requires that the ‘privileged’ setting be ‘false’ at the container level."),  # noqa: RUF001
    *((fargate(linuxParameters={member: value}), f"linuxParameter.{member} is not allowed for Fargate.")
      for member, value in {"devices": [], "maxSwap": 0, "sharedMemorySize": 1, "swappiness": 1, "tmpfs": []}.items()),
    (fargate(ulimits=[{"name": "nofile", "softLimit": 1, "hardLimit": 1}]), "ulimits is not applicable for Fargate."),
    (fargate(instanceType="c5.large"), "instanceType is not applicable for Fargate."),
    ({"platformCapabilities": ["FARGATE"],
      "containerProperties": {"image": "a", "executionRoleArn": "arn", "vcpus": 1, "memory": 2048}},
     "vcpus and memory are not applicable for Fargate. Use resourceRequirements instead."),
    (fargate(logConfiguration={"logDriver": "syslog"}), "Log driver for Fargate is not valid: syslog"),
    (fargate(volumes=[{"name": "v", "host": {"sourcePath": "/x"}}]),
     "host.sourcePath should not be set for volumes in Fargate."),
    *((fargate(ephemeralStorage={"sizeInGiB": size}),
       "Ephemeral storage for Fargate tasks can be only between range 21 GiB to 200 GiB") for size in (20, 201)),
    (fargate(volumes=[{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
             fargatePlatformConfiguration={"platformVersion": "1.3.0"}),
     "EFS is supported for Fargate platform versions 1.4.0 or later, provided 1.3.0"),
    (fargate(runtimePlatform={"operatingSystemFamily": "PLAN9"}),
     ("RuntimePlatform supports only one from [WINDOWS_SERVER_2019_CORE, WINDOWS_SERVER_2019_FULL, "
     "WINDOWS_SERVER_2022_CORE, WINDOWS_SERVER_2022_FULL, LINUX] operating systems, provided PLAN9")),
    (fargate(runtimePlatform={"cpuArchitecture": "VAX"}),
     "RuntimePlatform supports only one from [X86_64, ARM64] architectures, provided VAX"),
    *((windows(**{member: value}), f"{member[0].upper()}{member[1:]} parameter is not supported for Windows containers")
      for member, value in [("user", "nobody"), ("readonlyRootFilesystem", True), ("readonlyRootFilesystem", False),
                            ("privileged", False), ("linuxParameters", {"initProcessEnabled": False})]),
    (windows(volumes=[{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]),
     "EfsVolumeConfiguration parameter is not supported for Windows containers"),
    (fargate(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE", "cpuArchitecture": "ARM64"}),
     "Windows supported only by X86_64 cpuArchitecture"),
    (fargate(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}),
     "vCPU must be at least 1 for Windows Job definition, got 0.25."),
    # retry, timeout, priority
    (single() | {"retryStrategy": {}}, "RetryAttempts must be provided with retry strategy."),
    (retry(attempts=11), "RetryAttempts must be between 1 and 10, got 11."),
    (retry(attempts=0), "RetryAttempts must be between 1 and 10, got 0."),
    (retry(*[{"onReason": "*", "action": "EXIT"}] * 6), "Up to 5 evaluateOnExit condition can be specified."),
    (retry({"action": "EXIT"}),
     "EvaluateOnExit should contain at least one of onExitCode, onReason or onStatusReason"),
    (retry({"onReason": "x" * 513, "action": "EXIT"}), "Evaluate on exit condition cannot exceed 512 characters."),
    (retry({"onReason": "a*b", "action": "EXIT"}), "Evaluate on exit condition contains restricted characters."),
    (retry({"onStatusReason": "Host EC2 (x", "action": "EXIT"}),
     "Evaluate on exit condition contains restricted characters."),
    (retry({"onExitCode": "-1", "action": "EXIT"}), "Evaluate on exit condition contains restricted characters."),
    (retry({"onReason": "*", "action": "STOP"}), "EvaluateOnExit action must be RETRY or EXIT, got STOP."),
    (single() | {"timeout": {"attemptDurationSeconds": 59}},
     "timeout.attemptDurationSeconds must be at least 60 seconds, got 59."),
    (single() | {"schedulingPriority": 10000}, "Scheduling priority must be between 0 and 9999."),
    (single() | {"tags": {"aws:mine": "x"}}, "Tag key aws:mine must not start with aws:: this prefix is reserved."),
    # consumable resources
    (consumables(*((f"licence{number}", 1) for number in range(6))),
     "Each ConsumableResourceProperty can have at most 5 consumableResources"),
    (consumables(("licence", 1), ("arn:aws:batch:us-east-1:123456789012:consumable-resource/licence", 1)),
     "Cannot have duplicate consumableResource in consumableResourceProperties"),
    (consumables(("", 1)), "consumableResource is required."),
    (consumables(("licence", 0)), "The quantity of the consumableResource licence must be at least 1."),
    (single() | {"consumableResourceProperties": {"consumableResourceList": [{"consumableResource": "licence"}]}},
     "The quantity of the consumableResource licence is required."),
]
# fmt: on


@pytest.mark.parametrize(("members", "message"), REFUSALS, ids=[message[:60] for _, message in REFUSALS])
def test_a_definition_is_refused_with_its_text(members: dict[str, Any], message: str, shared: Service) -> None:
    request = {"jobDefinitionName": "refused", "type": "container"} | members
    before = len(shared.asked)
    assert refusal_of(lambda: shared.call("RegisterJobDefinition", request)) == message
    assert len(shared.asked) == before, "a refused request reached the machine"


ACCEPTED: list[dict[str, Any]] = [
    fargate(),
    fargate(runtimePlatform={"cpuArchitecture": "ARM64"}, ephemeralStorage={"sizeInGiB": 21}),
    fargate(networkConfiguration={"assignPublicIp": "ENABLED"}),
    fargate(volumes=[{"name": "scratch"}, {"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]),
    fargate(linuxParameters={"initProcessEnabled": True}, fargatePlatformConfiguration={"platformVersion": "LATEST"}),
    windows(),
    efs(authorizationConfig={"accessPointId": "p", "iam": "ENABLED"}, transitEncryption="ENABLED", rootDirectory="/"),
    consumables(("licence", 2), ("other", 1)),
    retry({"onStatusReason": "Host EC2*", "action": "retry"}, {"onReason": "*", "action": "exit"}),
    retry({"onExitCode": "1", "action": "FAILED"}),
    requirements(VCPU, MEMORY, {"type": "GPU", "value": "2"}),
    single(ulimits=[{"name": "nofile", "softLimit": 1024, "hardLimit": -1}]),
    linux(maxSwap=0, swappiness=60, sharedMemorySize=64, tmpfs=[{"containerPath": "/t", "size": 1}]),
    linux(tmpfs=[{"containerPath": "/t", "size": 1, "mountOptions": ["noexec", "rw", "mode=1777", "uid"]}]),
    single(image="registry.example:5000/group/tool@sha256:0123abcd"),
    single() | {"timeout": {}, "schedulingPriority": 0, "platformCapabilities": []},
    # GPUs beside the old members, as tutorials write it
    {
        "containerProperties": {
            "image": "a",
            "vcpus": 8,
            "memory": 61440,
            "resourceRequirements": [{"type": "GPU", "value": "1"}],
        }
    },
]


@pytest.mark.parametrize("members", ACCEPTED, ids=str)
def test_a_definition_is_accepted(members: dict[str, Any], shared: Service) -> None:
    answer = shared.batch.register_job_definition(**{"jobDefinitionName": "accepted", "type": "container"} | members)
    assert answer["jobDefinitionArn"].endswith(f":job-definition/accepted:{answer['revision']}")


PAIRS = [
    ("0.25", 512, 2048, 512),
    ("0.5", 1024, 4096, 1024),
    ("1", 2048, 8192, 1024),
    ("2", 4096, 16384, 1024),
    ("4", 8192, 30720, 1024),
    ("8", 16384, 61440, 4096),
    ("16", 32768, 122880, 8192),
]


@pytest.mark.parametrize(("vcpus", "least", "most", "step"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_fargate_takes_its_valid_pairs_only(vcpus: str, least: int, most: int, step: int, shared: Service) -> None:
    def amounts(memory: int) -> dict[str, Any]:
        sizes = [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": str(memory)}]
        return {"jobDefinitionName": "pairs", "type": "container"} | fargate(resourceRequirements=sizes)

    for memory in (least, least + step, most):
        shared.call("RegisterJobDefinition", amounts(memory))
    for memory in (least - step, least + step // 2, most + step):
        message = refusal_of(lambda: shared.call("RegisterJobDefinition", amounts(memory)))  # noqa: B023
        assert message == f"Fargate resource requirements ({float(vcpus):.2f} vCPU, {memory} MiB) not valid."


def test_the_largest_fargate_size_has_three_amounts_of_memory(shared: Service) -> None:
    def register(memory: int) -> object:
        sizes = [{"type": "VCPU", "value": "32"}, {"type": "MEMORY", "value": str(memory)}]
        request = {"jobDefinitionName": "large", "type": "container"} | fargate(resourceRequirements=sizes)
        return shared.call("RegisterJobDefinition", request)

    for memory in (61440, 122880, 249856):
        register(memory)
    assert refusal_of(lambda: register(65536)) == "Fargate resource requirements (32.00 vCPU, 65536 MiB) not valid."


def test_a_definition_that_is_too_large_is_refused_with_its_size(shared: Service) -> None:
    request = {"jobDefinitionName": "large", "type": "container", **single()}
    shared.call("RegisterJobDefinition", request, size_bytes=24 * 1024)
    message = refusal_of(lambda: shared.call("RegisterJobDefinition", request, size_bytes=24 * 1024 + 1))
    assert message == "Job definition size must be less than 24 KiB, got 25 KiB"
