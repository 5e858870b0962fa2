"""The variable by which a job knows that Step Functions waits for it, wherever its definition has containers."""

from __future__ import annotations

from typing import Any

from batchyard.server.workflows.managed_jobs import MANAGED, with_managed_environment

OWN = {"name": "A", "value": "1"}


def managed(request: dict[str, Any], **definition: Any) -> dict[str, Any]:
    return with_managed_environment(request, definition)


def test_a_container_gets_it_beside_its_own() -> None:
    request = {"jobName": "a", "containerOverrides": {"command": ["x"], "environment": [OWN]}}
    assert managed(request, containerProperties={}) == {
        "jobName": "a",
        "containerOverrides": {"command": ["x"], "environment": [OWN, MANAGED]},
    }
    assert managed({}, containerProperties={}) == {"containerOverrides": {"environment": [MANAGED]}}
    twice = managed(managed({}, containerProperties={}), containerProperties={})
    assert twice == {"containerOverrides": {"environment": [MANAGED]}}


def test_each_container_of_an_ecs_task_gets_it() -> None:
    task = {"containers": [{"name": "main"}, {"name": "side"}]}
    asked = {"taskProperties": [{"containers": [{"name": "side", "environment": [OWN]}, {"name": "none"}]}]}
    assert managed({"ecsPropertiesOverride": asked}, ecsProperties={"taskProperties": [task]}) == {
        "ecsPropertiesOverride": {
            "taskProperties": [
                {
                    "containers": [
                        {"name": "main", "environment": [MANAGED]},
                        {"name": "side", "environment": [OWN, MANAGED]},
                        {"name": "none"},
                    ]
                }
            ]
        }
    }


def test_each_node_range_gets_it_where_its_containers_are() -> None:
    ranges = [
        {"targetNodes": "0:1", "container": {}},
        {"targetNodes": "2:", "ecsProperties": {"taskProperties": [{"containers": [{"name": "m"}]}]}},
        {"targetNodes": "9", "eksProperties": {"podProperties": {}}},
    ]
    asked = {"numNodes": 5, "nodePropertyOverrides": [{"targetNodes": ":1", "containerOverrides": {"vcpus": 2}}]}
    assert managed({"nodeOverrides": asked}, nodeProperties={"nodeRangeProperties": ranges}) == {
        "nodeOverrides": {
            "numNodes": 5,
            "nodePropertyOverrides": [
                {"targetNodes": ":1", "containerOverrides": {"vcpus": 2, "environment": [MANAGED]}},
                {
                    "targetNodes": "2:",
                    "ecsPropertiesOverride": {
                        "taskProperties": [{"containers": [{"name": "m", "environment": [MANAGED]}]}]
                    },
                },
            ],
        }
    }


def test_pods_get_nothing() -> None:
    assert managed({"jobName": "a"}, eksProperties={"podProperties": {}}) == {"jobName": "a"}
