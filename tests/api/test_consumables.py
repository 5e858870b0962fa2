"""Consumable resources over the API: made, changed, described, listed, tagged, deleted, and taken by jobs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.service import Service, container, refusal_of
from tests.api.training import ARN, restart

LICENCE = ARN + "consumable-resource/licence"


def make(service: Service, name: str = "licence", total: int = 5, **members: Any) -> None:
    service.batch.create_consumable_resource(consumableResourceName=name, totalQuantity=total, **members)


def described(service: Service, name: str = "licence") -> dict[str, Any]:
    answer: dict[str, Any] = service.batch.describe_consumable_resource(consumableResource=name)
    return {member: value for member, value in answer.items() if member != "ResponseMetadata"}


def taking(service: Service, quantity: int, resource: str = "licence", name: str = "work") -> str:
    entries = [{"consumableResource": resource, "quantity": quantity}]
    return service.register(
        name, containerProperties=container(), consumableResourceProperties={"consumableResourceList": entries}
    )


def test_a_resource_is_made_changed_and_deleted(service: Service) -> None:
    made = service.batch.create_consumable_resource(
        consumableResourceName="licence", totalQuantity=5, resourceType="REPLENISHABLE", tags={"Team": "data"}
    )
    assert (made["consumableResourceName"], made["consumableResourceArn"]) == ("licence", LICENCE)
    expected = {
        "consumableResourceName": "licence",
        "consumableResourceArn": LICENCE,
        "totalQuantity": 5,
        "inUseQuantity": 0,
        "availableQuantity": 5,
        "resourceType": "REPLENISHABLE",
        "createdAt": service.now_ms,
        "tags": {"Team": "data"},
    }
    assert described(service) == described(service, LICENCE) == expected
    changed = service.batch.update_consumable_resource(consumableResource=LICENCE, operation="ADD", quantity=3)
    assert (changed["consumableResourceArn"], changed["totalQuantity"]) == (LICENCE, 8)
    restart(service)
    assert described(service)["totalQuantity"] == 8
    service.batch.delete_consumable_resource(consumableResource="licence")
    assert "ConsumableResource licence does not exist." in refusal_of(
        lambda: service.call("DescribeConsumableResource", {"consumableResource": "licence"})
    )
    make(service, total=0, resourceType="NON_REPLENISHABLE")
    assert described(service)["resourceType"] == "NON_REPLENISHABLE"


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("CreateConsumableResource", {"consumableResourceName": "a b"}, "ConsumableResource name should match a valid"),
        ("CreateConsumableResource", {"consumableResourceName": "a", "totalQuantity": -1},
         "totalQuantity cannot be a negative number."),
        ("CreateConsumableResource", {"consumableResourceName": "a", "totalQuantity": 1 << 63},
         "totalQuantity cannot be more than"),
        ("CreateConsumableResource", {"consumableResourceName": "a", "resourceType": "OTHER"},
         "resourceType must be one of [REPLENISHABLE, NON_REPLENISHABLE], got 'OTHER'."),
        ("CreateConsumableResource", {"consumableResourceName": "licence"}, "Object already exists"),
        ("UpdateConsumableResource", {"consumableResource": "licence", "operation": "SET"}, "needs a quantity"),
        ("UpdateConsumableResource", {"consumableResource": "licence", "operation": "DOUBLE", "quantity": 1},
         "operation must be one of [SET, ADD, REMOVE], got 'DOUBLE'."),
        ("UpdateConsumableResource", {"consumableResource": "licence", "quantity": 1}, "operation must be one of"),
        ("UpdateConsumableResource", {"consumableResource": "licence", "operation": "SET", "quantity": -1},
         "quantity cannot be a negative number, got -1."),
        ("UpdateConsumableResource", {"consumableResource": "licence", "operation": "REMOVE", "quantity": 6},
         "totalQuantity cannot be a negative number."),
        ("UpdateConsumableResource",
         {"consumableResource": "licence", "operation": "ADD", "quantity": 1, "clientToken": "t" * 65},
         "clientToken must have at most 64 characters, got 65."),
        ("UpdateConsumableResource", {"consumableResource": "none", "operation": "ADD", "quantity": 1},
         "ConsumableResource none does not exist."),
        ("DeleteConsumableResource", {"consumableResource": "none"}, "ConsumableResource none does not exist."),
        ("DescribeConsumableResource", {"consumableResource": ""}, "'consumableResource' is a required field"),
        ("ListJobsByConsumableResource", {"consumableResource": "licence",
                                          "filters": [{"name": "JOB_STATUS", "values": ["BUSY"]}]},
         "JOB_STATUS must be one of [SUBMITTED, "),
        ("ListConsumableResources", {"filters": [{"name": "NAME", "values": ["a"]}]},
         "Filter name must be one of [CONSUMABLE_RESOURCE_NAME], got 'NAME'."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(service: Service, operation: str, request_: dict[str, Any], message: str) -> None:
    make(service)
    assert message in refusal_of(lambda: service.call(operation, request_))
    assert described(service)["totalQuantity"] == 5


def test_resources_are_listed_in_pages_and_by_the_beginning_of_a_name(service: Service) -> None:
    for name in ("licence-a", "Licence-b", "other"):
        make(service, name, 3)

    def names(**request: Any) -> list[str]:
        pages = service.batch.get_paginator("list_consumable_resources").paginate(**request)
        return [one["consumableResourceName"] for page in pages for one in page["consumableResources"]]

    assert names(PaginationConfig={"PageSize": 1}) == ["Licence-b", "licence-a", "other"]
    wanted = [{"name": "CONSUMABLE_RESOURCE_NAME", "values": ["LICENCE*"]}]
    assert names(filters=wanted) == ["Licence-b", "licence-a"]
    for value, expected in (("licence-B", ["Licence-b"]), ("*", ["Licence-b", "licence-a", "other"]), ("", [])):
        assert names(filters=[{"name": "CONSUMABLE_RESOURCE_NAME", "values": [value]}]) == expected
    (first, *_) = service.batch.list_consumable_resources()["consumableResources"]
    assert first == {
        "consumableResourceArn": ARN + "consumable-resource/Licence-b",
        "consumableResourceName": "Licence-b",
        "totalQuantity": 3,
        "inUseQuantity": 0,
        "resourceType": "REPLENISHABLE",
    }


def test_a_client_token_applies_an_update_once(service: Service) -> None:
    make(service)
    for _ in range(2):
        answer = service.batch.update_consumable_resource(
            consumableResource="licence", operation="ADD", quantity=1, clientToken="once"
        )
        assert answer["totalQuantity"] == 6
    other = {"consumableResource": "licence", "operation": "ADD", "quantity": 2, "clientToken": "once"}
    assert refusal_of(lambda: service.call("UpdateConsumableResource", other)) == (
        "The clientToken once was used for another update of ConsumableResource licence, ADD 1: use another one for "
        "each update."
    )
    assert described(service)["totalQuantity"] == 6


@pytest.mark.parametrize("name", ["a b", "a" * 129, ARN + "job-queue/licence", ARN + "consumable-resource/"])
def test_what_no_resource_can_be_called_is_refused_where_jobs_ask_for_it(service: Service, name: str) -> None:
    asked = {"consumableResourceList": [{"consumableResource": name, "quantity": 1}]}
    wrong = "ConsumableResource name should match a valid pattern."
    assert refusal_of(lambda: taking(service, 1, name)) == wrong
    definition = service.register("work", containerProperties=container())
    assert refusal_of(lambda: service.submit(definition, consumableResourcePropertiesOverride=asked)) == wrong


def test_jobs_take_what_their_definition_or_the_submission_says(service: Service) -> None:
    make(service, total=3)
    definition = taking(service, 2)
    first, second = service.submit(definition), service.submit(definition)
    override = {"consumableResourceList": [{"consumableResource": LICENCE, "quantity": 3}]}
    third = service.submit(definition, consumableResourcePropertiesOverride=override)
    service.start(first)
    assert described(service)["availableQuantity"] == 1
    assert [service.detail(job)["status"] for job in (first, second, third)] == ["RUNNING", "RUNNABLE", "RUNNABLE"]
    expected = {"consumableResourceList": [{"consumableResource": LICENCE, "quantity": 2}]}
    assert service.detail(first)["consumableResourceProperties"] == expected
    answer = service.call("ExplainJob", {"jobId": second})
    assert answer["wait"] == "CONSUMABLE_RESOURCE"
    assert f"1 of 3 are free. It is held by {first} (2)." in answer["text"]
    jobs = service.batch.list_jobs_by_consumable_resource(consumableResource="licence")["jobs"]
    assert [(one["jobArn"], one["jobStatus"], one["quantity"]) for one in jobs] == [
        (ARN + f"job/{first}", "RUNNING", 2),
        (ARN + f"job/{second}", "RUNNABLE", 2),
        (ARN + f"job/{third}", "RUNNABLE", 3),
    ]
    assert jobs[0]["consumableResourceProperties"] == expected
    assert jobs[0]["jobDefinitionArn"] == ARN + "job-definition/work:1"
    assert jobs[0]["jobQueueArn"] == ARN + "job-queue/default"
    assert jobs[0]["startedAt"] >= jobs[0]["createdAt"]
    service.end(first)
    assert [service.detail(job)["status"] for job in (first, second)] == ["SUCCEEDED", "STARTING"]


def test_jobs_of_a_resource_are_filtered_and_come_in_pages(service: Service) -> None:
    make(service, total=2)
    definition = taking(service, 1)
    jobs = [service.submit(definition, jobName=f"step-{number}") for number in range(5)]

    def ids(**request: Any) -> list[str]:
        pages = service.batch.get_paginator("list_jobs_by_consumable_resource").paginate(
            consumableResource="licence", **request
        )
        return [one["jobArn"].rpartition("/")[2] for page in pages for one in page["jobs"]]

    assert ids(PaginationConfig={"PageSize": 2}) == jobs
    assert ids(filters=[{"name": "JOB_STATUS", "values": ["RUNNABLE"]}], PaginationConfig={"PageSize": 1}) == jobs[2:]
    assert ids(filters=[{"name": "JOB_NAME", "values": ["STEP-3"]}]) == [jobs[3]]
    assert ids(filters=[{"name": "JOB_NAME", "values": ["step*"]}]) == jobs
    answer = service.call("ListJobsByConsumableResource", {"consumableResource": "licence", "nextToken": ""})
    assert len(answer["jobs"]) == 5, "an empty token is none"


def test_a_resource_is_tagged(service: Service) -> None:
    make(service, tags={"a": "1"})
    service.batch.tag_resource(resourceArn=LICENCE, tags={"b": "2"})
    service.batch.untag_resource(resourceArn=LICENCE, tagKeys=["a"])
    assert service.batch.list_tags_for_resource(resourceArn=LICENCE)["tags"] == {"b": "2"}
    assert described(service)["tags"] == {"b": "2"}
