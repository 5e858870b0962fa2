"""Which operations are routed, and how refusals and results of ours are worded (see test_differential)."""

from __future__ import annotations

import pytest

from batchyard.wire.messages import WireError
from batchyard.wire.model import build_service_model
from batchyard.wire.router import Router
from tests.wire.oracle import (
    OPERATIONS,
    ROUTER,
    botocore_service,
    parsed_by_botocore,
)

REQUEST_ID = "7d4c0f7e-3f0c-4d43-9a58-0e6c6c2c1f11"


def test_every_operation_of_batch_is_routed() -> None:
    routed = {name for service, name in OPERATIONS if service == "batch"}
    assert routed == set(botocore_service("batch").operation_names)
    assert len(routed) == 48
    for whole in ("logs", "events"):
        assert {name for service, name in OPERATIONS if service == whole} == set(
            botocore_service(whole).operation_names
        )
    assert [name for service, name in OPERATIONS if service == "yard"] == [
        "CreateHostToken",
        "DescribeJobTimes",
        "DrainHost",
        "ExplainJob",
        "ForecastJobs",
        "ForgetHost",
        "GetService",
        "InterruptInstance",
        "ListAttempts",
        "ListDeliveries",
        "ListEnvironments",
        "ListHosts",
        "ListInstances",
        "ListPastAttempts",
        "ListPastInstances",
        "ListQueues",
        "RunJob",
        "Shutdown",
    ]


@pytest.mark.parametrize("key", OPERATIONS, ids=".".join)
def test_refusals_reach_botocore_with_code_and_message(key: tuple[str, str]) -> None:
    operation = ROUTER.operations[key]
    response = operation.refuse(WireError("QuotaExceededException", "Größe <is> wrong."), REQUEST_ID)
    parsed = parsed_by_botocore(operation, response)
    error = {name: value for name, value in parsed["Error"].items() if name in ("Code", "Message")}
    assert error == {"Code": "QuotaExceededException", "Message": "Größe <is> wrong."}
    assert parsed["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert parsed["ResponseMetadata"]["RequestId"] == REQUEST_ID


@pytest.mark.parametrize(
    ("result", "member"),
    [
        ({"jobs": [{"jobId": "a", "colour": "red"}]}, r"DescribeJobs\.jobs\[0\]\.colour"),
        ({"jobs": [{"createdAt": "soon"}]}, r"jobs\[0\]\.createdAt must be an integer"),
        ({"jobs": [{"container": {"exitCode": 2**31}}]}, r"container\.exitCode must be an integer between"),
        ({"jobs": [{"jobName": None}]}, r"jobs\[0\]\.jobName must be a string"),
        ({"jobs": [{"tags": {"a": 1}}]}, r"tags\['a'\]"),
        ({"jobs": {}}, r"DescribeJobs\.jobs must be a list"),
        ({"nextToken": "x"}, r"DescribeJobs\.nextToken is not a member"),
    ],
)
def test_a_result_that_is_not_the_output_shape_is_our_own_fault(result: dict[str, object], member: str) -> None:
    with pytest.raises(AssertionError, match=member):
        ROUTER.operations["batch", "DescribeJobs"].serialise(result)


def test_an_error_has_the_status_of_the_services_model() -> None:
    """By the error's own code where it has one."""
    gone, taken = {"code": "Gone", "httpStatusCode": 404}, {"httpStatusCode": 409}
    document = {
        "metadata": {"endpointPrefix": "toy", "protocol": "json", "targetPrefix": "Toy"},
        "operations": {"Find": {"name": "Find", "http": {"method": "POST", "requestUri": "/"}}},
        "shapes": {
            "GoneException": {"type": "structure", "members": {}, "exception": True, "error": gone},
            "Taken": {"type": "structure", "members": {}, "exception": True, "error": taken},
            "Odd": {"type": "structure", "members": {}, "exception": True},
        },
    }
    operation = Router([build_service_model(document)]).operations["toy", "Find"]
    codes = ("Gone", "GoneException", "Taken", "Odd")
    assert [operation.status_of(code) for code in codes] == [404, None, 409, None]
