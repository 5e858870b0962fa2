"""The table of operations, and that no request whatever brings them down."""

from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchyard.api.model_checks import ENUMS_WORDED_ELSEWHERE
from batchyard.api.operations import OPERATIONS
from batchyard.core.model.refusal import Refused
from batchyard.core.state.check import assert_consistent
from batchyard.wire.model import INTEGER_RANGES, Shape, load_service_model
from tests.api.service import Service, container, refusal_of

BUILT = sorted(name for service, name in OPERATIONS if service == "batch")


def test_every_operation_of_the_table_is_one_of_its_model() -> None:
    for service, name in OPERATIONS:
        assert name in load_service_model(service).operations, (service, name)


def test_enums_are_checked_wherever_they_are(shared: Service) -> None:
    request = {
        "jobDefinitionName": "deep",
        "type": "multinode",
        "nodeProperties": {
            "numNodes": 1,
            "mainNode": 0,
            "nodeRangeProperties": [
                {
                    "targetNodes": "0",
                    "container": container(
                        volumes=[
                            {"efsVolumeConfiguration": {"fileSystemId": "fs-1", "transitEncryption": "MAYBE"}},
                        ]
                    ),
                }
            ],
        },
    }
    assert refusal_of(lambda: shared.call("RegisterJobDefinition", request)) == (
        "nodeProperties.nodeRangeProperties[0].container.volumes[0].efsVolumeConfiguration.transitEncryption "
        "must be one of [ENABLED, DISABLED], got MAYBE."
    )


def test_the_enums_with_texts_of_their_own_are_in_the_model() -> None:
    assert set(load_service_model("batch").shapes) >= ENUMS_WORDED_ELSEWHERE


# -- Whatever a client sends --

MAX_REFUSAL_CHARACTERS = 2500

# Texts that mean something here, and texts that break things elsewhere.
TEXTS = [
    "",
    "local",
    "default",
    "sleeper",
    "sleeper:1",
    "sleeper:99999999999",
    "arn:aws:batch:us-east-1:123456789012:job-queue/default",
    "arn:aws:batch:us-east-1:123456789012:job-definition/sleeper:1",
    "arn:aws:batch:us-east-1:123456789012:job/00000000-0000-4000-8000-000000000002",
    "00000000-0000-4000-8000-000000000002",
    "00000000-0000-4000-8000-000000000002:1",
    "00000000-0000-4000-8000-000000000002#0",
    ":",
    "#",
    "a:\u0661",
    "\0",
    "';--",
    "Ref::x",
    "1",
    "-1",
    "1e999",
    "0:",
    "*",
    "\U0010ffff",
    "x" * 2000,
    "busybox",
]


@cache
def documents(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Documents with the types that the wire lets through, and any values."""
    if shape.type == "structure":
        members = shape.members.values()
        required = {m.name: documents(m.shape, depth + 1) for m in members if m.required}
        optional = {m.name: documents(m.shape, depth + 1) for m in members if not m.required and depth < 4}
        return st.fixed_dictionaries(required, optional=optional)
    if shape.type == "list":
        assert shape.element is not None
        return st.lists(documents(shape.element, depth + 1), max_size=2)
    if shape.type == "map":
        assert shape.element is not None
        return st.dictionaries(st.sampled_from(TEXTS), documents(shape.element, depth + 1), max_size=2)
    if shape.type == "string":
        return st.sampled_from([*shape.enum, *shape.enum, *shape.enum, *TEXTS] if shape.enum else TEXTS)
    if shape.type in INTEGER_RANGES:
        low, high = INTEGER_RANGES[shape.type]
        return st.sampled_from([low, -1, 0, 1, 2, 60, 100, 10_000, high])
    return st.booleans() if shape.type == "boolean" else st.just(0.5)


@pytest.fixture
def busy(service: Service) -> Service:
    """With an array and a job for the ids above."""
    service.submit(arrayProperties={"size": 4})
    service.submit(name="single")
    return service


def attempt(service: Service, operation: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """The answer, or None for a refusal: anything else fails the test. Nothing is half made either way."""
    try:
        answer = service.call(operation, request)
    except Refused as refusal:
        problem = (refusal.code, refusal.message)
        answer = None
    else:
        problem = ("ClientException", "none")
    assert_consistent(service.machine.world)
    assert problem[0] == "ClientException"
    assert 0 < len(problem[1]) < MAX_REFUSAL_CHARACTERS
    return answer


@pytest.mark.parametrize("operation", BUILT)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_request_is_answered_or_refused(operation: str, data: st.DataObject, busy: Service) -> None:
    shape = load_service_model("batch").operations[operation].input
    assert shape is not None
    attempt(busy, operation, data.draw(documents(shape)))


QUEUE_ORDER = [{"order": 1, "computeEnvironment": "local"}]
VALID: dict[str, dict[str, Any]] = {
    "SubmitJob": {"jobName": "nap", "jobQueue": "default", "jobDefinition": "sleeper"},
    "CreateComputeEnvironment": {"type": "UNMANAGED", "serviceRole": "role", "computeEnvironmentName": "new"},
    "UpdateComputeEnvironment": {"computeEnvironment": "local"},
    "CreateJobQueue": {"jobQueueName": "new", "priority": 1, "computeEnvironmentOrder": QUEUE_ORDER},
    "UpdateJobQueue": {"jobQueue": "default"},
    "ListJobs": {"jobQueue": "default"},
}


@pytest.mark.parametrize("operation", sorted(VALID))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_valid_request_with_any_one_more_member_is_answered_or_refused(
    operation: str, data: st.DataObject, busy: Service
) -> None:
    shape = load_service_model("batch").operations[operation].input
    assert shape is not None
    member = data.draw(st.sampled_from(sorted(shape.members)))
    answer = attempt(busy, operation, VALID[operation] | {member: data.draw(documents(shape.members[member].shape, 1))})
    if answer and "jobId" in answer:
        busy.call("DescribeJobs", {"jobs": [answer["jobId"], answer["jobId"] + ":1"]})
        busy.call("TerminateJob", {"jobId": answer["jobId"], "reason": "make room"})


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_definition_that_registers_can_be_described_and_submitted_or_refused(
    data: st.DataObject, busy: Service
) -> None:
    shape = load_service_model("batch").shapes["ContainerProperties"]
    member = data.draw(st.sampled_from(sorted(shape.members)))
    properties = container() | {member: data.draw(documents(shape.members[member].shape, 1))}
    request = {"jobDefinitionName": "any", "type": "container", "containerProperties": properties}
    answer = attempt(busy, "RegisterJobDefinition", request)
    if answer is not None:
        name = f"any:{answer['revision']}"
        busy.call("DescribeJobDefinitions", {"jobDefinitions": [name]})
        submitted = attempt(busy, "SubmitJob", VALID["SubmitJob"] | {"jobDefinition": name})
        if submitted is not None:
            busy.call("DescribeJobs", {"jobs": [submitted["jobId"]]})
            busy.call("TerminateJob", {"jobId": submitted["jobId"], "reason": "make room"})


LISTINGS: list[tuple[str, dict[str, Any]]] = [
    ("DescribeComputeEnvironments", {}),
    ("DescribeJobQueues", {}),
    ("DescribeJobDefinitions", {}),
    ("ListJobs", {"jobQueue": "default"}),
]


@pytest.mark.parametrize(("operation", "request_"), LISTINGS)
@given(token=st.one_of(st.text(max_size=40), st.sampled_from(TEXTS)))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_token_is_answered_or_refused(operation: str, request_: dict[str, Any], token: str, busy: Service) -> None:
    attempt(busy, operation, request_ | {"nextToken": token})
