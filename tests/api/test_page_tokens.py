"""Page tokens of every operation that answers in pages: cut, made up, or taken to another request they are refused with
the service's own error."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from batchyard.api import page_tokens
from batchyard.api.operations import OPERATIONS
from batchyard.api.services import SERVICES
from batchyard.api.sns.requests import PAGE
from batchyard.core.model.refusal import Refused
from batchyard.wire.model import Shape, load_service_model
from tests.api import executions
from tests.api.service import START_MS, Service
from tests.api.test_paginators import GROUP, MANY, WALKS, Walk, ran
from tests.waiting import until

Document = dict[str, Any]
PAGED = {
    (service, operation): member
    for service in sorted({service for service, _ in OPERATIONS})
    for operation, member in SERVICES[service].token_members.items()
    if (service, operation) in OPERATIONS
}
LARGE = 1 << 20
QUERY_SECONDS = 30.0
BASIC = {"Username": "u", "Password": "p"}


def buses(service: Service) -> Document:
    for number in range(MANY):
        service.client("events").create_event_bus(Name=f"bus-{number}")
    return {}


def connections(service: Service) -> Document:
    for number in range(MANY):
        service.client("events").create_connection(
            Name=f"connection-{number}", AuthorizationType="BASIC", AuthParameters={"BasicAuthParameters": BASIC}
        )
    return {}


def api_destinations(service: Service) -> Document:
    connections(service)
    arn = service.client("events").describe_connection(Name="connection-0")["ConnectionArn"]
    for number in range(MANY):
        service.client("events").create_api_destination(
            Name=f"destination-{number}", ConnectionArn=arn, InvocationEndpoint="http://127.0.0.1:1/", HttpMethod="POST"
        )
    return {}


def query_definitions(service: Service) -> Document:
    for number in range(MANY):
        service.client("logs").put_query_definition(name=f"query-{number}", queryString="fields @message")
    return {}


def log_groups(service: Service) -> Document:
    for number in range(MANY):
        service.client("logs").create_log_group(logGroupName=f"/group-{number}")
    return {}


def query_results(service: Service) -> Document:
    logs = service.client("logs")
    log_groups(service)
    logs.create_log_stream(logGroupName="/group-0", logStreamName="s")
    events = [{"timestamp": START_MS + number, "message": f"line {number}"} for number in range(MANY)]
    logs.put_log_events(logGroupName="/group-0", logStreamName="s", logEvents=events)
    span = {"startTime": START_MS // 1000 - 60, "endTime": START_MS // 1000 + 60}
    query_id = logs.start_query(logGroupName="/group-0", queryString="fields @message", **span)["queryId"]
    until(lambda: logs.get_query_results(queryId=query_id)["status"] == "Complete", QUERY_SECONDS, "the query")
    return {"queryId": query_id}


def topics(service: Service) -> Document:
    for number in range(PAGE + 1):
        service.client("sns").create_topic(Name=f"topic-{number}")
    return {}


def subscriptions(service: Service) -> Document:
    arn = service.client("sns").create_topic(Name="topic")["TopicArn"]
    for number in range(PAGE + 1):
        service.client("sns").subscribe(TopicArn=arn, Protocol="http", Endpoint=f"http://127.0.0.1:1/{number}")
    return {}


def subscriptions_of_topic(service: Service) -> Document:
    subscriptions(service)
    return {"TopicArn": service.client("sns").create_topic(Name="topic")["TopicArn"]}


def past_attempts(service: Service) -> Document:
    jobs = [service.submit() for _ in range(MANY)]
    for job_id in jobs:
        service.end(job_id)
    return {"since": 0, "until": 2 * START_MS}


def versions(service: Service) -> Document:
    executions.make_machine(service)
    states = service.client("stepfunctions")
    for number in range(MANY):
        definition = executions.DEFINITION.replace("{", f'{{"Comment": "{number}", ', 1)
        states.update_state_machine(stateMachineArn=executions.MACHINE, definition=definition, publish=True)
    return {"stateMachineArn": executions.MACHINE}


def aliases(service: Service) -> Document:
    request = versions(service)
    routes = [{"stateMachineVersionArn": f"{executions.MACHINE}:1", "weight": 100}]
    for number in range(MANY):
        service.client("stepfunctions").create_state_machine_alias(name=f"alias-{number}", routingConfiguration=routes)
    return request


# Those for which botocore has no paginator, and those whose pages are too large for the walks of paginators.
MORE_WALKS = {
    ("events", "ListApiDestinations"): Walk(api_destinations),
    ("events", "ListConnections"): Walk(connections),
    ("events", "ListEventBuses"): Walk(buses),
    ("logs", "DescribeQueryDefinitions"): Walk(query_definitions),
    ("logs", "GetQueryResults"): Walk(query_results),
    ("logs", "ListLogGroups"): Walk(log_groups),
    ("states", "ListStateMachineVersions"): Walk(versions),
    ("states", "ListStateMachineAliases"): Walk(aliases),
    ("yard", "ListPastAttempts"): Walk(past_attempts),
    ("sns", "ListTopics"): Walk(topics),
    ("sns", "ListSubscriptions"): Walk(subscriptions),
    ("sns", "ListSubscriptionsByTopic"): Walk(subscriptions_of_topic),
}
ALL_WALKS = WALKS | MORE_WALKS


def test_every_operation_with_pages_is_walked() -> None:
    assert set(PAGED) == set(ALL_WALKS)


def code_of(service: Service, key: tuple[str, str], request: Document) -> str:
    try:
        service.call(key[1], request)
    except Refused as refusal:
        return refusal.code
    return ""


def first_page(service: Service, key: tuple[str, str]) -> tuple[Document, str]:
    """A request of which there are more pages, and the token of the second."""
    walk = ALL_WALKS[key]
    request = walk.prepare(service)
    members = inputs(key)
    request = request | {name: walk.sizes[0] for name in members if name in page_tokens.PAGE_SIZES}
    token = service.call(key[1], request)[PAGED[key]]
    assert isinstance(token, str)
    return request, token


def inputs(key: tuple[str, str]) -> dict[str, Shape]:
    shape = load_service_model(key[0]).operations[key[1]].input
    assert shape is not None
    return {name: member.shape for name, member in shape.members.items()}


def other_value(shape: Shape, now: Any) -> Any:
    """Something else than `now` that the shape takes."""
    if shape.type == "string":
        return next(one for one in (*shape.enum, "other", "others") if one != now)
    if shape.type == "boolean":
        return not now
    if shape.type in ("integer", "long", "timestamp"):
        return (now or 0) + 1
    if shape.type == "list":
        assert shape.element is not None
        return [*(now or []), other_value(shape.element, None)]
    return {}


@pytest.mark.parametrize("key", sorted(PAGED), ids=".".join)
def test_only_the_token_that_was_given_goes_on(service: Service, key: tuple[str, str]) -> None:
    request, token = first_page(service, key)
    member = PAGED[key]
    bad = SERVICES[key[0]].bad_token_code
    assert code_of(service, key, request | {member: token}) == ""
    larger = {name: request[name] + 1 for name in request if name in page_tokens.PAGE_SIZES}
    assert code_of(service, key, {**request, member: token, **larger}) == ""
    cursor = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[page_tokens.PROOF_BYTES :]
    made_up = [
        *(token[:length] for length in range(1, len(token), 7)),
        token[1:],
        token + "A",
        token[::-1],
        "x",
        "é",
        "\0",
        "null",
        base64.urlsafe_b64encode(cursor).decode(),
        base64.urlsafe_b64encode(bytes(page_tokens.PROOF_BYTES) + cursor).decode(),
        page_tokens.seal(b"another service", *key, request, cursor.decode()),
        page_tokens.seal(b"", key[0], "AnotherOperation", request, cursor.decode()),
    ]
    for wrong in made_up:
        assert code_of(service, key, request | {member: wrong}) == bad, wrong[:100]
    for large in ("A" * LARGE, token * (LARGE // len(token))):  # where the model has a length, it is too long by that
        assert code_of(service, key, request | {member: large}) in (bad, SERVICES[key[0]].invalid_code)


@pytest.mark.parametrize("key", sorted(PAGED), ids=".".join)
def test_a_token_belongs_to_its_parameters(service: Service, key: tuple[str, str]) -> None:
    request, token = first_page(service, key)
    fixed = {PAGED[key], *page_tokens.PAGE_SIZES}
    for name, shape in inputs(key).items():
        if name not in fixed:
            changed = request | {name: other_value(shape, request.get(name)), PAGED[key]: token}
            with pytest.raises(Refused):
                service.call(key[1], changed)


def test_a_place_in_a_log_belongs_to_its_stream(service: Service) -> None:
    first, second, *_ = ran(service)
    request = {"logGroupName": GROUP, "logStreamName": first, "limit": 1}
    token = service.call("GetLogEvents", request)["nextBackwardToken"]
    key = ("logs", "GetLogEvents")
    assert code_of(service, key, request | {"nextToken": token, "limit": 2, "startTime": 1}) == ""
    wrong = [
        token.replace("b/", "f/"),
        token[:-1] + str((int(token[-1]) + 1) % 10),
        token[:-1],
        token + "0",
        "b/" + "0" * 56,
        "b/" + "9" * 5000,
        "x",
    ]
    for each in wrong:
        assert code_of(service, key, request | {"nextToken": each}) == "InvalidParameterException", each[:100]
    assert code_of(service, key, request | {"logStreamName": second, "nextToken": token}) == "InvalidParameterException"
