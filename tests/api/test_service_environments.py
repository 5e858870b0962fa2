"""Service environments: made, changed, described, tagged, deleted."""

from typing import Any

import pytest

from tests.api.service import Service, refusal_of
from tests.api.training import ARN, INSTANCES, make_service_environment, restart

TYPES = [
    {"maxCapacity": 2, "capacityUnit": "ml.p5.48xlarge"},
    {"maxCapacity": 8, "capacityUnit": "ml.g5.xlarge"},
]


def described(service: Service, *names: str) -> list[dict[str, Any]]:
    return list(service.batch.describe_service_environments(serviceEnvironments=names)["serviceEnvironments"])


def test_a_service_environment_is_made_changed_and_deleted(service: Service) -> None:
    made = service.batch.create_service_environment(
        serviceEnvironmentName="training",
        serviceEnvironmentType="SAGEMAKER_TRAINING",
        capacityLimits=INSTANCES,
        tags={"Team": "data"},
    )
    arn = ARN + "service-environment/training"
    assert (made["serviceEnvironmentName"], made["serviceEnvironmentArn"]) == ("training", arn)
    assert described(service, arn, "unknown") == [
        {
            "serviceEnvironmentName": "training",
            "serviceEnvironmentArn": arn,
            "serviceEnvironmentType": "SAGEMAKER_TRAINING",
            "state": "ENABLED",
            "status": "VALID",
            "capacityLimits": INSTANCES,
            "tags": {"Team": "data"},
        }
    ]
    changed = service.batch.update_service_environment(serviceEnvironment=arn, capacityLimits=TYPES)
    assert (changed["serviceEnvironmentName"], changed["serviceEnvironmentArn"]) == ("training", arn)
    (found,) = described(service, "training")
    assert (found["state"], found["capacityLimits"]) == ("ENABLED", TYPES)
    service.batch.update_service_environment(serviceEnvironment="training", state="DISABLED")
    (found,) = described(service, "training")
    assert (found["state"], found["capacityLimits"]) == ("DISABLED", TYPES)
    service.batch.delete_service_environment(serviceEnvironment=arn)
    assert described(service, "training") == []
    make_service_environment(service)


def test_without_names_all_are_described_by_name(service: Service) -> None:
    for name in ("b", "a"):
        make_service_environment(service, name)
    found = service.batch.describe_service_environments()["serviceEnvironments"]
    assert [one["serviceEnvironmentName"] for one in found] == ["a", "b"]


def test_a_service_environment_outlives_a_restart(service: Service) -> None:
    make_service_environment(service, tags={"a": "1"})
    restart(service)
    assert refusal_of(lambda: service.call("CreateServiceEnvironment", REQUEST)) == "Object already exists"
    service.batch.update_service_environment(serviceEnvironment="training", state="DISABLED")
    (found,) = described(service, "training")
    assert (found["state"], found["tags"]) == ("DISABLED", {"a": "1"})
    service.batch.delete_service_environment(serviceEnvironment="training")
    restart(service)
    make_service_environment(service)


def test_tags_of_a_service_environment(service: Service) -> None:
    make_service_environment(service)
    arn = ARN + "service-environment/training"
    service.batch.tag_resource(resourceArn=arn, tags={"a": "1", "b": ""})
    service.batch.untag_resource(resourceArn=arn, tagKeys=["b"])
    assert service.batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "1"}
    assert described(service, "training")[0]["tags"] == {"a": "1"}
    unknown = ARN + "service-environment/unknown"
    assert refusal_of(lambda: service.call("ListTagsForResource", {"resourceArn": unknown})) == (
        f"Resource {unknown} does not exist."
    )


REQUEST: dict[str, Any] = {
    "serviceEnvironmentName": "training",
    "serviceEnvironmentType": "SAGEMAKER_TRAINING",
    "capacityLimits": INSTANCES,
}
EITHER = "Capacity units must specify either number of instances OR instance type"
LIMITS: list[tuple[list[dict[str, Any]], str]] = [
    ([], "Capacitylimits are required."),
    ([{"maxCapacity": 1, "capacityUnit": f"ml.m5.{n}xlarge"} for n in range(1, 7)],
     "Number of capacity limits exceeds 5."),
    ([{"maxCapacity": 0, "capacityUnit": "NUM_INSTANCES"}], "Max capacity must be more than 0."),
    ([{"capacityUnit": "NUM_INSTANCES"}], "Max capacity must be more than 0."),
    ([{"maxCapacity": 1}], EITHER),
    ([*INSTANCES, *TYPES], EITHER),
    ([{"maxCapacity": 1, "capacityUnit": "VCPU"}], "VCPU is unknown capacity unit"),
    ([{"maxCapacity": 1, "capacityUnit": "m5.large"}], "m5.large is unknown capacity unit"),
    ([TYPES[0], TYPES[0]], "Each capacity unit can have only one capacity limit."),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "message"), LIMITS)
def test_wrong_capacity_limits_are_refused(limits: list[dict[str, Any]], message: str, shared: Service) -> None:
    new = REQUEST | {"serviceEnvironmentName": "never", "capacityLimits": limits}
    assert refusal_of(lambda: shared.call("CreateServiceEnvironment", new)) == message
    assert described(shared, "never") == []
    changed = {"serviceEnvironment": "never", "capacityLimits": limits}
    assert refusal_of(lambda: shared.call("UpdateServiceEnvironment", changed)) == message


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("CreateServiceEnvironment", REQUEST | {"serviceEnvironmentName": "a b"},
         "Service environment name should match a valid pattern."),
        ("CreateServiceEnvironment", REQUEST | {"serviceEnvironmentType": "OTHER"},
         "serviceEnvironmentType must be one of [SAGEMAKER_TRAINING], got OTHER."),
        ("CreateServiceEnvironment", REQUEST | {"tags": {"aws:a": "b"}},
         "Tag key aws:a must not start with aws:: this prefix is reserved."),
        ("UpdateServiceEnvironment", {"serviceEnvironment": "nobody"}, "ServiceEnvironment nobody does not exist."),
        ("UpdateServiceEnvironment", {"serviceEnvironment": ""},
         "'serviceEnvironment' is a required field (cannot be an empty string)"),
        ("DeleteServiceEnvironment", {"serviceEnvironment": "nobody"}, "ServiceEnvironment nobody does not exist."),
        ("DescribeServiceEnvironments", {"serviceEnvironments": ["a"], "maxResults": 1},
         "ServiceEnvironments and MaxResults cannot both be set"),
    ],
)  # fmt: skip
def test_what_is_refused(operation: str, request_: dict[str, Any], message: str, shared: Service) -> None:
    assert refusal_of(lambda: shared.call(operation, request_)) == message


def test_an_enabled_service_environment_is_not_deleted(service: Service) -> None:
    make_service_environment(service)
    assert refusal_of(lambda: service.call("DeleteServiceEnvironment", {"serviceEnvironment": "training"})) == (
        "Cannot delete, service environment training must be DISABLED first."
    )
    assert described(service, "training")
