"""Checks compute environments and their computeResources (AWS Batch behaviour 2.1, 3.3-3.5)."""

from __future__ import annotations

import re

from batchyard.api.checks import check_between, has_duplicates, require
from batchyard.core.capacity.catalogue import BUNDLES
from batchyard.core.capacity.environment_rules import (
    SERVICE_LINKED_ROLE,
    check_fargate_network,
    check_strategy,
)
from batchyard.core.model.compute_resources import DEFAULT_STRATEGY, EnvironmentKind
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

FARGATE_FORBIDDEN = (
    "minvCpus",
    "desiredvCpus",
    "instanceTypes",
    "instanceRole",
    "allocationStrategy",
    "bidPercentage",
    "spotIamFleetRole",
    "launchTemplate",
    "imageId",
    "ec2Configuration",
    "ec2KeyPair",
    "placementGroup",
    "tags",
    "scalingPolicy",
)


SCALE_DOWN_MINUTES_RANGE = (20, 10080)  # API: ComputeScalingPolicy; 0 unsets
UPDATE_MINUTES_RANGE = (1, 7200)  # API: UpdatePolicy
EC2_CONFIGURATIONS_RANGE = (1, 2)  # API: ComputeResource.ec2Configuration
IMAGE_TYPE = re.compile(r"(ECS|EKS)_[A-Z0-9_]+")
MAX_TEMPLATE_OVERRIDES = 10  # API: LaunchTemplateSpecification
TEMPLATE_VERSION = re.compile(r"|[0-9]+|\$Default|\$Latest")

EKS_CLUSTER = re.compile(r"arn:[^:]+:eks:([^:]+):[0-9]{12}:cluster/.+")
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
MAX_NAMESPACE_LENGTH = 63  # a DNS label


def check_new_environment(document: Document, account: Account) -> None:
    """Checks CreateComputeEnvironment, except name and tags."""
    require(document.get("state", "ENABLED") == "ENABLED", "Compute Environment must be created in ENABLED state.")
    if document["type"] == EnvironmentKind.UNMANAGED:
        _check_unmanaged(document)
    else:
        require("unmanagedvCpus" not in document, "unmanagedvCpus is not applicable for managed Compute Environments")
        require("computeResources" in document, "computeResources is required for MANAGED Compute Environments.")
        is_eks = "eksConfiguration" in document
        _check_resources(document["computeResources"], is_eks)
        if is_eks:
            _check_eks(document["eksConfiguration"], account)


def check_changed_environment(document: Document) -> None:
    """Checks what of UpdateComputeEnvironment does not depend on the environment's current state."""
    policy = document.get("updatePolicy", {})
    check_between(
        policy.get("jobExecutionTimeoutMinutes"), *UPDATE_MINUTES_RANGE, "updatePolicy.jobExecutionTimeoutMinutes"
    )
    resources = document.get("computeResources", {})
    _check_capacity(resources)
    _check_shared(resources)
    template = resources.get("launchTemplate", {})
    if any(template.values()):  # empty texts remove it
        _check_launch_template(template)


def _check_unmanaged(document: Document) -> None:
    role = document.get("serviceRole", "")
    require(role, "ServiceRole is required.")
    require(
        not role.endswith(SERVICE_LINKED_ROLE),
        "Service Linked Role cannot be used with UNMANAGED Compute Environment",
    )
    require(
        "computeResources" not in document, "computeResources is not applicable for UNMANAGED Compute Environments."
    )
    require(
        "eksConfiguration" not in document, "eksConfiguration is not applicable for UNMANAGED Compute Environments."
    )
    vcpus = document.get("unmanagedvCpus")
    require(vcpus is None or vcpus >= 0, f"unmanagedvCpus should be greater than or equal to 0, got {vcpus}.")


def _check_resources(resources: Document, is_eks: bool) -> None:
    kind = EnvironmentKind(resources["type"])
    require(resources["maxvCpus"] >= 0, f"maxvCpus should be greater than or equal to 0, got {resources['maxvCpus']}.")
    if kind is EnvironmentKind.MANAGED_INSTANCES:
        require("managedInstancesProvider" in resources, f"managedInstancesProvider is required for {kind}.")
        require(not is_eks, "Supported compute types for EKS compute environments are [EC2, SPOT]")
        return
    require("managedInstancesProvider" not in resources, f"managedInstancesProvider is not applicable for {kind}.")
    if kind.is_fargate:
        require(not is_eks, "Supported compute types for EKS compute environments are [EC2, SPOT]")
        _check_fargate(resources)
        return
    # In this order: clients read which member is missed first.
    require(resources.get("instanceRole"), "Instance role is required.")
    require("minvCpus" in resources, "Resource minvCpus is required.")
    _check_capacity(resources)
    require(resources.get("instanceTypes"), "Resource instanceTypes are required.")
    require(resources.get("subnets"), "Resource subnets are required.")
    # A launch template may contain the security groups; its content is not known here.
    require(resources.get("securityGroupIds") or resources.get("launchTemplate"), "Security group ids are required.")
    _check_strategy(resources, is_eks)
    _check_shared(resources)
    if "launchTemplate" in resources:
        _check_launch_template(resources["launchTemplate"])


def _check_fargate(resources: Document) -> None:
    for member in FARGATE_FORBIDDEN:
        # Clients that fill every member send empty lists and texts.
        absent = resources.get(member) in (None, "", [], {})
        require(absent, f"{member} is not applicable for Fargate.")
    require(resources.get("subnets"), "Resource subnets are required.")
    require(resources.get("securityGroupIds"), "Security group ids are required.")
    check_fargate_network(resources)


def _check_capacity(resources: Document) -> None:
    least, most, desired = (resources.get(name) for name in ("minvCpus", "maxvCpus", "desiredvCpus"))
    require(least is None or least >= 0, "minvCpus should be greater than or equal to 0.")
    if least is not None and most is not None:
        require(most >= least, "maxvCpus should be greater than or equal to minvCpus.")
    if desired is not None:
        fits = (least is None or desired >= least) and (most is None or desired <= most)
        require(fits and desired >= 0, "desiredvCpus should be between minvCpus and maxvCpus.")


def _check_strategy(resources: Document, is_eks: bool) -> None:
    strategy = resources.get("allocationStrategy", "")
    require(strategy or not is_eks, "allocationStrategy is required for EKS Compute Environments.")
    check_strategy(resources)
    if resources["type"] == EnvironmentKind.SPOT:
        require(
            resources.get("spotIamFleetRole") or strategy not in ("", DEFAULT_STRATEGY) or is_eks,
            "compute resource spotIamFleetRole is required.",
        )
    # On EC2 bidPercentage has no meaning, and AWS keeps it silently.


def _check_shared(resources: Document) -> None:
    """Checks the members that creation and update have in common."""
    bid = resources.get("bidPercentage")
    require(bid is None or 0 <= bid <= 100, "Bid percentage must be between 0 to 100.")
    delay = resources.get("scalingPolicy", {}).get("minScaleDownDelayMinutes")
    if delay != 0:
        check_between(delay, *SCALE_DOWN_MINUTES_RANGE, "scalingPolicy.minScaleDownDelayMinutes")
    configurations = resources.get("ec2Configuration", [])
    if configurations:
        check_between(len(configurations), *EC2_CONFIGURATIONS_RANGE, "The number of ec2Configuration entries")
    for configuration in configurations:
        require(
            IMAGE_TYPE.fullmatch(configuration["imageType"]),
            "Invalid imageType in ComputeResources.ec2Configuration",
        )


def _check_launch_template(template: Document) -> None:
    overrides = template.get("overrides", [])
    has_id, has_name = bool(template.get("launchTemplateId")), bool(template.get("launchTemplateName"))
    require(
        has_id or has_name or overrides,
        "One of LaunchTemplateId and LaunchTemplateName or LaunchTemplate.overrides should be provided",
    )
    require(
        len(overrides) <= MAX_TEMPLATE_OVERRIDES,
        f"LaunchTemplate.overrides size cannot be greater than {MAX_TEMPLATE_OVERRIDES}",
    )
    for entry in [template, *overrides]:
        require(
            not (entry.get("launchTemplateId") and entry.get("launchTemplateName")),
            "LaunchTemplate should have either LaunchTemplateId or LaunchTemplateName",
        )
        require(
            TEMPLATE_VERSION.fullmatch(entry.get("version", "")),
            "LaunchTemplateVersion must be either empty or a number or $Default or $Latest",
        )
    for entry in overrides:
        require(entry.get("targetInstanceTypes"), "LaunchTemplate.overrides.targetInstanceTypes[] is required")
    targets = [name for entry in overrides for name in entry["targetInstanceTypes"]]
    require(not has_duplicates(targets), "LaunchTemplate.overrides.targetInstanceTypes[] must not repeat a type.")
    require(
        not any(name in BUNDLES for name in targets),
        "LaunchTemplate.overrides.targetInstanceTypes[] must name families or types, not bundles.",
    )


def _check_eks(configuration: Document, account: Account) -> None:
    cluster = EKS_CLUSTER.fullmatch(configuration["eksClusterArn"])
    if cluster is None:
        raise Refused("eksClusterArn must be an EKS cluster ARN.")
    require(
        cluster.group(1) == account.region,
        "eksClusterArn must be in the same AWS region as the compute environment",
    )
    namespace = configuration["kubernetesNamespace"]
    require(namespace != "default", "kubernetesNamespace cannot be the default Kubernetes namespace")
    require(not namespace.startswith("kube-"), "kubernetesNamespace cannot be a reserved Kubernetes system namespace")
    require(
        len(namespace) <= MAX_NAMESPACE_LENGTH,
        f"kubernetesNamespace must less than or equal to {MAX_NAMESPACE_LENGTH} characters",
    )
    require(NAMESPACE.fullmatch(namespace), "kubernetesNamespace must be a valid Kubernetes namespace.")
