"""Job definitions: nothing that was registered is lost, revisions, and how they are found."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchyard.api.context import Settings
from tests.api.service import Service, container, refusal_of

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
VARIABLES = NAMES.filter(lambda name: not name.startswith("AWS_BATCH"))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
COUNTS = st.integers(1, 2**31 - 1)
ROLES = st.just("arn:aws:iam::123456789012:role/some-role")


def some(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A document with any of these members."""
    return st.fixed_dictionaries({}, optional=members)


def lists(entries: st.SearchStrategy[Any], key: str) -> st.SearchStrategy[list[Any]]:
    return st.lists(entries, max_size=3, unique_by=lambda entry: entry[key])


VOLUMES = st.builds(
    lambda name, body: {"name": name} | body,
    NAMES,
    st.one_of(
        st.just({}),
        st.builds(lambda path: {"host": {"sourcePath": path}}, TEXTS),
        st.builds(
            lambda extra: {"efsVolumeConfiguration": {"fileSystemId": "fs-12"} | extra},
            some(
                rootDirectory=TEXTS, transitEncryption=st.just("ENABLED"), transitEncryptionPort=st.integers(0, 65535)
            ),
        ),
    ),
)
CONTAINERS = st.builds(
    lambda sizes, body: {"image": "busybox"} | sizes | body,
    st.one_of(
        st.fixed_dictionaries({"vcpus": COUNTS, "memory": st.integers(4, 2**31 - 1)}),
        st.builds(
            lambda vcpus, memory: {
                "resourceRequirements": [
                    {"type": "VCPU", "value": str(vcpus)},
                    {"type": "MEMORY", "value": str(memory)},
                ]
            },
            st.integers(1, 10**9 - 1),
            st.integers(4, 10**9 - 1),
        ),
    ),
    some(
        command=st.lists(TEXTS, max_size=4),
        jobRoleArn=ROLES,
        executionRoleArn=ROLES,
        volumes=lists(VOLUMES, "name"),
        environment=lists(st.fixed_dictionaries({"name": VARIABLES, "value": TEXTS}), "name"),
        mountPoints=st.lists(some(containerPath=TEXTS, readOnly=st.booleans(), sourceVolume=NAMES), max_size=2),
        readonlyRootFilesystem=st.booleans(),
        privileged=st.booleans(),
        ulimits=lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["core", "nofile"]), "softLimit": COUNTS, "hardLimit": st.just(-1)}
            ),
            "name",
        ),
        user=st.just("nobody"),
        instanceType=NAMES,
        linuxParameters=some(
            devices=st.lists(
                st.fixed_dictionaries(
                    {"hostPath": TEXTS}, optional={"containerPath": TEXTS, "permissions": st.just(["READ", "MKNOD"])}
                ),
                max_size=2,
            ),
            initProcessEnabled=st.booleans(),
            sharedMemorySize=COUNTS,
            tmpfs=st.lists(
                st.fixed_dictionaries(
                    {"containerPath": TEXTS, "size": COUNTS}, optional={"mountOptions": st.just(["noexec"])}
                ),
                max_size=2,
            ),
            swappiness=st.integers(0, 100),
        ),
        logConfiguration=st.fixed_dictionaries(
            {"logDriver": st.sampled_from(["syslog", "splunk"])},
            optional={"options": st.dictionaries(NAMES, TEXTS, max_size=2)},
        ),
        repositoryCredentials=st.just({"credentialsParameter": "arn:aws:secretsmanager:us-east-1:1:secret:x"}),
        enableExecuteCommand=st.booleans(),
    ),
)


# What a described container holds even when nobody gave it.
LISTS: dict[str, Any] = {
    member: []
    for member in ("command", "volumes", "environment", "mountPoints", "ulimits", "resourceRequirements", "secrets")
}


@pytest.fixture(scope="module")
def registrar(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Service(tmp_path_factory.mktemp("yard"))
    yield made
    made.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(properties=CONTAINERS)
def test_every_field_of_a_container_survives_from_register_to_describe(
    properties: dict[str, Any], registrar: Service
) -> None:
    answer = registrar.batch.register_job_definition(
        jobDefinitionName="kept", type="container", containerProperties=properties
    )
    found = registrar.batch.describe_job_definitions(jobDefinitions=[f"kept:{answer['revision']}"])
    (detail,) = found["jobDefinitions"]
    described = detail["containerProperties"]
    assert {member: described[member] for member in properties} == properties
    assert all(described[member] == [] for member in described.keys() - properties.keys())


def test_every_other_member_survives_too(service: Service) -> None:
    sent: dict[str, Any] = {
        "type": "multinode",
        "parameters": {"epochs": "5"},
        "schedulingPriority": 7,
        "nodeProperties": {
            "numNodes": 3,
            "mainNode": 1,
            "nodeRangeProperties": [{"targetNodes": ":", "container": LISTS | container(instanceType="c5.large")}],
        },
        "retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1", "action": "exit"}]},
        "propagateTags": True,
        "timeout": {"attemptDurationSeconds": 60},
        "platformCapabilities": ["EC2"],
        "consumableResourceProperties": {"consumableResourceList": [{"consumableResource": "licence", "quantity": 2}]},
        "tags": {"Team": "data"},
    }
    service.batch.register_job_definition(jobDefinitionName="whole", **sent)
    (found,) = service.batch.describe_job_definitions(jobDefinitions=["whole:1"])["jobDefinitions"]
    assert {member: found[member] for member in sent} == sent


@pytest.mark.parametrize("action", ["RETRY", "Retry", "retry"])
def test_actions_are_taken_in_any_case_and_answered_in_lower_case(service: Service, action: str) -> None:
    strategy = {"attempts": 2, "evaluateOnExit": [{"onReason": "*", "action": action}]}
    definition = service.register("retried", retryStrategy=strategy)
    (found,) = service.batch.describe_job_definitions(jobDefinitions=[definition])["jobDefinitions"]
    assert found["retryStrategy"] == {"attempts": 2, "evaluateOnExit": [{"onReason": "*", "action": "retry"}]}
    job = service.detail(service.submit(definition))
    assert job["retryStrategy"] == found["retryStrategy"]


def test_variables_with_empty_values_are_not_kept(service: Service) -> None:
    empty = [{"name": "A", "value": ""}, {"name": "B"}, {"name": "C", "value": "1"}]
    definition = service.register("empty", containerProperties=container(environment=empty))
    (found,) = service.batch.describe_job_definitions(jobDefinitions=[definition])["jobDefinitions"]
    assert found["containerProperties"]["environment"] == [{"name": "C", "value": "1"}]


def test_empty_variables_of_each_container_and_of_each_node_range_are_not_kept(service: Service) -> None:
    empty = [{"name": "A", "value": ""}, {"name": "C", "value": "1"}]
    task = {"taskProperties": [{"containers": [container(environment=empty)]}]}
    ranges = [
        {"targetNodes": "0", "container": container(environment=empty)},
        {"targetNodes": "1", "ecsProperties": task},
    ]
    nodes = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": ranges}
    service.call("RegisterJobDefinition", {"jobDefinitionName": "nodes", "type": "multinode", "nodeProperties": nodes})
    (found,) = service.batch.describe_job_definitions(jobDefinitions=["nodes:1"])["jobDefinitions"]
    plain, several = found["nodeProperties"]["nodeRangeProperties"]
    assert plain["container"]["environment"] == [{"name": "C", "value": "1"}]
    assert several["ecsProperties"]["taskProperties"][0]["containers"][0]["environment"] == [
        {"name": "C", "value": "1"}
    ]


def revisions(service: Service, **request: Any) -> list[str]:
    found = service.batch.describe_job_definitions(**request)["jobDefinitions"]
    return [f"{one['jobDefinitionName']}:{one['revision']}" for one in found]


def test_definitions_are_found_by_revision_by_arn_by_name_and_by_status(service: Service) -> None:
    service.register("twice")
    service.register("twice")
    service.batch.deregister_job_definition(jobDefinition="twice:1")
    arn = service.context.account.definition_arn("twice", 2)
    assert revisions(service, jobDefinitions=["sleeper:1", arn, "twice:9", "twice", "nobody:1"]) == [
        "sleeper:1",
        "twice:2",
    ]
    assert revisions(service, jobDefinitionName="twice") == ["twice:1", "twice:2"]
    assert revisions(service, jobDefinitionName="twice", status="ACTIVE") == ["twice:2"]
    assert revisions(service, status="INACTIVE") == ["twice:1"]
    assert revisions(service, jobDefinitionName="nobody") == []
    assert revisions(service) == ["sleeper:1", "twice:1", "twice:2"]
    assert revisions(service, jobDefinitions=["twice:1", arn], status="ACTIVE") == ["twice:2"]
    assert revisions(service, jobDefinitions=["twice:1", arn], status="INACTIVE") == ["twice:1"]
    request = {"jobDefinitions": ["a:1"], "jobDefinitionName": "a"}
    message = refusal_of(lambda: service.call("DescribeJobDefinitions", request))
    assert message == "JobDefinitions and JobDefinitionName cannot both be set"


def test_definitions_come_in_pages(service: Service) -> None:
    for _ in range(4):
        service.register("many")
    pages = service.batch.get_paginator("describe_job_definitions").paginate(
        jobDefinitionName="many", PaginationConfig={"PageSize": 3}
    )
    found = [[one["revision"] for one in page["jobDefinitions"]] for page in pages]
    assert found == [[1, 2, 3], [4]]


@pytest.mark.parametrize("token", ["nonsense", "eyJ", "bnVsbA=="])
def test_a_token_of_nobody_is_refused(token: str, service: Service) -> None:
    message = refusal_of(lambda: service.call("DescribeJobDefinitions", {"nextToken": token}))
    assert message.startswith("The specified nextToken is invalid.")


def test_a_name_alone_can_not_be_deregistered(service: Service) -> None:
    message = refusal_of(lambda: service.call("DeregisterJobDefinition", {"jobDefinition": "sleeper"}))
    assert message == "jobDefinition must be name:revision or the ARN of a revision, got sleeper."


def test_limits_are_settings(tmp_path: Path) -> None:
    service = Service(tmp_path, Settings(min_timeout_seconds=1, max_definition_kib=64))
    request = {"jobDefinitionName": "short", "type": "container", "containerProperties": container()}
    service.call("RegisterJobDefinition", request | {"timeout": {"attemptDurationSeconds": 1}}, size_bytes=60_000)
    service.close()
