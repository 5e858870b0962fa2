"""Instances and identities as boto3's clients read them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from batchyard.api.context import Call
from batchyard.api.ec2 import queries
from batchyard.api.sts import caller_identity
from batchyard.core.model.records import Instance, InstanceState, Market
from batchyard.core.model.resources import Resources
from tests.api.service import ROLE, START_MS, Service, refusal_of

HOST = "i-0123456789abcdef0"
SPOT = "i-00000000000000aaa"


@pytest.fixture
def yard(service: Service) -> Service:
    """With a Spot instance of an environment with tags, beside this machine."""
    resources = {
        "type": "SPOT", "minvCpus": 0, "maxvCpus": 4, "instanceTypes": ["optimal"], "subnets": ["subnet-1"],
        "securityGroupIds": ["sg-1"], "instanceRole": ROLE, "tags": {"team": "a*b"},
        "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED",
    }  # fmt: skip
    service.call(
        "CreateComputeEnvironment",
        {"computeEnvironmentName": "cloud", "type": "MANAGED", "computeResources": resources, "serviceRole": ROLE},
    )
    instance = Instance(
        SPOT, Resources(2000, 1024), environment="cloud", instance_type="m5.large", market=Market.SPOT,
        launched_at_ms=START_MS,
    )  # fmt: skip
    service.machine.world.add_instance(instance)
    return service


def instances(service: Service, **request: Any) -> dict[str, dict[str, Any]]:
    answer = service.client("ec2").describe_instances(**request)
    return {one["InstanceId"]: one for each in answer["Reservations"] for one in each["Instances"]}


def refused(service: Service, **request: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        service.client("ec2").describe_instances(**request)
    response = caught.value.response
    return response["Error"]["Code"], response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_what_exists_is_described(yard: Service) -> None:
    found = instances(yard)
    assert set(found) == {HOST, SPOT}
    host, spot = found[HOST], found[SPOT]
    assert (host["InstanceType"], host["State"]) == ("local", {"Code": 16, "Name": "running"})
    assert (host["Placement"]["AvailabilityZone"], host["PrivateIpAddress"]) == ("us-east-1a", "127.0.0.1")
    assert "InstanceLifecycle" not in host
    assert (spot["InstanceType"], spot["InstanceLifecycle"]) == ("m5.large", "spot")
    assert spot["LaunchTime"].timestamp() * 1000 == START_MS
    assert {tag["Key"]: tag["Value"] for tag in spot["Tags"]} == {
        "team": "a*b",
        "AWSBatchServiceTag": "batch",
        "batchyard:compute-environment": "cloud",
    }
    (reservation,) = yard.client("ec2").describe_instances(InstanceIds=[SPOT])["Reservations"]
    assert (reservation["OwnerId"], [one["InstanceId"] for one in reservation["Instances"]]) == ("123456789012", [SPOT])


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (InstanceState.LAUNCHING, "pending"),
        (InstanceState.DRAINING, "running"),
        (InstanceState.TERMINATING, "shutting-down"),
    ],
)
def test_states_are_those_of_ec2(yard: Service, state: InstanceState, name: str) -> None:
    world = yard.machine.world
    world.put_instance(replace(world.instances[SPOT], state=state))
    assert instances(yard, InstanceIds=[SPOT])[SPOT]["State"]["Name"] == name


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"instance-id": [SPOT, "i-1"]}, {SPOT}),
        ({"instance-type": ["m5.*"]}, {SPOT}),
        ({"instance-type": ["m5.l?rge", "x"]}, {SPOT}),
        ({"instance-type": ["m5"]}, set()),
        ({"instance-lifecycle": ["spot"]}, {SPOT}),
        ({"instance-state-name": ["running"]}, {HOST, SPOT}),
        ({"instance-state-name": ["pending", "terminated"]}, set()),
        ({"instance-state-code": ["16"]}, {HOST, SPOT}),
        ({"availability-zone": ["us-east-1a"], "instance-type": ["local"]}, {HOST}),
        ({"private-ip-address": ["127.0.0.1"]}, {HOST, SPOT}),
        ({"tag:team": ["*"]}, {SPOT}),
        ({"tag:team": ["a\\*b"]}, {SPOT}),
        ({"tag:team": ["a\\*"]}, set()),
        ({"tag:other": ["*"]}, set()),
        ({"tag-key": ["batchyard:compute-environment"]}, {SPOT}),
        ({"tag-key": []}, set()),
    ],
)
def test_filters_choose(yard: Service, filters: dict[str, list[str]], expected: set[str]) -> None:
    asked = [{"Name": name, "Values": values} for name, values in filters.items()]
    assert set(instances(yard, Filters=asked)) == expected


def test_bad_requests_are_refused_as_ec2_does(yard: Service) -> None:
    assert refused(yard, InstanceIds=["i-0000000000000dead", "i-00000000000000bad", HOST]) == (
        "InvalidInstanceID.NotFound",
        "The instance IDs 'i-0000000000000dead, i-00000000000000bad' do not exist",
        400,
    )
    assert refused(yard, InstanceIds=["i-00000000"])[:2] == (
        "InvalidInstanceID.NotFound",
        "The instance ID 'i-00000000' does not exist",
    )
    assert refused(yard, InstanceIds=["host"])[:2] == ("InvalidInstanceID.Malformed", 'Invalid id: "host"')
    assert refused(yard, InstanceIds=[HOST], MaxResults=5)[0] == "InvalidParameterCombination"
    assert refused(yard, MaxResults=4)[0] == "InvalidParameterValue"
    assert refused(yard, NextToken="x")[0] == "InvalidParameterValue"
    code, message, _ = refused(yard, Filters=[{"Name": "color", "Values": ["red"]}])
    assert (code, message[:32]) == ("InvalidParameterValue", "The filter 'color' is invalid: s")
    assert refused(yard, Filters=[{"Name": "tag-key", "Values": ["a"] * 201}])[0] == "FilterLimitExceeded"
    assert refused(yard, DryRun=True)[::2] == ("DryRunOperation", 412)


@given(st.text(alphabet="ab*?\\", max_size=8), st.text(alphabet="ab", max_size=6))
def test_wildcards_mean_what_a_search_of_all_ways_says(value: str, text: str) -> None:
    def fits(pattern: str, rest: str) -> bool:
        if not pattern:
            return not rest
        first, behind = pattern[0], pattern[1:]
        if first == "*":
            return fits(behind, rest) or (bool(rest) and fits(pattern, rest[1:]))
        if first == "\\" and behind:
            first, behind = behind[0], behind[1:]
        elif first == "?":
            return bool(rest) and fits(behind, rest[1:])
        return rest[:1] == first and fits(behind, rest[1:])

    assert queries.fits(queries.pattern_of(value), text) == fits(value, text)


def test_many_stars_cost_little() -> None:
    assert not queries.fits(queries.pattern_of("*a" * 200 + "b"), "a" * 256)


def test_the_caller_is_a_user_of_this_account(service: Service) -> None:
    assert without_metadata(service.client("sts").get_caller_identity()) == {
        "Account": "123456789012",
        "Arn": "arn:aws:iam::123456789012:user/tester",
        "UserId": "tester",
    }


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def identity(service: Service, principal: str) -> dict[str, Any]:
    return asyncio.run(caller_identity.get_caller_identity(service.context, Call("GetCallerIdentity", principal), {}))


def test_a_job_is_the_role_of_its_attempt(service: Service) -> None:
    arn = "arn:aws:sts::123456789012:assumed-role/batchyard-job/0123"
    found = identity(service, arn)
    assert (found["Arn"], found["Account"]) == (arn, "123456789012")
    role_id, _, session = found["UserId"].partition(":")
    assert (role_id[:4], len(role_id), session) == ("AROA", 21, "0123")
    assert identity(service, arn)["UserId"] == found["UserId"]


def test_no_key_makes_an_arn_that_is_none(service: Service) -> None:
    assert identity(service, "a/b c:é")["Arn"] == "arn:aws:iam::123456789012:user/a_b_c__"


def test_filters_without_end_are_refused(shared: Service) -> None:
    one = {"Name": "instance-id", "Values": ["*a" * 513]}
    assert "at most 1024 characters, got 1026" in refusal_of(
        lambda: shared.call("DescribeInstances", {"Filters": [one]}, service="ec2")
    )
    many = [{"Name": "instance-id", "Values": ["*"]}] * 51
    assert "at most 50 filters, got 51" in refusal_of(
        lambda: shared.call("DescribeInstances", {"Filters": many}, service="ec2")
    )
