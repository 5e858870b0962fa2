"""What a compute environment may be, and become."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.capacity import environment_rules as rules
from batchyard.core.capacity.catalogue import ARM64, Catalogue, InstanceType
from batchyard.core.model.records import Environment, Health, State
from batchyard.core.model.refusal import Refused

CATALOGUE = Catalogue(
    {
        "c5.large": InstanceType("c5.large", 2000, 4096),
        "c5.xlarge": InstanceType("c5.xlarge", 4000, 8192),
        "m6g.large": InstanceType("m6g.large", 2000, 8192, architecture=ARM64),
    }
)
ROLE = "arn:aws:iam::123456789012:role/batch"


def environment(name: str = "one", kind: str = "EC2", *, managed: bool = True, **resources: Any) -> Environment:
    given = {"type": kind, "maxvCpus": 16, "instanceTypes": ["c5"], **resources}
    if kind.startswith("FARGATE"):
        del given["instanceTypes"]
    document = {"computeResources": given} if managed else {}
    managed_type = "MANAGED" if managed else "UNMANAGED"
    return Environment(name, "uuid", managed_type, State.ENABLED, Health.VALID, "", "process", document, {}, 0)


def resources_after(before: Environment, **changes: Any) -> dict[str, Any]:
    document = rules.updated(before, {"computeResources": changes}, 0, CATALOGUE)
    found: dict[str, Any] = document["computeResources"]
    return found


def test_types_must_be_known_and_of_one_architecture() -> None:
    rules.check_new("MANAGED", {"computeResources": {"instanceTypes": ["c5"]}}, CATALOGUE)
    rules.check_new("UNMANAGED", {"computeResources": {"instanceTypes": ["none"]}}, CATALOGUE)
    with pytest.raises(Refused, match="arm-based"):
        rules.check_new("MANAGED", {"computeResources": {"instanceTypes": ["c5", "m6g"]}}, CATALOGUE)
    with pytest.raises(Refused, match="none"):
        rules.check_new("MANAGED", {"computeResources": {"instanceTypes": ["none"]}}, CATALOGUE)


@pytest.mark.parametrize(
    ("kind", "strategy", "types", "words"),
    [
        ("EC2", "SPOT_CAPACITY_OPTIMIZED", ["c5"], "only be used with compute resources of type SPOT"),
        ("SPOT", "BEST_FIT_PROGRESSIVE_ORDERED", ["c5"], "only be used with compute resources of type EC2"),
        ("EC2", "BEST_FIT_PROGRESSIVE_ORDERED", ["optimal"], "bundles"),
    ],
)
def test_a_strategy_that_does_not_go_with_the_rest(kind: str, strategy: str, types: list[str], words: str) -> None:
    with pytest.raises(Refused, match=words):
        rules.check_strategy({"type": kind, "allocationStrategy": strategy, "instanceTypes": types})


def test_an_update_changes_what_it_names_and_leaves_the_rest() -> None:
    after = resources_after(environment(minvCpus=2, tags={"a": "1"}), maxvCpus=8)
    assert after == {"type": "EC2", "maxvCpus": 8, "minvCpus": 2, "instanceTypes": ["c5"], "tags": {"a": "1"}}


def test_empty_members_are_removed() -> None:
    before = environment(imageId="ami-1", allocationStrategy="BEST_FIT_PROGRESSIVE")
    assert "imageId" not in resources_after(before, imageId="")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"maxvCpus": 1}, "greater than or equal to minvCpus"),
        ({"desiredvCpus": 17}, "between minvCpus and maxvCpus"),
        ({"desiredvCpus": 2}, "scaling down"),
        ({"type": "FARGATE"}, "cannot change from EC2 to FARGATE"),
        ({"instanceTypes": ["c5.large"]}, "take no infrastructure updates"),  # BEST_FIT
    ],
)
def test_an_update_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        rules.updated(environment(minvCpus=2), {"computeResources": changes}, 4, CATALOGUE)


def test_infrastructure_updates_need_the_service_linked_role() -> None:
    before = environment(allocationStrategy="BEST_FIT_PROGRESSIVE")
    assert resources_after(before, instanceTypes=["c5.large"])["instanceTypes"] == ["c5.large"]
    before.document["serviceRole"] = ROLE
    with pytest.raises(Refused, match="service-linked role"):
        resources_after(before, instanceTypes=["c5.large"])


def test_on_fargate_only_scaling_and_network_change() -> None:
    assert resources_after(environment(kind="FARGATE"), maxvCpus=4)["maxvCpus"] == 4
    with pytest.raises(Refused, match="can't be updated for Fargate"):
        resources_after(environment(kind="FARGATE"), instanceTypes=["c5"])
    with pytest.raises(Refused, match="maximum of 16 subnets"):
        rules.check_fargate_network({"subnets": [f"subnet-{n}" for n in range(17)]})


def test_what_an_unmanaged_one_has_not() -> None:
    with pytest.raises(Refused, match="not applicable for UNMANAGED"):
        rules.updated(environment(managed=False), {"computeResources": {"maxvCpus": 1}}, 0, CATALOGUE)
    assert rules.allowed_types(environment(managed=False), CATALOGUE) == ()


def test_environments_of_one_queue_provision_alike() -> None:
    rules.check_together([environment("one"), environment("two", "SPOT")], CATALOGUE)
    with pytest.raises(Refused, match="Fargate and EC2"):
        rules.check_together([environment("one"), environment("two", "FARGATE")], CATALOGUE)
    with pytest.raises(Refused, match="one CPU architecture: two has arm64 and one has x86_64"):
        rules.check_together([environment("one"), environment("two", instanceTypes=["m6g"])], CATALOGUE)


def test_what_replaces_instances() -> None:
    before = environment().document
    same = {"computeResources": {**before["computeResources"], "maxvCpus": 99}}
    other = {"computeResources": {**before["computeResources"], "imageId": "ami-2"}}
    assert not rules.replaces_instances(before, same, {})
    assert rules.replaces_instances(before, other, {})
    newest = {"computeResources": {"updateToLatestImageVersion": True}}
    assert rules.replaces_instances(before, before, newest)
