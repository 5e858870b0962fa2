"""DescribeInstances of EC2, for what exists: this machine and instances of MANAGED environments (EC2 API reference).

Instances that ended are not kept: their ids are unknown, as EC2's are an hour after.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from batchyard.api.capacity import ask_inventory, environments_of, instance_tags, instance_type, zone
from batchyard.api.checks import quoted
from batchyard.api.context import Call, Context
from batchyard.core.records import Environment, Instance, InstanceState, Market
from batchyard.core.refusal import Refused

Document = dict[str, Any]

MIN_PAGE, MAX_PAGE = 5, 1000  # EC2 API reference: DescribeInstances, MaxResults
MAX_FILTER_VALUES = 200  # of one filter, as on EC2
RESERVATION_HEX = 17
STATES = {  # InstanceState: code and name
    InstanceState.LAUNCHING: (0, "pending"),
    InstanceState.READY: (16, "running"),
    InstanceState.DRAINING: (16, "running"),
    InstanceState.TERMINATING: (32, "shutting-down"),
}
TAG_FILTER = "tag:"
ANY_TEXT, ANY_LETTER = "**", "??"  # what `*` and `?` of a filter's value stand for; no letter looks so

_INSTANCE_ID = re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})")

# The values of an instance by the filters that are served; a filter matches where one of its values fits one of these.
FILTERS: dict[str, Callable[[Document], list[str]]] = {
    "availability-zone": lambda instance: [instance["Placement"]["AvailabilityZone"]],
    "instance-id": lambda instance: [instance["InstanceId"]],
    "instance-lifecycle": lambda instance: [instance["InstanceLifecycle"]] if "InstanceLifecycle" in instance else [],
    "instance-state-code": lambda instance: [str(instance["State"]["Code"])],
    "instance-state-name": lambda instance: [instance["State"]["Name"]],
    "instance-type": lambda instance: [instance["InstanceType"]],
    "private-ip-address": lambda instance: [instance["PrivateIpAddress"]],
    "tag-key": lambda instance: [tag["Key"] for tag in instance["Tags"]],
}


async def describe_instances(context: Context, call: Call, request: Document) -> Document:
    """By ids, filters or pages; each instance is a reservation of its own. Unknown ids are refused, as on EC2."""
    asked = list(dict.fromkeys(request.get("InstanceIds", [])))
    _check_ids(asked)
    limit = _page_size(request, asked)
    checks = [_filter(each) for each in request.get("Filters", [])]
    if request.get("DryRun"):
        raise Refused("Request would have succeeded, but DryRun flag is set.", "DryRunOperation")
    inventory = await ask_inventory(context)
    environments = await environments_of(context, inventory)
    instances = {
        stock.instance.instance_id: _instance(context, stock.instance, environments) for stock in inventory.instances
    }
    _check_known(asked, instances)
    after = _position(request)
    found = [
        instances[instance_id]
        for instance_id in sorted(asked or instances)
        if instance_id > after and all(check(instances[instance_id]) for check in checks)
    ]
    reservations = [_reservation(context, instance) for instance in found[:limit]]
    token = {"NextToken": found[limit - 1]["InstanceId"]} if len(found) > limit else {}
    return {"Reservations": reservations} | token


def _instance(context: Context, instance: Instance, environments: dict[str, Environment]) -> Document:
    """Instance. Members about images, disks and networks, which none has here, are empty or left out."""
    code, name = STATES[instance.state]
    tags = instance_tags(instance, environments)
    document: Document = {
        "InstanceId": instance.instance_id,
        "InstanceType": instance_type(instance),
        "State": {"Code": code, "Name": name},
        "Placement": {"AvailabilityZone": zone(context.account), "Tenancy": "default", "GroupName": ""},
        "PrivateIpAddress": context.host_address,
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
        "AmiLaunchIndex": 0,
        "BlockDeviceMappings": [],
        "NetworkInterfaces": [],
        "ProductCodes": [],
        "SecurityGroups": [],
        "StateTransitionReason": "",
    }
    if instance.launched_at_ms:
        document["LaunchTime"] = instance.launched_at_ms / 1000
    if instance.market is Market.SPOT:
        document["InstanceLifecycle"] = "spot"  # on-demand ones have no such member
    return document


def _reservation(context: Context, instance: Document) -> Document:
    digest = hashlib.blake2b(instance["InstanceId"].encode(), person=b"reservation id").hexdigest()
    return {
        "ReservationId": "r-" + digest[:RESERVATION_HEX],
        "OwnerId": context.account.account_id,
        "Groups": [],
        "Instances": [instance],
    }


def _check_ids(asked: list[str]) -> None:
    for instance_id in asked:
        if not _INSTANCE_ID.fullmatch(instance_id):
            raise Refused(f'Invalid id: "{quoted(instance_id)}"', "InvalidInstanceID.Malformed")


def _check_known(asked: list[str], instances: dict[str, Document]) -> None:
    unknown = [instance_id for instance_id in asked if instance_id not in instances]
    if len(unknown) == 1:
        raise Refused(f"The instance ID '{unknown[0]}' does not exist", "InvalidInstanceID.NotFound")
    if unknown:
        raise Refused(f"The instance IDs '{', '.join(unknown)}' do not exist", "InvalidInstanceID.NotFound")


def _page_size(request: Document, asked: list[str]) -> int:
    wanted = request.get("MaxResults")
    if wanted is None:
        return MAX_PAGE
    if asked:
        raise Refused(
            "The parameter instancesSet cannot be used with the parameter maxResults", "InvalidParameterCombination"
        )
    if not MIN_PAGE <= wanted <= MAX_PAGE:
        raise Refused(f"MaxResults must be between {MIN_PAGE} and {MAX_PAGE}, got {wanted}.", "InvalidParameterValue")
    return int(wanted)


def _position(request: Document) -> str:
    """The last instance of the page before; empty on the first."""
    token = str(request.get("NextToken", ""))
    if token and not _INSTANCE_ID.fullmatch(token):
        raise Refused("The token is not valid: use the NextToken of the previous page.", "InvalidParameterValue")
    return token


def _filter(document: Document) -> Callable[[Document], bool]:
    """Whether an instance passes one filter. Values may hold `*` and `?`; a backslash takes their meaning away."""
    name, values = document.get("Name", ""), document.get("Values", [])
    if len(values) > MAX_FILTER_VALUES:
        raise Refused(
            f"The filter '{quoted(name)}' must have at most {MAX_FILTER_VALUES} values, got {len(values)}.",
            "FilterLimitExceeded",
        )
    patterns = [_pattern(value) for value in values]
    if name.startswith(TAG_FILTER):
        key = name.removeprefix(TAG_FILTER)
        return lambda instance: _matches(patterns, [tag["Value"] for tag in instance["Tags"] if tag["Key"] == key])
    read = FILTERS.get(name)
    if read is None:
        served = ", ".join([*FILTERS, "tag:<key>"])
        raise Refused(f"The filter '{quoted(name)}' is invalid: served are {served}.", "InvalidParameterValue")
    return lambda instance: _matches(patterns, read(instance))


def _matches(patterns: list[list[str]], values: list[str]) -> bool:
    return any(_fits(pattern, value) for pattern in patterns for value in values)


def _pattern(value: str) -> list[str]:
    """One entry a letter: ANY_LETTER, ANY_TEXT, or the letter itself."""
    parts: list[str] = []
    letters = iter(value)
    for letter in letters:
        if letter == "\\":
            parts += [next(letters, "\\")]
        else:
            parts += [{"*": ANY_TEXT, "?": ANY_LETTER}.get(letter, letter)]
    return parts


def _fits(pattern: list[str], text: str) -> bool:
    """Without recursion and in the product of the lengths at most, whatever the pattern: only the last star that was
    passed may take more."""
    at = mark = 0
    star = -1
    i = 0
    while i < len(text):
        if at < len(pattern) and pattern[at] == ANY_TEXT:
            star, mark = at, i
            at += 1
        elif at < len(pattern) and pattern[at] in (ANY_LETTER, text[i]):
            at, i = at + 1, i + 1
        elif star >= 0:
            mark += 1
            at, i = star + 1, mark
        else:
            return False
    return all(part == ANY_TEXT for part in pattern[at:])
