"""nodeProperties and nodeOverrides: what is refused, what is kept, what submitting says (AWS Batch behaviour 8)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.tasks.node_ranges import Target, parse_target
from tests.api.service import Service, container, refusal_of

POD: dict[str, Any] = {"podProperties": {"containers": [{"image": "a"}]}}


def plain(target: str, **members: Any) -> dict[str, Any]:
    return {"targetNodes": target, "container": container(**members)}


def several(target: str, **members: Any) -> dict[str, Any]:
    task = {"containers": [container(name="x"), container(name="y")]}
    return {"targetNodes": target, "ecsProperties": {"taskProperties": [task]}} | members


def pod(target: str, **metadata: str) -> dict[str, Any]:
    properties = POD["podProperties"] | ({"metadata": metadata} if metadata else {})
    return {"targetNodes": target, "eksProperties": {"podProperties": properties}}


def nodes(*ranges: dict[str, Any], count: int = 4, main: int = 0) -> dict[str, Any]:
    found = list(ranges) or [plain("0:")]
    return {"nodeProperties": {"numNodes": count, "mainNode": main, "nodeRangeProperties": found}}


BEYOND = "Node range should be smaller than number of nodes"

# fmt: off
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({}, "Node properties of multinode job is required."),
    (nodes() | {"containerProperties": container()}, "Cannot use both nodeProperties and containerProperties"),
    (nodes() | {"ecsProperties": {"taskProperties": []}}, "Cannot use both nodeProperties and ecsProperties"),
    (nodes() | {"eksProperties": POD}, "Cannot use both nodeProperties and eksProperties"),
    (nodes(count=0), "Number of nodes must be between 1 and 1000."),
    (nodes(count=1001), "Number of nodes must be between 1 and 1000."),
    (nodes(main=4), "Main node index is out of range, must be less than numNodes."),
    (nodes(main=-1), "Main node index is out of range, must be less than numNodes."),
    (nodes(*[plain("0:")] * 6), "Maximum allowed size of node range properties is 5"),
    # the range grammar
    *((nodes(plain(target)), "targetNodes should contain only digits.")
      for target in ("", "0-3", "a", "0:1:2", "-1", "1,2", "0: 3", "０")),  # noqa: RUF001
    (nodes(plain("0:4")), f"Node range error 0:4. {BEYOND}"),
    (nodes(plain("4")), f"Node range error 4. {BEYOND}"),
    (nodes(plain("9:")), f"Node range error 9:. {BEYOND}"),
    (nodes(plain("0:" + "9" * 40)), f"Node range error 0:{'9' * 40}. {BEYOND}"),
    (nodes(plain(":"), plain("3:1")), "Node range error 3:1. The first node must not be behind the last."),
    (nodes(plain("1:")), "Node Range Properties target nodes have missing ranges"),
    (nodes(plain("0:1"), plain("3")), "Node Range Properties target nodes have missing ranges"),
    # what a range holds
    (nodes({"targetNodes": ":"}), "Must specify container for node range :"),
    (nodes(plain(":") | {"ecsProperties": {"taskProperties": []}}),
     "NodeRangeProperties can not use both ecsProperties and container fields"),
    (nodes(plain(":") | {"instanceTypes": ["c5.large"]}),
     "Using instanceTypes with nodeRangeProperty is only allowed for ecsProperties jobs."),
    (nodes(several(":", instanceTypes=["c5.large", "c5.xlarge"])),
     "instanceTypes of a node range must hold at most 1 entry, got 2."),
    (nodes(plain("0", instanceType="c5.large"), plain("1:", instanceType="m5.large")),
     "All node ranges must use the same instance type, got c5.large, m5.large."),
    (nodes(several("0", instanceTypes=["c5.large"]), several("1:", instanceTypes=["m5.large"])),
     "All node ranges must use the same instance type, got c5.large, m5.large."),
    (nodes(plain(":", image="")), "ECS Container Image must be provided."),
    (nodes(plain(":", runtimePlatform={})), "runtimePlatform is not applicable for EC2."),
    (nodes({"targetNodes": ":", "ecsProperties": {"taskProperties": []}}),
     "ecsProperties.taskProperties must hold exactly 1 task, got 0."),
    (nodes({"targetNodes": ":", "eksProperties": {}}), "Containers must be provided for Batch on EKS jobs."),
    (nodes(pod("0"), plain("1:")), "Either all node ranges use eksProperties, or none does."),
    (nodes(pod("0", namespace="a"), pod("1:", namespace="b")),
     "The namespace of the pod's metadata must be the same in all node ranges."),
    (nodes(pod(":")) | {"propagateTags": True}, "Batch on EKS does not support tag propagation."),
    (nodes(plain(":") | {"consumableResourceProperties": {
        "consumableResourceList": [{"consumableResource": "a", "quantity": 1}] * 2}}),
     "Cannot have duplicate consumableResource in consumableResourceProperties"),
    # platforms
    (nodes() | {"platformCapabilities": ["FARGATE"]}, "Fargate does not support MNP jobs"),
    (nodes() | {"platformCapabilities": ["MANAGED_INSTANCES"]}, "MANAGED_INSTANCES does not support MNP jobs"),
]
# fmt: on


@pytest.mark.parametrize(("members", "message"), REFUSALS, ids=[message[:60] for _, message in REFUSALS])
def test_nodes_are_refused_with_their_text(members: dict[str, Any], message: str, shared: Service) -> None:
    request = {"jobDefinitionName": "refused", "type": "multinode"} | members
    before = len(shared.asked)
    assert refusal_of(lambda: shared.call("RegisterJobDefinition", request)) == message
    assert len(shared.asked) == before, "a refused request reached the machine"


def test_nodes_need_their_type(shared: Service) -> None:
    request = {"jobDefinitionName": "refused", "type": "container"} | nodes()
    message = refusal_of(lambda: shared.call("RegisterJobDefinition", request))
    assert message == (
        "ECS ContainerProperties, ecsProperties, or eksProperties is required when using type container."
    )
    both = request | {"containerProperties": {"image": "any", "vcpus": 1, "memory": 4}}
    message = refusal_of(lambda: shared.call("RegisterJobDefinition", both))
    assert message == "nodeProperties can only be used with type multinode."


ACCEPTED = [
    nodes(),
    nodes(count=1),
    nodes(plain("0:999"), count=1000, main=999),
    nodes(plain("0"), plain("1:")),
    nodes(plain(":1"), plain("2:3")),
    nodes(plain("0:10"), plain("4:5"), count=11),  # nested: the inner one wins
    nodes(plain("0:2"), plain("1:3")),
    nodes(plain("0", instanceType="c5.large"), plain("1:", instanceType="c5.large")),
    nodes(several(":", instanceTypes=["c5.large"])),
    nodes(plain("0"), several("1:")),
    nodes(pod("0", namespace="a"), pod("1:", namespace="a")),
    nodes() | {"platformCapabilities": ["EC2"]},
]


@pytest.mark.parametrize("members", ACCEPTED, ids=str)
def test_nodes_are_accepted_and_described(members: dict[str, Any], shared: Service) -> None:
    answer = shared.batch.register_job_definition(**{"jobDefinitionName": "nodes", "type": "multinode"} | members)
    asked = [f"nodes:{answer['revision']}"]
    (found,) = shared.batch.describe_job_definitions(jobDefinitions=asked)["jobDefinitions"]
    sent, described = members["nodeProperties"], found["nodeProperties"]
    assert (described["numNodes"], described["mainNode"]) == (sent["numNodes"], sent["mainNode"])
    for before, after in zip(sent["nodeRangeProperties"], described["nodeRangeProperties"], strict=True):
        assert after.keys() == before.keys()
        assert after["targetNodes"] == before["targetNodes"]
        if "container" in before:
            assert {member: after["container"][member] for member in before["container"]} == before["container"]
            assert after["container"]["mountPoints"] == []
        if "eksProperties" in before:
            (container_after,) = after["eksProperties"]["podProperties"]["containers"]
            assert container_after == {"image": "a", "args": [], "command": [], "env": [], "volumeMounts": []}
            assert found["containerOrchestrationType"] == "EKS"
        else:
            assert found["containerOrchestrationType"] == "ECS"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"arrayProperties": {"size": 2}},
            "arrayProperties can not be used with a multi-node parallel job: its nodes are no array.",
        ),
        (
            {"containerOverrides": {"command": ["x"]}},
            "containerOverrides can not be used with a multi-node parallel job: use nodeOverrides.",
        ),
    ],
)
def test_what_does_not_go_with_nodes_is_refused(members: dict[str, Any], message: str, shared: Service) -> None:
    shared.call("RegisterJobDefinition", {"jobDefinitionName": "mpi", "type": "multinode"} | nodes())
    assert refusal_of(lambda: shared.submit("mpi", **members)) == message


def test_overrides_of_nodes_need_nodes(shared: Service) -> None:
    message = refusal_of(lambda: shared.submit(nodeOverrides={"numNodes": 2}))
    assert message == (
        "nodeOverrides needs a job definition with nodeProperties, and sleeper has none: use containerOverrides."
    )


def test_a_range_that_no_environment_can_run_refuses_the_job(shared: Service) -> None:
    definition = {"jobDefinitionName": "several", "type": "multinode"} | nodes(plain("0"), several("1:"))
    shared.call("RegisterJobDefinition", definition)
    assert "runs one container in a task, and this job has 2 (x, y)" in refusal_of(lambda: shared.submit("several"))


def test_nodes_that_are_pods_are_refused_where_one_pod_would_be(shared: Service) -> None:
    two = {"podProperties": {"containers": [{"name": name, "image": "a", "command": ["x"]} for name in ("x", "y")]}}
    account = {"podProperties": POD["podProperties"] | {"serviceAccountName": "me"}}
    for name, properties, message in (
        ("two", two, "runs one container in a task, and this job has 2 (x, y)"),
        ("account", account, "The pod has serviceAccountName, which this service can't do"),
    ):
        definition = nodes(pod("0"), {"targetNodes": "1:", "eksProperties": properties})
        shared.call("RegisterJobDefinition", {"jobDefinitionName": name, "type": "multinode"} | definition)
        changed = change("0", eksPropertiesOverride=pods(command=["true"]))
        assert message in refusal_of(lambda name=name, changed=changed: shared.submit(name, nodeOverrides=changed))


# -- the range grammar --


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_a_range_is_read_as_it_is_written(first: int, last: int) -> None:
    known = first < 10**9 and last < 10**9  # more than any node index; what is larger only has to stay large
    if known:
        assert parse_target(f"{first}") == Target(first, first)
        assert parse_target(f"{first}:{last}") == Target(first, last)
        assert parse_target(f"0{first}:") == Target(first, None)
        assert parse_target(f":{last}") == Target(0, last)
    assert parse_target(":") == Target(0, None)
    assert (parse_target(f"{first}").first >= 10**8) == (first >= 10**8)


@given(st.text("0123456789:- a", max_size=6))
def test_nothing_else_is_a_range(text: str) -> None:
    is_range = text != "" and set(text) <= set("0123456789:") and text.count(":") <= 1
    if is_range:
        parse_target(text)
    else:
        assert refusal_of(lambda: parse_target(text)) == "targetNodes should contain only digits."


# -- overrides --


def change(target: str, **members: Any) -> dict[str, Any]:
    return {"nodePropertyOverrides": [{"targetNodes": target, **members}]}


def pods(image: str = "a", **container: Any) -> dict[str, Any]:
    """An eksPropertiesOverride."""
    return {"podProperties": {"containers": [{"image": image} | container]}}


RANGES = (plain("0"), several("1:4"), plain("5:"))
# fmt: off
OVERRIDES: list[tuple[dict[str, Any], str]] = [
    (change("0:3"), "NodeOverride targets should match job definition. Non matching targets - 0:3"),
    (change("1:5"), "NodeOverride targets should match job definition. Non matching targets - 1:5"),
    (change("x"), "targetNodes should contain only digits."),
    ({"numNodes": 1001}, "Number of nodes must be between 1 and 1000."),
    ({"numNodes": 1}, "Main node index is out of range, must be less than numNodes."),
    ({"numNodes": 5}, "numNodes must be greater than 5, the first node of an open node range, got 5."),
    (change("1:4", containerOverrides={"command": ["x"]}),
     "containerOverrides can not be used for the node range 1:4: the job definition has ecsProperties there."),
    (change("0", ecsPropertiesOverride={"taskProperties": []}),
     "ecsPropertiesOverride can not be used for the node range 0: the job definition has container there."),
    (change("0", eksPropertiesOverride=pods()),
     "eksPropertiesOverride can not be used for the node range 0: the job definition has container there."),
    (change("0", containerOverrides={"command": [""]}), "Command field cannot have empty strings"),
    (change("0", consumableResourcePropertiesOverride={
        "consumableResourceList": [{"consumableResource": "a", "quantity": 0}]}),
     "The quantity of the consumableResource a must be at least 1."),
]
# fmt: on


@pytest.mark.parametrize(("overrides", "message"), OVERRIDES, ids=[message[:60] for _, message in OVERRIDES])
def test_node_overrides_are_held_against_the_definition(
    overrides: dict[str, Any], message: str, shared: Service
) -> None:
    definition = {"jobDefinitionName": "wide", "type": "multinode"} | nodes(*RANGES, count=8, main=1)
    shared.call("RegisterJobDefinition", definition)
    assert refusal_of(lambda: shared.submit("wide", nodeOverrides=overrides)) == message


@pytest.mark.parametrize(
    "overrides", [change("0:0"), change("5:", containerOverrides={"command": ["x"]}), {"numNodes": 6}], ids=str
)
def test_overrides_that_fit_are_taken(overrides: dict[str, Any], shared: Service) -> None:
    ranges = (plain("0"), plain("1:4"), plain("5:"))
    definition = {"jobDefinitionName": "fits", "type": "multinode"} | nodes(*ranges, count=8, main=1)
    answer = shared.call("RegisterJobDefinition", definition)
    for named in ("fits", f"fits:{answer['revision']}"):
        shared.call("CancelJob", {"jobId": shared.submit(named, nodeOverrides=overrides), "reason": "it was taken"})


# fmt: off
POD_OVERRIDES: list[tuple[dict[str, Any], str]] = [
    (change("0", containerOverrides={"command": ["x"]}),
     "containerOverrides can not be used for the node range 0: the job definition has eksProperties there."),
    (change("0", eksPropertiesOverride=pods(resources={"limits": {"cpu": "0.3"}})),
     "Value 0.3 for type cpu in resources is not valid. Provide a valid number and unit."),
    (change("0", eksPropertiesOverride=pods(name="b")),
     ("eksPropertiesOverride.podProperties.containers is for the container b, "
      "and the job definition has Default there.")),
    (change("0", eksPropertiesOverride=pods(command=["a\0"])),
     "eksPropertiesOverride.podProperties.containers[0].command[0] must not hold a NUL character."),
    (change("0", eksPropertiesOverride={"podProperties": {"metadata": {"namespace": "b"}}}),
     "The namespace of the pod's metadata must be the same in all node ranges."),
]
# fmt: on


@pytest.mark.parametrize(("overrides", "message"), POD_OVERRIDES, ids=[message[:60] for _, message in POD_OVERRIDES])
def test_overrides_of_pods_are_held_to_the_rules_of_pods(
    overrides: dict[str, Any], message: str, shared: Service
) -> None:
    ranges = nodes(pod("0", namespace="a"), pod("1:", namespace="a"))
    shared.call("RegisterJobDefinition", {"jobDefinitionName": "pods", "type": "multinode"} | ranges)
    assert refusal_of(lambda: shared.submit("pods", nodeOverrides=overrides)) == message


def test_jobs_have_the_pods_of_their_ranges_as_they_were_changed(shared: Service) -> None:
    ranges = nodes(pod("0"), pod("1:"), count=2)
    shared.call("RegisterJobDefinition", {"jobDefinitionName": "pods", "type": "multinode"} | ranges)
    run = pods(command=["true"], resources={"limits": {"cpu": "0.25", "memory": "8Mi"}})
    changes = [{"targetNodes": each, "eksPropertiesOverride": run} for each in ("0:0", "1:")]
    job = shared.submit("pods", nodeOverrides={"nodePropertyOverrides": changes})
    parent, node = shared.batch.describe_jobs(jobs=[job, f"{job}#1"])["jobs"]
    found = [each["eksProperties"]["podProperties"] for each in parent["nodeProperties"]["nodeRangeProperties"]]
    found.append(node["eksProperties"]["podProperties"])
    assert [each["containers"][0]["command"] for each in found] == [["true"]] * 3
    assert node["nodeDetails"] == {"nodeIndex": 1, "isMainNode": False}
    assert node["container"]["networkInterfaces"] == []
    shared.call("CancelJob", {"jobId": job, "reason": "it was taken"})


def test_a_closed_definition_keeps_its_number_of_nodes(shared: Service) -> None:
    shared.call("RegisterJobDefinition", {"jobDefinitionName": "closed", "type": "multinode"} | nodes(plain("0:3")))
    message = refusal_of(lambda: shared.submit("closed", nodeOverrides={"numNodes": 3}))
    assert message == "numNodes can only be overridden if a node range of the job definition is open, such as 1: or :."


def test_the_overrides_of_a_single_job_are_not_for_nodes(shared: Service) -> None:
    shared.call("RegisterJobDefinition", {"jobDefinitionName": "mixed", "type": "multinode"} | nodes())
    overrides = {"nodeOverrides": change("0:"), "containerOverrides": {"command": ["x"]}}
    message = refusal_of(lambda: shared.submit("mixed", **overrides))
    assert message == "containerOverrides can not be used with a multi-node parallel job: use nodeOverrides."


def test_the_newest_active_revision_is_what_overrides_change(shared: Service) -> None:
    for ranges in ([plain("0:3")], [plain("0"), plain("1:")], [plain(":")]):
        shared.call("RegisterJobDefinition", {"jobDefinitionName": "moving", "type": "multinode"} | nodes(*ranges))
    shared.batch.deregister_job_definition(jobDefinition="moving:3")
    message = refusal_of(lambda: shared.submit("moving", nodeOverrides=change(":")))
    assert message == "NodeOverride targets should match job definition. Non matching targets - :"
    job = shared.submit("moving", nodeOverrides=change("1:"))
    shared.call("CancelJob", {"jobId": job, "reason": "it was taken"})
