"""The client: signatures, kept connections, and one sentence for each thing that goes wrong."""

import re
import socket
from collections.abc import Iterable

import pytest

from batchyard.api.service_descriptor import ServiceDescriptor
from batchyard.api.services import SERVICES
from batchyard.cli.client import (
    LOGS,
    SCHEDULER,
    YARD,
    Client,
    ClientError,
    ServiceError,
    UnreachableError,
    located,
    operation_address,
)
from batchyard.cli.endpoint import Credentials, Endpoint, find_endpoint
from batchyard.wire.messages import Request
from batchyard.wire.model import Member
from batchyard.wire.router import Router
from batchyard.wire.sigv4 import parse_authorization, verify
from tests.cli.conftest import Invoke
from tests.cli.stub import Refusal, Stub


def client_of(stub: Stub, *credentials: Credentials) -> Client:
    return Client(Endpoint(stub.url, "us-east-1", credentials or (Credentials("AKID", "secret"),)))


def test_requests_are_signed_by_service_and_carry_an_invocation_id(stub: Stub) -> None:
    client = client_of(stub)
    client.call("DescribeJobQueues", {})
    stub.logs["s"] = []
    client.call("GetLogEvents", {"logGroupName": "g", "logStreamName": "s"}, LOGS)
    client.call("RunJob", {"command": ["true"]}, YARD)
    client.close()
    scopes = [parse_authorization(headers).service for headers in stub.headers]
    assert scopes == ["batch", "logs", "yard"]
    authorization = parse_authorization(stub.headers[0])
    request = Request("POST", b"/v1/describejobqueues", b"", stub.headers[0], b"{}")
    verify(request, authorization, "secret", authorization.signed_at_ms)
    assert len({headers["amz-sdk-invocation-id"] for headers in stub.headers}) == 3


def test_a_kept_connection_that_was_closed_is_opened_again(stub: Stub) -> None:
    stub.close_connections = True
    client = client_of(stub)
    for _ in range(3):
        assert client.call("DescribeJobQueues", {})["jobQueues"]
    client.close()


def test_an_unknown_key_gives_way_to_the_next(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = stub.answer

    def strict(operation: str, request: dict[str, object]) -> dict[str, object]:
        if parse_authorization(stub.headers[-1]).access_key != "OPERATOR":
            raise Refusal("UnrecognizedClientException", "The security token is invalid.", 403)
        return answer(operation, request)

    monkeypatch.setattr(stub, "answer", strict)
    client = client_of(stub, Credentials("AKIA", "x"), Credentials("OPERATOR", "y"))
    assert client.call("DescribeJobQueues", {})["jobQueues"]
    client.close()
    alone = client_of(stub, Credentials("AKIA", "x"))
    with pytest.raises(ServiceError, match=r"The security token is invalid\. \(UnrecognizedClientException\)"):
        alone.call("DescribeJobQueues", {})
    alone.close()


def test_refusals_are_unwrapped(stub: Stub) -> None:
    stub.refused["DescribeJobQueues"] = Refusal(
        "ClientException", "Error executing request, Exception : no such queue, RequestId: 0a-1b"
    )
    client = client_of(stub)
    with pytest.raises(ServiceError) as refusal:
        client.call("DescribeJobQueues", {})
    assert (refusal.value.code, refusal.value.message) == ("ClientException", "no such queue")
    with pytest.raises(ServiceError) as missing:
        client.call("GetLogEvents", {"logGroupName": "g", "logStreamName": "none"}, LOGS)
    assert missing.value.code == "ResourceNotFoundException"
    client.close()


class HeardError(Exception):
    """The client waits, and said so."""


def hear(text: str) -> None:
    raise HeardError(text)


def test_nobody_there_is_one_sentence_with_the_remedy(invoke: Invoke) -> None:
    with socket.socket() as taken:  # bound, not listening: a connection is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = invoke("jobs", "--url", url)
        client = Client(find_endpoint(url, {}))
        client.patience_seconds = 0.01
        with pytest.raises(UnreachableError):
            client.call("DescribeJobQueues", {})
        client.patience_seconds = 3600  # it is heard at the first wait, however slow this machine is
        client.on_wait = hear
        with pytest.raises(HeardError, match=re.escape(f"No answer from Batchyard at {url}. Trying again.")):
            client.call("DescribeJobQueues", {})
    assert result.exit_code == 1
    wanted = f"Cannot reach Batchyard at {url}: Connection refused. Start it with: batchyard up\n"
    assert result.stderr == wanted


@pytest.mark.parametrize("url", ["nonsense", "ftp://there", "http://there:port"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ClientError, match="is not a URL of a service"):
        Client(find_endpoint(url, {}))


def test_another_server_is_recognised(invoke: Invoke, stub: Stub) -> None:
    stub.refused["DescribeJobQueues"] = Refusal("", "Not Found", 404)
    result = invoke("jobs")
    assert result.exit_code == 1
    assert "does not answer as Batchyard does (HTTP 404)" in result.stderr


def _members(service: ServiceDescriptor, operation: str) -> Iterable[Member]:
    shape = service.model.operations[operation].input
    return () if shape is None else shape.members.values()


def test_members_of_rest_json_are_where_the_model_has_them() -> None:
    request = {"Name": "a/b", "GroupName": "c d", "ScheduleExpression": "x"}
    assert located("scheduler", "GetSchedule", "/schedules/{Name}", request)[:2] == (
        "GET",
        "/schedules/a%2Fb?groupName=c%20d",
    )
    assert located("scheduler", "CreateSchedule", "/schedules/{Name}", request) == (
        "POST",
        "/schedules/a%2Fb",
        {"GroupName": "c d", "ScheduleExpression": "x"},
    )


def test_each_operation_is_called_where_the_service_answers_it() -> None:
    router = Router([service.model for service in SERVICES.values()])
    called = []
    for service in SERVICES.values():
        if service.model.protocol not in ("json", "rest-json"):
            continue
        for operation in service.operations:
            signing_name, path, headers = operation_address(service.name, operation)
            labels = [one.name for one in _members(service, operation) if one.location == "uri"]
            if service.name != SCHEDULER and labels:
                continue  # a path with a resource in it, which no command calls
            method, path, _ = located(service.name, operation, path, dict.fromkeys(labels, "a/b"))
            headers = {name.lower(): value for name, value in headers.items()}
            found = router.match(method, path.encode(), headers)
            assert found is router.operations[service.name, operation]
            assert signing_name == service.model.signing_name
            called.append((service.name, operation))
    assert {("batch", "ListJobs"), ("logs", "GetLogEvents"), ("secretsmanager", "ListSecrets"), ("yard", "RunJob")} <= {
        *called
    }
