"""DescribeRegions, DescribeSubnets and DescribeSecurityGroups of EC2, from configuration: the service's own region; the
subnets and security groups that compute environments name, and a default one of each (EC2 API reference).

All of them describe one network, this machine's: nothing is routed or filtered by them."""

from __future__ import annotations

import hashlib
from typing import Any

from batchyard.api.checks import quoted
from batchyard.api.context import Call, Context
from batchyard.api.ec2.queries import Values, check_alone, select
from batchyard.api.ecs.capacity import zone
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

MAX_PAGE = 1000  # EC2 API reference: MaxResults of both
ID_HEX = 17  # as EC2's ids have
DEFAULT_GROUP = "default"
INVALID = "InvalidParameterValue"
EVERYWHERE = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]

REGION_FILTERS: dict[str, Values] = {
    "endpoint": lambda region: [region["Endpoint"]],
    "opt-in-status": lambda region: [region["OptInStatus"]],
    "region-name": lambda region: [region["RegionName"]],
}
SUBNET_FILTERS: dict[str, Values] = {
    "availability-zone": lambda subnet: [subnet["AvailabilityZone"]],
    "cidr-block": lambda subnet: [subnet["CidrBlock"]],
    "default-for-az": lambda subnet: [_text(subnet["DefaultForAz"])],
    "state": lambda subnet: [subnet["State"]],
    "subnet-id": lambda subnet: [subnet["SubnetId"]],
    "tag-key": lambda subnet: [],
    "vpc-id": lambda subnet: [subnet["VpcId"]],
}
GROUP_FILTERS: dict[str, Values] = {
    "description": lambda group: [group["Description"]],
    "group-id": lambda group: [group["GroupId"]],
    "group-name": lambda group: [group["GroupName"]],
    "owner-id": lambda group: [group["OwnerId"]],
    "tag-key": lambda group: [],
    "vpc-id": lambda group: [group["VpcId"]],
}


async def describe_regions(context: Context, call: Call, request: Document) -> Document:
    """The one there is."""
    account = context.account
    for name in request.get("RegionNames", []):
        if name != account.region:
            raise Refused(f"Invalid value '{quoted(name)}' for regionName: this service is {account.region}.", INVALID)
    region = {
        "RegionName": account.region,
        "Endpoint": context.host_address,
        "OptInStatus": "opt-in-not-required",
    }
    found, _ = select(request, {account.region: region}, REGION_FILTERS, MAX_PAGE)
    return {"Regions": found}


async def describe_subnets(context: Context, call: Call, request: Document) -> Document:
    """SubnetIds, Filters, pages. Unknown ids are refused, as on EC2."""
    check_alone(request, ["SubnetIds"])
    default = default_subnet_id(context.account)
    named = {default, *await _named(context, "subnets")}
    subnets = {each: _subnet(context, each, is_default=each == default) for each in named}
    chosen = _chosen(request.get("SubnetIds", []), subnets, "The subnet ID", "InvalidSubnetID.NotFound")
    found, token = select(request, chosen, SUBNET_FILTERS, MAX_PAGE)
    return {"Subnets": found} | token


async def describe_security_groups(context: Context, call: Call, request: Document) -> Document:
    """GroupIds, GroupNames, Filters, pages. Unknown ones are refused, as on EC2."""
    check_alone(request, ["GroupIds", "GroupNames"])
    default = default_group_id(context.account)
    named = {default, *await _named(context, "securityGroupIds")}
    groups = {each: _group(context, each, is_default=each == default) for each in named}
    chosen = _chosen(request.get("GroupIds", []), groups, "The security group", "InvalidGroup.NotFound")
    by_name = {group["GroupName"]: group_id for group_id, group in chosen.items()}
    wanted = _chosen(request.get("GroupNames", []), by_name, "The security group", "InvalidGroup.NotFound")
    chosen = {group_id: chosen[group_id] for group_id in wanted.values()}
    found, token = select(request, chosen, GROUP_FILTERS, MAX_PAGE)
    return {"SecurityGroups": found} | token


def vpc_id(account: Account) -> str:
    return made_up_id("vpc", account, "network")


def default_subnet_id(account: Account) -> str:
    return made_up_id("subnet", account, "default")


def default_group_id(account: Account) -> str:
    return made_up_id("sg", account, "default")


def made_up_id(prefix: str, account: Account, name: str) -> str:
    """Returns an id in EC2's form, always the same for the same thing: EC2 assigns ids, here they are derived."""
    text = f"{account.account_id}/{account.region}/{prefix}/{name}"
    separator = "-" if prefix.islower() else ""  # IAM's ids have none
    return prefix + separator + hashlib.blake2b(text.encode(), person=b"made-up id").hexdigest()[:ID_HEX]


async def _named(context: Context, member: str) -> set[str]:
    """Returns every text in a list member of the computeResources of any environment."""
    found: set[str] = set()
    token: str | None = None
    while True:
        page, token = await context.read(context.reader.environments, None, MAX_PAGE, token)
        for environment in page:
            found |= set(environment.document.get("computeResources", {}).get(member, []))
        if token is None:
            return found


def _chosen(asked: list[str], known: dict[str, Any], what: str, code: str) -> dict[str, Any]:
    """Returns the requested things; all when the request names none."""
    for name in asked:
        if name not in known:
            raise Refused(f"{what} '{quoted(name)}' does not exist", code)
    return {name: known[name] for name in asked} if asked else known


def _subnet(context: Context, subnet_id: str, *, is_default: bool) -> Document:
    account = context.account
    return {
        "SubnetId": subnet_id,
        "SubnetArn": account.arn("ec2", f"subnet/{subnet_id}"),
        "VpcId": vpc_id(account),
        "OwnerId": account.account_id,
        "State": "available",
        "AvailabilityZone": zone(account),
        "CidrBlock": f"{context.host_address}/32",  # all instances have the same address
        "AvailableIpAddressCount": 1,
        "DefaultForAz": is_default,
        "MapPublicIpOnLaunch": False,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Tags": [],
    }


def _group(context: Context, group_id: str, *, is_default: bool) -> Document:
    account = context.account
    return {
        "GroupId": group_id,
        "GroupName": DEFAULT_GROUP if is_default else group_id,
        "Description": "nothing is filtered here",
        "VpcId": vpc_id(account),
        "OwnerId": account.account_id,
        "SecurityGroupArn": account.arn("ec2", f"security-group/{group_id}"),
        "IpPermissions": EVERYWHERE,
        "IpPermissionsEgress": EVERYWHERE,
        "Tags": [],
    }


def _text(flag: bool) -> str:
    return "true" if flag else "false"
