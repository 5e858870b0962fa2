"""Definitions of nodes merged with overrides (AWS Batch behaviour 8.2)."""

from typing import Any

from batchyard.core.tasks.node_tasks import bodies_of, merge_nodes


def properties(*ranges: dict[str, Any], count: int = 4) -> dict[str, Any]:
    return {"numNodes": count, "mainNode": 0, "nodeRangeProperties": list(ranges)}


def plain(target: str, *command: str) -> dict[str, Any]:
    return {"targetNodes": target, "container": {"image": "a", "command": list(command)}}


def test_overrides_change_the_ranges_that_they_name_and_the_number_of_nodes() -> None:
    change = {"targetNodes": "1:", "containerOverrides": {"command": ["y"]}}
    merged = merge_nodes(
        properties(plain("0", "x"), plain("1:", "x")), {"numNodes": 9, "nodePropertyOverrides": [change]}
    )
    assert merged["numNodes"] == 9
    assert [one["container"]["command"] for one in merged["nodeRangeProperties"]] == [["x"], ["y"]]
    assert [(each.nodes, each.body.container["command"]) for each in bodies_of(merged)] == [
        (((0, 1),), ["x"]),
        (((1, 9),), ["y"]),
    ]


def test_a_range_without_nodes_of_its_own_has_no_body() -> None:
    assert [each.nodes for each in bodies_of(properties(plain("1:2"), plain(":", "x"), plain("1:2", "y")))] == [
        ((0, 1), (3, 4)),
        ((1, 3),),
    ]


def test_tasks_of_several_containers_are_merged_by_name() -> None:
    containers = [{"name": name, "image": "a", "command": ["x"]} for name in ("one", "two")]
    node_range = {"targetNodes": ":", "ecsProperties": {"taskProperties": [{"containers": containers}]}}
    override = {"taskProperties": [{"containers": [{"name": "two", "command": ["y"]}]}]}
    merged = merge_nodes(
        properties(node_range), {"nodePropertyOverrides": [{"targetNodes": ":", "ecsPropertiesOverride": override}]}
    )
    (each,) = bodies_of(merged)
    assert [one["command"] for one in each.body.containers] == [["x"], ["y"]]


def test_pods_are_merged_by_the_names_of_their_containers() -> None:
    containers = [{"name": name, "image": "a", "command": ["x"]} for name in ("one", "two")]
    node_range = {"targetNodes": ":", "eksProperties": {"podProperties": {"containers": containers}}}
    override = {"podProperties": {"containers": [{"name": "two", "image": "b"}]}}
    merged = merge_nodes(
        properties(node_range), {"nodePropertyOverrides": [{"targetNodes": ":", "eksPropertiesOverride": override}]}
    )
    (each,) = bodies_of(merged)
    assert [one["image"] for one in each.body.pod["containers"]] == ["a", "b"]
    assert [one["image"] for one in containers] == ["a", "a"]
