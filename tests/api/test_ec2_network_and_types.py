"""Regions, subnets, security groups and instance types as EC2's clients read them; and the members of instances that
clients index without asking."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.core.model import reports
from batchyard.core.model.records import Instance, InstanceState, Market
from batchyard.core.model.resources import Resources
from tests.api.service import ROLE, START_MS, Service

Document = dict[str, Any]

HOST = "i-0123456789abcdef0"
OWN = "i-00000000000000aaa"
RESOURCES: Document = {
    "type": "SPOT", "minvCpus": 0, "maxvCpus": 4, "instanceTypes": ["m5.large"], "instanceRole": "ecsInstanceRole",
    "subnets": ["subnet-2", "subnet-1"], "securityGroupIds": ["sg-1", "sg-2"], "imageId": "ami-1", "ec2KeyPair": "mine",
    "placementGroup": "near", "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED",
}  # fmt: skip
# What clients take without asking whether it is there: ParallelCluster's awsbhosts the first two.
INDEXED = (
    "PrivateIpAddress", "PrivateDnsName", "PublicDnsName", "InstanceId", "InstanceType", "ImageId", "SubnetId", "VpcId",
    "State", "Placement", "SecurityGroups", "NetworkInterfaces", "Architecture", "CpuOptions", "Tags", "Monitoring",
    "BlockDeviceMappings", "AmiLaunchIndex", "ProductCodes", "StateTransitionReason", "EbsOptimized",
    "VirtualizationType",
)  # fmt: skip


@pytest.fixture
def yard(service: Service) -> Service:
    """With a Spot instance of an environment, beside this machine."""
    service.call(
        "CreateComputeEnvironment",
        {"computeEnvironmentName": "cloud", "type": "MANAGED", "computeResources": RESOURCES, "serviceRole": ROLE},
    )
    instance = Instance(
        OWN, Resources(2000, 1024), environment="cloud", instance_type="m5.large", market=Market.SPOT,
        launched_at_ms=START_MS, state=InstanceState.DRAINING, ends_at_ms=START_MS + 1000,
    )  # fmt: skip
    service.machine.world.add_instance(instance)
    return service


def instance(service: Service, instance_id: str) -> Document:
    (reservation,) = service.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
    found: Document = reservation["Instances"][0]
    return found


def refused(service: Service, operation: str, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        getattr(service.client("ec2"), operation)(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_instances_have_what_clients_index_without_asking(yard: Service) -> None:
    for instance_id in (HOST, OWN):
        found = instance(yard, instance_id)
        assert [member for member in INDEXED if member not in found] == []
        assert found["PrivateDnsName"] == "yard.example"
        (interface,) = found["NetworkInterfaces"]
        assert interface["SubnetId"] == found["SubnetId"]
        assert interface["PrivateIpAddress"] == found["PrivateIpAddress"] == "127.0.0.1"


def test_an_instance_is_made_of_what_its_environment_says(yard: Service) -> None:
    found = instance(yard, OWN)
    assert (found["ImageId"], found["SubnetId"], found["KeyName"]) == ("ami-1", "subnet-2", "mine")
    assert found["Placement"] == {"AvailabilityZone": "us-east-1a", "Tenancy": "default", "GroupName": "near"}
    assert [group["GroupId"] for group in found["SecurityGroups"]] == ["sg-1", "sg-2"]
    assert found["IamInstanceProfile"]["Arn"] == "arn:aws:iam::123456789012:instance-profile/ecsInstanceRole"
    assert found["CpuOptions"]["CoreCount"] * found["CpuOptions"]["ThreadsPerCore"] == 2
    host = instance(yard, HOST)
    assert host["VpcId"] == found["VpcId"]
    assert host["ImageId"].startswith("ami-")
    assert host["ImageId"] != "ami-1"


def test_what_an_instance_names_can_be_asked_for(yard: Service) -> None:
    ec2 = yard.client("ec2")
    for instance_id in (HOST, OWN):
        found = instance(yard, instance_id)
        (subnet,) = ec2.describe_subnets(SubnetIds=[found["SubnetId"]])["Subnets"]
        assert subnet["VpcId"] == found["VpcId"]
        named = [group["GroupId"] for group in found["SecurityGroups"]]
        groups = ec2.describe_security_groups(GroupIds=named)["SecurityGroups"]
        assert [group["GroupId"] for group in groups] == sorted(named)
        (kind,) = ec2.describe_instance_types(InstanceTypes=[found["InstanceType"]])["InstanceTypes"]
        assert kind["ProcessorInfo"]["SupportedArchitectures"] == [found["Architecture"]]


def test_an_ended_instance_is_terminated_for_an_hour(yard: Service) -> None:
    yard.machine.report("process", reports.InstanceGone(OWN), yard.now_ms)
    yard.tick(1)
    found = instance(yard, OWN)
    assert found["State"] == {"Code": 48, "Name": "terminated"}
    assert found["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert found["InstanceLifecycle"] == "spot"
    assert "PrivateIpAddress" not in found
    filters = [{"Name": "instance-state-name", "Values": ["terminated"]}]
    assert len(yard.client("ec2").describe_instances(Filters=filters)["Reservations"]) == 1
    clusters = yard.client("ecs").list_clusters()["clusterArns"]
    listed = [yard.client("ecs").list_container_instances(cluster=one)["containerInstanceArns"] for one in clusters]
    assert not any(OWN in arn for arns in listed for arn in arns), "ECS forgets an instance at once"
    yard.tick(3600 * 1000)
    assert refused(yard, "describe_instances", InstanceIds=[OWN])[0] == "InvalidInstanceID.NotFound"


def test_the_region_is_the_services_own(yard: Service) -> None:
    ec2 = yard.client("ec2")
    (region,) = ec2.describe_regions()["Regions"]
    assert (region["RegionName"], region["OptInStatus"]) == ("us-east-1", "opt-in-not-required")
    assert ec2.describe_regions(RegionNames=["us-east-1"], AllRegions=True)["Regions"] == [region]
    assert refused(yard, "describe_regions", RegionNames=["mars-1"])[0] == "InvalidParameterValue"
    found = ec2.describe_regions(Filters=[{"Name": "region-name", "Values": ["eu-*"]}])
    assert found["Regions"] == []


def test_subnets_are_those_of_environments_and_a_default_one(yard: Service) -> None:
    ec2 = yard.client("ec2")
    subnets = {each["SubnetId"]: each for each in ec2.describe_subnets()["Subnets"]}
    (default,) = [name for name, each in subnets.items() if each["DefaultForAz"]]
    assert set(subnets) == {default, "subnet-1", "subnet-2"}
    chosen = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    assert [each["SubnetId"] for each in chosen] == [default]
    assert refused(yard, "describe_subnets", SubnetIds=["subnet-1", "subnet-9"]) == (
        "InvalidSubnetID.NotFound",
        "The subnet ID 'subnet-9' does not exist",
    )
    assert refused(yard, "describe_subnets", DryRun=True)[0] == "DryRunOperation"


def test_security_groups_are_found_by_id_and_by_name(yard: Service) -> None:
    ec2 = yard.client("ec2")
    groups = ec2.describe_security_groups()["SecurityGroups"]
    (default,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    assert {each["GroupId"] for each in groups} == {"sg-1", "sg-2", default["GroupId"]}
    assert refused(yard, "describe_security_groups", GroupIds=["sg-9"]) == (
        "InvalidGroup.NotFound",
        "The security group 'sg-9' does not exist",
    )
    assert refused(yard, "describe_security_groups", GroupNames=["web"])[0] == "InvalidGroup.NotFound"


def test_instance_types_are_the_catalogues(yard: Service) -> None:
    ec2 = yard.client("ec2")
    gpu, large = ec2.describe_instance_types(InstanceTypes=["m5.large", "g4dn.xlarge"])["InstanceTypes"]
    assert large["VCpuInfo"]["DefaultVCpus"] == 2
    assert large["MemoryInfo"]["SizeInMiB"] == 8192
    assert "GpuInfo" not in large
    assert gpu["GpuInfo"]["Gpus"][0]["Count"] == 1
    filters = [
        {"Name": "processor-info.supported-architecture", "Values": ["arm64"]},
        {"Name": "vcpu-info.default-vcpus", "Values": ["2"]},
        {"Name": "bare-metal", "Values": ["false"]},
    ]
    found = {each["InstanceType"] for each in ec2.describe_instance_types(Filters=filters)["InstanceTypes"]}
    assert {"m6g.large", "c6g.large"} <= found
    assert "m5.large" not in found
    assert refused(yard, "describe_instance_types", InstanceTypes=["m5.huge", "m5.large"]) == (
        "InvalidInstanceType",
        "The following supplied instance types do not exist: [m5.huge]",
    )
    (local,) = ec2.describe_instance_types(InstanceTypes=["local"])["InstanceTypes"]
    assert (local["VCpuInfo"]["DefaultVCpus"], local["MemoryInfo"]["SizeInMiB"]) == (4, 4096)
