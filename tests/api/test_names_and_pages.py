"""A Describe by names or ids is not paged: AWS refuses the two together. A rule over every operation that is built."""

from collections.abc import Iterator
from typing import Any

import pytest

from batchyard.api.operations import OPERATIONS
from batchyard.wire.model import Shape, load_service_model
from tests.api.service import Service, refusal_of

PAGE_MEMBERS = ("maxResults", "MaxResults")
# Lists of texts that are no names of what is described.
OTHER_LISTS = {("ec2", "AllowedValues")}


def members(shape: Shape) -> tuple[list[str], list[str]]:
    """The page sizes and the lists of names of an input."""
    pages = [name for name in PAGE_MEMBERS if name in shape.members]
    lists = [
        name
        for name, member in shape.members.items()
        if member.shape.type == "list" and member.shape.element is not None and member.shape.element.type == "string"
    ]
    return pages, lists


def pairs() -> Iterator[tuple[str, str, str, str]]:
    for service, operation in OPERATIONS:
        shape = load_service_model(service).operations[operation].input
        if shape is None or not operation.startswith("Describe"):
            continue
        pages, lists = members(shape)
        yield from ((service, operation, names, page) for page in pages for names in lists)


PAIRS = list(pairs())
SAMPLE = {"InstanceIds": "i-0123456789abcdef0"}


@pytest.mark.parametrize(("service", "operation", "names", "page"), PAIRS, ids=[f"{o}-{n}" for _, o, n, _ in PAIRS])
def test_names_and_a_page_size_are_refused_together(
    service: str, operation: str, names: str, page: str, shared: Service
) -> None:
    request: dict[str, Any] = {names: [SAMPLE.get(names, "default")], page: 10}
    message = refusal_of(lambda: shared.call(operation, request))
    assert names.lower() in message.lower() or "instancesset" in message.lower(), message
    assert page.lower() in message.lower()


def test_the_rule_finds_the_describes_that_it_is_about() -> None:
    found = {(operation, names) for _, operation, names, _ in PAIRS}
    assert found >= {
        ("DescribeComputeEnvironments", "computeEnvironments"),
        ("DescribeJobQueues", "jobQueues"),
        ("DescribeJobDefinitions", "jobDefinitions"),
        ("DescribeInstances", "InstanceIds"),
    }


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        ("DescribeComputeEnvironments", "computeEnvironments"),
        ("DescribeJobQueues", "jobQueues"),
        ("DescribeJobDefinitions", "jobDefinitions"),
    ],
)
def test_what_clients_fill_in_without_a_meaning_is_taken(operation: str, names: str, shared: Service) -> None:
    """ParallelCluster sends an empty nextToken beside names; others send an empty list beside a page size."""
    capital = names[0].upper() + names[1:]
    shared.call(operation, {names: ["default"], "nextToken": ""})
    shared.call(operation, {names: [], "maxResults": 10})
    message = refusal_of(lambda: shared.call(operation, {names: ["default"], "maxResults": 1}))
    assert message == f"{capital} and MaxResults cannot both be set"
    message = refusal_of(lambda: shared.call(operation, {names: ["default"], "nextToken": "x"}))
    assert message == f"{capital} and NextToken cannot both be set"
