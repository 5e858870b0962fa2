"""Checks new compute environments against the catalogue, and updates against the current state (AWS Batch behaviour
3.3, 3.4, 3.7, 4.2). What depends on the request alone is checked by the api."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batchyard.core.capacity.catalogue import ARM64, BUNDLES, Catalogue, InstanceType
from batchyard.core.model.compute_resources import (
    DEFAULT_STRATEGY,
    MANAGED,
    ORDERED_STRATEGIES,
    SPOT_STRATEGIES,
    EnvironmentKind,
    Strategy,
    parse_compute_resources,
)
from batchyard.core.model.records import Environment
from batchyard.core.model.refusal import Refused

Document = dict[str, Any]

MAX_FARGATE_SUBNETS = 16  # AWS Batch behaviour 3.3
MAX_FARGATE_SECURITY_GROUPS = 5
SERVICE_LINKED_ROLE = "AWSServiceRoleForBatch"

# Members of computeResources whose change replaces instances (AWS Batch behaviour 3.7, infrastructure update).
INFRASTRUCTURE = (
    "allocationStrategy",
    "bidPercentage",
    "ec2Configuration",
    "ec2KeyPair",
    "imageId",
    "instanceRole",
    "instanceTypes",
    "launchTemplate",
    "placementGroup",
    "securityGroupIds",
    "subnets",
    "tags",
    "type",
    "updateToLatestImageVersion",
)
# What an update may name on Fargate, and what it may not in AWS's words: the whole list each time, as AWS has it.
FARGATE_SCALING = ("maxvCpus", "subnets", "securityGroupIds")
NOT_UPDATED_ON_FARGATE = tuple(sorted({*INFRASTRUCTURE, "updatePolicy"} - set(FARGATE_SCALING), key=str.lower))
NOT_ON_FARGATE = (
    f"The following parameters can't be updated for Fargate compute environment: {', '.join(NOT_UPDATED_ON_FARGATE)}."
)
REMOVED_BY_EMPTY = ("imageId", "ec2KeyPair", "placementGroup", "launchTemplate", "securityGroupIds", "subnets")
NO_MANUAL_SCALE_DOWN = (
    "Manually scaling down compute environment is not supported. Disconnecting job queues from compute environment "
    "will cause it to scale-down to minvCpus."
)
MIXED_ARCHITECTURES = "arm-based instance type cannot be used with other instance types"


def _members_of(document: Document) -> Document:
    members: Document = document.get("computeResources", {})
    return members


def check_new(type_: str, document: Document, catalogue: Catalogue) -> None:
    """Checks a new environment. `type_`: MANAGED or UNMANAGED. Raises Refused for instance types that are not in the
    catalogue or can't be mixed."""
    if type_ == MANAGED:
        _check_types(_members_of(document), catalogue)


def updated(environment: Environment, changes: Document, desired_vcpus: int, catalogue: Catalogue) -> Document:
    """Returns the environment's document with an update's members merged in. `desired_vcpus`: the current value.
    Raises Refused."""
    _check_members(environment, changes)
    before = _members_of(environment.document)
    after = _merged_resources(before, _members_of(changes), environment.kind)
    if changes.get("computeResources"):
        _check_amounts(environment, changes["computeResources"], after, desired_vcpus)
        _check_infrastructure(environment, before, changes["computeResources"])
        check_strategy(after)
        _check_types(after, catalogue)
    document = dict(environment.document)
    for member, value in changes.items():
        both = isinstance(value, dict) and isinstance(document.get(member), dict)
        document[member] = {**document[member], **value} if both else value
    if "computeResources" in changes:
        document["computeResources"] = after
    return document


def check_fargate_network(resources: Mapping[str, Any]) -> None:
    if len(resources.get("subnets", ())) > MAX_FARGATE_SUBNETS:
        raise Refused(f"Fargate supports a maximum of {MAX_FARGATE_SUBNETS} subnets.")
    if len(resources.get("securityGroupIds", ())) > MAX_FARGATE_SECURITY_GROUPS:
        raise Refused(f"Fargate supports a maximum of {MAX_FARGATE_SECURITY_GROUPS} security groups.")


def check_strategy(resources: Mapping[str, Any]) -> None:
    """Checks the allocation strategy against the type and the list (AWS Batch behaviour 3.4)."""
    parsed = parse_compute_resources(resources)
    kind, strategy = parsed.kind, parsed.strategy
    if kind is EnvironmentKind.EC2 and strategy in SPOT_STRATEGIES:
        raise Refused(f"{strategy} can only be used with compute resources of type SPOT.")
    if kind is EnvironmentKind.SPOT and strategy is Strategy.BEST_FIT_PROGRESSIVE_ORDERED:
        raise Refused(f"{strategy} can only be used with compute resources of type EC2.")
    if strategy in ORDERED_STRATEGIES and any(name in BUNDLES for name in parsed.instance_types):
        raise Refused(
            "Instance type bundles (e.g. optimal, default_x86_64) are not allowed for "
            f"{strategy} allocation strategy. Specify instance families or types directly."
        )


def check_together(environments: Sequence[Environment], catalogue: Catalogue) -> None:
    """Checks that the environments of one queue have one way of provisioning and one architecture (AWS Batch
    behaviour 4.2)."""
    kinds = {_provisioning(environment) for environment in environments}
    if kinds == {"EC2", "Fargate"}:
        raise Refused("Fargate and EC2 compute environments can not be mixed.")
    if len(kinds) > 1:
        raise Refused(f"Compute environments of {' and '.join(sorted(kinds))} can not be mixed in one job queue.")
    by_architecture: dict[str, str] = {}
    for environment in environments:
        types = allowed_types(environment, catalogue)
        if types:
            by_architecture.setdefault(types[0].architecture, environment.name)
    if len(by_architecture) > 1:
        words = " and ".join(f"{name} has {architecture}" for architecture, name in sorted(by_architecture.items()))
        raise Refused(f"All compute environments of a job queue must have one CPU architecture: {words}.")


def allowed_types(environment: Environment, catalogue: Catalogue) -> tuple[InstanceType, ...]:
    """Returns the types that an environment may launch, in list order; none where it has no instances."""
    return tuple(kind for entry in allowed_entries(environment, catalogue) for kind in entry)


def allowed_entries(environment: Environment, catalogue: Catalogue) -> tuple[tuple[InstanceType, ...], ...]:
    """Returns the same by entry of its list (Catalogue.entries). A name that a newer catalogue no longer has gives
    nothing."""
    if not environment.kind.has_instances:
        return ()
    names = [name for name in environment.compute_resources.instance_types if catalogue.knows(name)]
    return catalogue.entries(names)


def _provisioning(environment: Environment) -> str:
    if "eksConfiguration" in environment.document:
        return "EKS"
    kind = environment.kind
    if kind.is_fargate:
        return "Fargate"
    return "EC2" if kind.has_instances or not kind.is_managed else kind


def _check_types(resources: Mapping[str, Any], catalogue: Catalogue) -> None:
    types = catalogue.expand(resources.get("instanceTypes", ()))
    architectures = {kind.architecture for kind in types}
    if ARM64 in architectures and len(architectures) > 1:
        raise Refused(MIXED_ARCHITECTURES)
    _check_overrides(resources.get("launchTemplate", {}).get("overrides", ()), types, catalogue)


def _check_overrides(overrides: Sequence[Document], allowed: Sequence[InstanceType], catalogue: Catalogue) -> None:
    """Checks that the types of launch template overrides are among those of the environment, each in one override
    (AWS Batch behaviour 3.5)."""
    seen: set[str] = set()
    for name in [name for entry in overrides for name in entry["targetInstanceTypes"]]:
        members = {kind.name for kind in catalogue.expand([name])}
        if not members <= {kind.name for kind in allowed}:
            raise Refused(f"LaunchTemplate.overrides.targetInstanceTypes[]: [{name}] is not among the instanceTypes.")
        if members & seen:
            raise Refused(f"LaunchTemplate.overrides.targetInstanceTypes[] must not overlap, as [{name}] does.")
        seen |= members


def _check_members(environment: Environment, changes: Document) -> None:
    """Refuses members that do not apply to the kind of environment."""
    if not environment.kind.is_managed:
        for member in ("computeResources", "eksConfiguration", "updatePolicy"):
            if changes.get(member):
                raise Refused(f"{member} is not applicable for UNMANAGED Compute Environments.")
    elif "unmanagedvCpus" in changes:
        raise Refused("unmanagedvCpus is not applicable for managed Compute Environments")
    elif environment.kind.is_fargate:
        _check_on_fargate(changes)
    _check_role(environment, changes)


def _check_on_fargate(changes: Document) -> None:
    """Refuses members that can't change on Fargate. A member counts when it is named, even with its current value,
    as on AWS. Empty texts, lists and structures do not count: clients that fill every member send them."""
    named = {**_members_of(changes), "updatePolicy": changes.get("updatePolicy")}
    given = [member for member, value in named.items() if value not in (None, "", [], {})]
    if any(member in NOT_UPDATED_ON_FARGATE for member in given):
        raise Refused(NOT_ON_FARGATE)
    for member in given:
        if member not in FARGATE_SCALING:
            raise Refused(f"{member} is not applicable for Fargate.")


def _check_role(environment: Environment, changes: Document) -> None:
    role = changes.get("serviceRole")
    if role is None:
        return
    before, after = _is_linked(environment.document.get("serviceRole", "")), _is_linked(role)
    if before != after:
        names = "the service-linked role", "an ordinary role"
        was, wanted = names if before else names[::-1]
        raise Refused(
            f"The serviceRole cannot change from {was} to {wanted}: create a new compute environment with it instead."
        )


def _is_linked(role: str) -> bool:
    """Whether the role is the service-linked one, which an absent role means (AWS Batch behaviour 3.3)."""
    return not role or role.endswith(SERVICE_LINKED_ROLE)


def replaces_instances(before: Document, after: Document, changes: Document) -> bool:
    """Whether an update, from one document of an environment to the next, is an infrastructure update: one that changes
    what instances are made of (AWS Batch behaviour 3.7)."""
    was, becomes = _members_of(before), _members_of(after)
    newest = _members_of(changes).get("updateToLatestImageVersion", False)
    return newest or any(was.get(member) != becomes.get(member) for member in INFRASTRUCTURE)


def _merged_resources(before: Document, changes: Document, kind: EnvironmentKind) -> Document:
    """Merges an update into computeResources. Empty texts and lists remove a member; on Fargate empty lists change
    nothing (AWS Batch behaviour 3.7)."""
    after = dict(before)
    for member, value in changes.items():
        if member in REMOVED_BY_EMPTY and _is_empty(value):
            if not kind.is_fargate or not isinstance(value, list):
                after.pop(member, None)
        elif member == "scalingPolicy" and value.get("minScaleDownDelayMinutes") == 0:
            after.pop(member, None)
        elif member != "updateToLatestImageVersion":  # a command, not a property: it is false again afterwards
            after[member] = value
    return after


def _is_empty(value: Any) -> bool:
    return not any(value.values()) if isinstance(value, dict) else not value


def _check_amounts(environment: Environment, changes: Document, after: Document, desired_vcpus: int) -> None:
    parsed = parse_compute_resources(after)
    least, most = parsed.min_vcpus, parsed.max_vcpus
    if most < least:
        raise Refused("maxvCpus should be greater than or equal to minvCpus.")
    desired = changes.get("desiredvCpus")
    if desired is None:
        return
    if "eksConfiguration" in environment.document:
        raise Refused("desiredvCpus cannot be updated for EKS Compute Environments.")
    if not least <= desired <= most:
        raise Refused("desiredvCpus should be between minvCpus and maxvCpus.")
    if desired < desired_vcpus:
        raise Refused(NO_MANUAL_SCALE_DOWN)


def _check_infrastructure(environment: Environment, before: Document, changes: Document) -> None:
    """Checks that an infrastructure update has the service-linked role and a strategy other than BEST_FIT."""
    kind, wanted = environment.kind, EnvironmentKind(changes.get("type", environment.kind))
    both_alike = (kind.has_instances and wanted.has_instances) or (kind.is_fargate and wanted.is_fargate)
    if wanted is not kind and not both_alike:
        raise Refused(f"The type cannot change from {kind} to {wanted}: create a new compute environment instead.")
    if kind.is_fargate:
        check_fargate_network(changes)
        return
    named = [m for m in INFRASTRUCTURE if m in changes and changes[m] != before.get(m) and _counts(changes, before, m)]
    if not named or not kind.has_instances:
        return
    if not _is_linked(environment.document.get("serviceRole", "")):
        raise Refused(
            f"Only compute environments with the service-linked role {SERVICE_LINKED_ROLE} take infrastructure updates "
            f"({', '.join(named)}): create a new compute environment instead."
        )
    if environment.compute_resources.strategy is DEFAULT_STRATEGY:
        raise Refused(
            f"Compute environments with the allocation strategy {DEFAULT_STRATEGY} take no infrastructure updates "
            f"({', '.join(named)}): create a new compute environment instead."
        )


def _counts(changes: Document, before: Document, member: str) -> bool:
    """Whether naming the member changes anything: removing an absent one does not."""
    return member in before or not _is_empty(changes[member])
