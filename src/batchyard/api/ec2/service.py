"""EC2: the instances behind AWS Batch, their types, and the parts of a network that its clients ask for."""

from __future__ import annotations

from batchyard.api.ec2 import instance_types, instances, network
from batchyard.api.service_descriptor import ServiceDescriptor

SERVICE = ServiceDescriptor(
    name="ec2",
    title="EC2",
    is_for_jobs=False,
    invalid_code="InvalidParameterValue",
    operations={
        "DescribeInstances": instances.describe_instances,
        "DescribeInstanceTypes": instance_types.describe_instance_types,
        "DescribeRegions": network.describe_regions,
        "DescribeSecurityGroups": network.describe_security_groups,
        "DescribeSubnets": network.describe_subnets,
    },
)
