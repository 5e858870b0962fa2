"""DescribeInstances of EC2: this machine, instances of MANAGED environments, and for an hour those that have ended
(EC2 API reference)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from batchyard.api.checks import quoted
from batchyard.api.context import Call, Context
from batchyard.api.ec2.network import DEFAULT_GROUP, default_group_id, default_subnet_id, made_up_id, vpc_id
from batchyard.api.ec2.queries import Values, check_alone, select
from batchyard.api.ecs.capacity import ask_inventory, environments_of, instance_tags, instance_type, zone
from batchyard.core.model.records import EndedInstance, Environment, Instance, InstanceState, Market
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.wire.messages import Document

MAX_PAGE = 1000  # EC2 API reference: DescribeInstances, MaxResults
STATES = {  # InstanceState: code and name
    InstanceState.LAUNCHING: (0, "pending"),
    InstanceState.READY: (16, "running"),
    InstanceState.DRAINING: (16, "running"),
    InstanceState.AWAY: (16, "running"),
    InstanceState.TERMINATING: (32, "shutting-down"),
}
TERMINATED = (48, "terminated")
SPOT_ENDED = ("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination")
USER_ENDED = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")

_INSTANCE_ID = re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})")


def _member(name: str) -> Values:
    """Returns the values of a member that terminated instances lack."""
    return lambda instance: [instance[name]] if name in instance else []


# The values of an instance by supported filter; a filter matches where one of its values matches one of these.
FILTERS: dict[str, Values] = {
    "architecture": _member("Architecture"),
    "availability-zone": lambda instance: [instance["Placement"]["AvailabilityZone"]],
    "image-id": _member("ImageId"),
    "instance-id": _member("InstanceId"),
    "instance-lifecycle": _member("InstanceLifecycle"),
    "instance-state-code": lambda instance: [str(instance["State"]["Code"])],
    "instance-state-name": lambda instance: [instance["State"]["Name"]],
    "instance-type": _member("InstanceType"),
    "private-dns-name": _member("PrivateDnsName"),
    "private-ip-address": _member("PrivateIpAddress"),
    "subnet-id": _member("SubnetId"),
    "tag-key": lambda instance: [tag["Key"] for tag in instance["Tags"]],
    "vpc-id": _member("VpcId"),
}


async def describe_instances(context: Context, call: Call, request: Document) -> Document:
    """By ids, filters or pages; each instance is a reservation of its own. Unknown ids are refused, as on EC2."""
    asked = list(dict.fromkeys(request.get("InstanceIds", [])))
    _check_ids(asked)
    check_alone(request, ["InstanceIds"], {"InstanceIds": "instancesSet"})
    _check_position(request)
    inventory = await ask_inventory(context)
    environments = await environments_of(context, inventory)
    instances = {one.instance.instance_id: _terminated(context, one, environments) for one in inventory.ended}
    for stock in inventory.instances:
        instances[stock.instance.instance_id] = _instance(context, stock.instance, environments)
    _check_known(asked, instances)
    chosen = {instance_id: instances[instance_id] for instance_id in asked} if asked else instances
    found, token = select(request, chosen, FILTERS, MAX_PAGE)
    return {"Reservations": [_reservation(context, instance) for instance in found]} | token


def _instance(context: Context, instance: Instance, environments: dict[str, Environment]) -> Document:
    """Returns Instance. Its properties come from its environment's computeResources; ids that EC2 would have
    assigned are made up, and stay the same. Disks, which no instance has here, are left out."""
    resources = _resources(environments, instance)
    name = context.host_name
    network = {
        "SubnetId": next(iter(resources.get("subnets") or [default_subnet_id(context.account)])),
        "VpcId": vpc_id(context.account),
        "PrivateIpAddress": context.host_address,
        "PrivateDnsName": name,
    }
    groups = _groups(context, resources)
    document: Document = _shared(context, instance, environments) | network
    code, state = STATES[instance.state]
    document |= {
        "State": {"Code": code, "Name": state},
        "EbsOptimized": False,
        "NetworkInterfaces": [_interface(context, instance, network, groups)],
        "SecurityGroups": groups,
        "SourceDestCheck": True,
        "StateTransitionReason": "",
    }
    if resources.get("instanceRole"):
        document["IamInstanceProfile"] = _profile(context, resources["instanceRole"])
    return document


def _terminated(context: Context, ended: EndedInstance, environments: dict[str, Environment]) -> Document:
    """Returns a terminated instance, which has no network and no address any more."""
    is_lost = ended.instance.ends_at_ms > 0 and ended.instance.market is Market.SPOT
    code, message = SPOT_ENDED if is_lost else USER_ENDED
    at = datetime.fromtimestamp(ended.ended_at_ms / 1000, UTC)
    document = _shared(context, ended.instance, environments)
    return document | {
        "State": {"Code": TERMINATED[0], "Name": TERMINATED[1]},
        "PrivateDnsName": "",
        "NetworkInterfaces": [],
        "SecurityGroups": [],
        "StateReason": {"Code": code, "Message": message},
        "StateTransitionReason": f"{'Service' if is_lost else 'User'} initiated ({at:%Y-%m-%d %H:%M:%S} GMT)",
    }


def _shared(context: Context, instance: Instance, environments: dict[str, Environment]) -> Document:
    """Returns the members that an instance has both while it lives and afterwards."""
    resources = _resources(environments, instance)
    tags = instance_tags(instance, environments)
    kind = context.catalogue.types.get(instance.instance_type)
    vcpus = kind.milli_vcpus if kind is not None else instance.resources.milli_vcpus
    document: Document = {
        "InstanceId": instance.instance_id,
        "InstanceType": instance_type(instance),
        "ImageId": _image(context, resources),
        "Architecture": kind.architecture if kind is not None else context.architecture,
        "CpuOptions": {"CoreCount": vcpus // MILLI_PER_VCPU, "ThreadsPerCore": 1},
        "Placement": {
            "AvailabilityZone": zone(context.account),
            "Tenancy": "default",
            "GroupName": resources.get("placementGroup", ""),
        },
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
        "PublicDnsName": "",  # no instance has a public address here
        "AmiLaunchIndex": 0,
        "BlockDeviceMappings": [],
        "ClientToken": "",
        "Monitoring": {"State": "disabled"},
        "PlatformDetails": "Linux/UNIX",
        "ProductCodes": [],
        "VirtualizationType": "hvm",
    }
    if instance.launched_at_ms:
        document["LaunchTime"] = instance.launched_at_ms / 1000
    if resources.get("ec2KeyPair"):
        document["KeyName"] = resources["ec2KeyPair"]
    if instance.market is Market.SPOT:
        document["InstanceLifecycle"] = "spot"  # on-demand ones have no such member
    return document


def _resources(environments: dict[str, Environment], instance: Instance) -> Document:
    environment = environments.get(instance.environment)
    found: Document = {} if environment is None else environment.document.get("computeResources", {})
    return found


def _image(context: Context, resources: Document) -> str:
    """Returns the AMI that the environment names; else a made-up one for the service's own choice."""
    configured = [each.get("imageIdOverride") for each in resources.get("ec2Configuration", [])]
    named = [image for image in (resources.get("imageId"), *configured) if image]
    return str(named[0]) if named else made_up_id("ami", context.account, "image")


def _groups(context: Context, resources: Document) -> list[Document]:
    named = resources.get("securityGroupIds") or []
    default = {"GroupId": default_group_id(context.account), "GroupName": DEFAULT_GROUP}
    return [{"GroupId": group, "GroupName": group} for group in named] or [default]


def _interface(context: Context, instance: Instance, network: Document, groups: list[Document]) -> Document:
    address = {"Primary": True} | {m: network[m] for m in ("PrivateIpAddress", "PrivateDnsName")}
    return network | {
        "NetworkInterfaceId": made_up_id("eni", context.account, instance.instance_id),
        "OwnerId": context.account.account_id,
        "Status": "in-use",
        "InterfaceType": "interface",
        "SourceDestCheck": True,
        "Groups": groups,
        "PrivateIpAddresses": [address],
        "Ipv6Addresses": [],
    }


def _profile(context: Context, role: str) -> Document:
    """Returns the instance profile; instanceRole is its name or its ARN."""
    arn = f"arn:{context.account.partition}:iam::{context.account.account_id}:instance-profile/{role}"
    return {"Arn": role if role.startswith("arn:") else arn, "Id": made_up_id("AIPA", context.account, role)}


def _reservation(context: Context, instance: Document) -> Document:
    return {
        "ReservationId": made_up_id("r", context.account, instance["InstanceId"]),
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


def _check_position(request: Document) -> None:
    """Checks NextToken, which is the last instance of the page before."""
    token = str(request.get("NextToken") or "")
    if token and not _INSTANCE_ID.fullmatch(token):
        raise Refused("The token is not valid: use the NextToken of the previous page.", "InvalidParameterValue")
