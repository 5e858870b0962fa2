"""The resources that a container and a task may request on each platform (AWS Batch behaviour 6.5): one rule for
registration and for overrides.

Takes AWS documents that were checked for shape; amounts are as they
are written: vCPUs, MiB and GPUs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from batchyard.core.capacity import fargate
from batchyard.core.model.compute_resources import Platform
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import MILLI_PER_VCPU, Resources
from batchyard.core.model.text import quoted

Document = dict[str, Any]
Amounts = dict[str, Decimal]  # by type: VCPU, MEMORY, GPU

NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,6})?")  # below 1,000,000,000 of anything, so that sums stay in 64 bits
MIN_MEMORY_MIB = 4  # of a container (API: ResourceRequirement, EksContainerResourceRequirements)
OLD_MEMBERS = {"vcpus": "VCPU", "memory": "MEMORY"}  # what they are called in resourceRequirements
MEMBERS = ("resourceRequirements", *OLD_MEMBERS)  # of overrides: those that this is about
WINDOWS_FAMILIES = (
    "WINDOWS_SERVER_2019_CORE",
    "WINDOWS_SERVER_2019_FULL",
    "WINDOWS_SERVER_2022_CORE",
    "WINDOWS_SERVER_2022_FULL",
)
MIN_WINDOWS_VCPUS = 1  # API: RuntimePlatform


def listed(requirements: Sequence[Document]) -> Amounts:
    """Checks resourceRequirements of a container or of overrides: no type twice, numbers only, whole GPUs."""
    amounts: Amounts = {}
    for entry in requirements:
        kind, text = entry["type"], entry["value"]
        if kind in amounts:
            raise Refused("Cannot provide duplicates in resourceRequirements.")
        if not NUMBER.fullmatch(text):
            raise _not_numeric(text, kind)
        amounts[kind] = Decimal(text)
    gpus = amounts.get("GPU")
    if gpus is not None and gpus < 1:
        raise Refused(f"GPU must be at least 1, got {gpus}.")
    if gpus is not None and gpus != gpus.to_integral_value():
        raise _not_numeric(gpus, "GPU")  # AWS has one text for both
    return amounts


def written(document: Document, platform: Platform | None) -> Amounts:
    """Returns the amounts in a containerProperties document or an override, in the old members or in
    resourceRequirements. `platform`: None for overrides whose definition is not known yet."""
    amounts = listed(document.get("resourceRequirements", []))
    old = _old(document)
    if old and amounts.keys() & {"VCPU", "MEMORY"}:
        raise Refused("Cannot use both ECS containerProperties vcpus/memory and resourceRequirement VCPU/MEMORY.")
    if old and platform is Platform.FARGATE:
        raise Refused("vcpus and memory are not applicable for Fargate. Use resourceRequirements instead.")
    return amounts | old


def merged(container: Document) -> Amounts:
    """Returns what a container asks for after its overrides, which may leave one amount in an old member and one in the
    new list."""
    return _old(container) | listed(container.get("resourceRequirements", []))


def settled(container: Document) -> Document:
    """Returns the container with all its amounts in the new list where it has one: as registration takes it."""
    if not container.get("resourceRequirements"):
        return container
    old = [{"type": kind, "value": str(container[m])} for m, kind in OLD_MEMBERS.items() if m in container]
    rest = {member: value for member, value in container.items() if member not in OLD_MEMBERS}
    return rest | {"resourceRequirements": [*container["resourceRequirements"], *old]}


def check_container(amounts: Amounts, platform: Platform) -> tuple[Decimal, Decimal]:
    """Checks one container's amounts. Returns its vCPUs and MiB; Fargate's pairs are the task's (check_task)."""
    vcpus, memory_mib = amounts.get("VCPU"), amounts.get("MEMORY")
    if "GPU" in amounts and platform is Platform.FARGATE:
        raise Refused("GPU is not applicable for Fargate.")
    if vcpus is None:
        raise Refused("vCPU is required.")
    if memory_mib is None:
        raise Refused("Memory is required.")
    if platform is not Platform.FARGATE:
        _check_vcpus(vcpus)
        _check_memory(memory_mib)
    return vcpus, memory_mib


def resources_of(container: Document, *, fractions: bool = False) -> Resources:
    """Returns the resources a container asks for after its overrides; `fractions` of a vCPU on Fargate only. Raises
    Refused for amounts that no task can have."""
    amounts = merged(container)
    vcpus, memory_mib = amounts.get("VCPU", Decimal()), amounts.get("MEMORY", Decimal())
    milli_vcpus = int((vcpus * MILLI_PER_VCPU).to_integral_value())
    if not fractions or milli_vcpus < 1:
        _check_vcpus(vcpus)
    _check_memory(memory_mib)
    return Resources(milli_vcpus, int(memory_mib), int(amounts.get("GPU", 0)))


def check_task(asked: Sequence[tuple[Decimal, Decimal]], platform: Platform) -> Decimal:
    """Checks a whole task's amounts. `asked`: vCPUs and MiB of each container. Returns the vCPUs of all."""
    vcpus = sum((vcpus for vcpus, _ in asked), Decimal())
    memory_mib = sum((memory_mib for _, memory_mib in asked), Decimal())
    if platform is Platform.FARGATE:
        milli_vcpus = vcpus * MILLI_PER_VCPU
        is_whole = milli_vcpus == milli_vcpus.to_integral_value()
        if not is_whole or memory_mib not in fargate.PAIRS.get(int(milli_vcpus), frozenset()):
            # Two decimals are AWS's: (2.00 vCPU, 1024 MiB).
            raise Refused(f"Fargate resource requirements ({vcpus:.2f} vCPU, {memory_mib} MiB) not valid.")
    return vcpus


def check_windows(vcpus: Decimal, family: str) -> None:
    """`vcpus` of a whole task; `family`: runtimePlatform.operatingSystemFamily."""
    if family in WINDOWS_FAMILIES and vcpus < MIN_WINDOWS_VCPUS:
        raise Refused(f"vCPU must be at least {MIN_WINDOWS_VCPUS} for Windows Job definition, got {vcpus}.")


def check_overridden(
    overrides: Sequence[Document], containers: Sequence[Document], platform: Platform, around: Document
) -> None:
    """Checks what overrides ask for, and what the containers ask for with them, by the rules of registration.
    `around`: the document that has runtimePlatform."""
    for override in overrides:
        written(override, platform)
    vcpus = check_task([check_container(merged(one), platform) for one in containers], platform)
    check_windows(vcpus, around.get("runtimePlatform", {}).get("operatingSystemFamily", ""))


def _old(document: Document) -> Amounts:
    return {kind: Decimal(document[member]) for member, kind in OLD_MEMBERS.items() if member in document}


def _check_vcpus(vcpus: Decimal) -> None:
    if vcpus < 1:
        raise Refused(f"vCPU must be at least 1, got {vcpus}.")
    _check_whole(vcpus, "vCPU")


def _check_memory(memory_mib: Decimal) -> None:
    if memory_mib < MIN_MEMORY_MIB:
        raise Refused(f"Memory must be at least {MIN_MEMORY_MIB} Mib, got {memory_mib} Mib.")
    _check_whole(memory_mib, "Memory")


def _check_whole(value: Decimal, kind: str) -> None:
    if value != value.to_integral_value():
        raise Refused(f"{kind} must be a whole number, got {value}.")


def _not_numeric(value: object, kind: str) -> Refused:
    return Refused(
        f"Value {quoted(value)} for type {kind} in resourceRequirement is not valid. Please provide a numeric value."
    )
