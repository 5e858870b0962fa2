"""Which refusals AWS sends without the words that it puts around the others (AWS Batch behaviour 1.2): SubmitJob's
look-ups, parameters without a value, and the dependency graph."""

from typing import Any

import pytest

from batchyard.core.model.refusal import Refused
from tests.api.service import Service, container

UNKNOWN = "00000000-0000-4000-8000-00000000dead"
BARE: list[dict[str, Any]] = [
    {"jobQueue": "nobody"},
    {"jobDefinition": "nobody"},
    {"jobDefinition": "sleeper:9"},
    {"jobDefinition": "refers"},
    {"dependsOn": [{"jobId": UNKNOWN}]},
    {"dependsOn": [{"jobId": UNKNOWN}] * 21},
    {"dependsOn": [{}]},
    {"dependsOn": [{"jobId": UNKNOWN, "type": "N_TO_N"}]},
    {"dependsOn": [{"jobId": UNKNOWN, "type": "N_TO_N"}], "arrayProperties": {"size": 2}},
    {"dependsOn": [{"type": "SEQUENTIAL"}]},
]
WRAPPED: list[dict[str, Any]] = [
    {"jobName": "no spaces"},
    {"arrayProperties": {"size": 1}},
    {"containerOverrides": {"command": [""]}},
    {"containerOverrides": {"resourceRequirements": [{"type": "VCPU", "value": "x"}]}},
    {"retryStrategy": {"attempts": 11}},
    {"timeout": {"attemptDurationSeconds": 1}},
    {"shareIdentifier": "a"},
    {"nodeOverrides": {"numNodes": 2}},
]


def refused(service: Service, **members: Any) -> Refused:
    service.register("refers", containerProperties=container(command=["echo", "Ref::what"]))
    with pytest.raises(Refused) as caught:
        service.submit(
            **({"definition": members.pop("jobDefinition")} if "jobDefinition" in members else {}), **members
        )
    return caught.value


@pytest.mark.parametrize("members", BARE, ids=str)
def test_look_ups_parameters_and_dependencies_are_refused_barely(members: dict[str, Any], shared: Service) -> None:
    assert refused(shared, **members).is_bare


@pytest.mark.parametrize("members", WRAPPED, ids=str)
def test_everything_else_is_not(members: dict[str, Any], shared: Service) -> None:
    names = {"name": members["jobName"]} if "jobName" in members else members
    assert not refused(shared, **names).is_bare
