"""EC2 instance types as values: the resources of each, the types that an entry of `instanceTypes` means, and what
jobs can use of one (AWS Batch behaviour 3.3, 3.6). The catalogue itself is data, handed to the machine by the
composition root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import MILLI_PER_VCPU, Resources

X86_64 = "x86_64"
ARM64 = "arm64"
SCHEDULABLE_GPUS = "NVIDIA"  # Batch schedules no others: a g4ad has GPUs, but no job gets one (behaviour 3.3)
# The types that the words mean (AWS Batch behaviour 3.3, instance type bundles).
BUNDLES: dict[str, tuple[str, ...]] = {
    "optimal": ("m6i", "c6i", "r6i", "c7i"),
    "default_x86_64": ("m6i", "c6i", "r6i", "c7i"),
    "default_arm64": ("m6g", "c6g", "r6g", "c7g"),
}
METAL = "metal"  # also metal-24xl and its like

# What of an instance's memory no job gets (AWS Batch behaviour 3.6). The agent's reserve is ECS_RESERVED_MEMORY's
# default. Linux describes each page of 4096 bytes by 64 bytes, which is a 64th of the memory, and keeps some for
# itself: as much as makes an m4.large of 8192 MiB register the 7985 MiB that the user guide reports.
AGENT_RESERVE_MIB = 32
PAGE_DESCRIPTORS = 64
KERNEL_OWN_MIB = 47

SUGGESTIONS = 5  # names of a family's sizes in a refusal: enough to see the pattern, short enough to read


class InstanceType(Struct, frozen=True):
    """One type. `gpus`: whole devices of any maker; a fraction of one counts as none."""

    name: str
    milli_vcpus: int
    memory_mib: int  # nominal
    gpus: int = 0
    gpu_manufacturer: str = ""
    gpu_name: str = ""
    architecture: str = X86_64

    @property
    def family(self) -> str:
        return self.name.partition(".")[0]

    @property
    def is_metal(self) -> bool:
        return self.name.partition(".")[2].startswith(METAL)

    @property
    def schedulable_gpus(self) -> int:
        return self.gpus if self.gpu_manufacturer == SCHEDULABLE_GPUS else 0


def registered(kind: InstanceType) -> Resources:
    """Returns what jobs can use of an instance of this type, which it also takes from the host's ledger: all vCPUs,
    the memory less the kernel's share and the ECS agent's, and the GPUs that Batch schedules."""
    kernel_mib = kind.memory_mib // PAGE_DESCRIPTORS + KERNEL_OWN_MIB
    memory_mib = max(0, kind.memory_mib - kernel_mib - AGENT_RESERVE_MIB)
    return Resources(kind.milli_vcpus, memory_mib, kind.schedulable_gpus)


class Catalogue(Struct, frozen=True):
    """Every known type, by name."""

    types: Mapping[str, InstanceType]

    def entries(self, names: Sequence[str]) -> tuple[tuple[InstanceType, ...], ...]:
        """Returns the types that each entry of an environment's `instanceTypes` means, in list order; within a
        family the smallest first. Each type is in one entry: its own name's, else the first one of its family; a
        bundle gives one entry for each of its families. Raises Refused for a name that is no type, family or bundle."""
        spelled = [one for name in names for one in BUNDLES.get(name, (name,))]
        taken = {name for name in spelled if name in self.types}
        found: list[tuple[InstanceType, ...]] = []
        seen: set[str] = set()
        for name in spelled:
            if name in seen:
                continue
            seen.add(name)
            found.append((self.types[name],) if name in taken else self._family(name, taken))
        return tuple(entry for entry in found if entry)

    def knows(self, name: str) -> bool:
        """Whether it is a type, a family or a bundle."""
        return name in self.types or name in BUNDLES or bool(self._members(name))

    def expand(self, names: Sequence[str]) -> tuple[InstanceType, ...]:
        """Returns the same in one list."""
        return tuple(kind for entry in self.entries(names) for kind in entry)

    def _family(self, name: str, taken: set[str]) -> tuple[InstanceType, ...]:
        """Returns the types of a family, which never includes its metal sizes (AWS Batch behaviour 3.3)."""
        members = [kind for kind in self._members(name) if not kind.is_metal]
        if not members:
            raise Refused(self._unknown(name))
        return tuple(kind for kind in members if kind.name not in taken)

    def _members(self, family: str) -> list[InstanceType]:
        members = [kind for kind in self.types.values() if kind.family == family]
        return sorted(members, key=lambda kind: (kind.milli_vcpus, kind.memory_mib, kind.name))

    def _unknown(self, name: str) -> str:
        family = name.partition(".")[0]
        members = self._members(family)
        known = ", ".join(kind.name for kind in members[:SUGGESTIONS])
        if members and "." in name:
            hint = f"The family {family} has {known}" + (" and more." if len(members) > SUGGESTIONS else ".")
        elif members:
            hint = f"The family {family} has only metal sizes, which have to be named: {known}."
        else:
            hint = f"Name types (c5.large), families (c5) or one of {', '.join(BUNDLES)}."
        return f"The instance type [{name}] does not exist. {hint}"


def catalogue_of(document: Mapping[str, Any]) -> Catalogue:
    """Builds the catalogue from the vendored file: {"families": {name: {architecture, gpu, sizes: {size: [vCPUs,
    MiB, GPUs]}}}}."""
    families = msgspec.convert(document["families"], dict[str, _Family])
    types: dict[str, InstanceType] = {}
    for family_name, family in families.items():
        for size, amounts in family.sizes.items():
            gpus = amounts[2] if len(amounts) > 2 else 0
            maker, model = family.gpu if gpus else ("", "")
            name = f"{family_name}.{size}"
            types[name] = InstanceType(
                name, amounts[0] * MILLI_PER_VCPU, amounts[1], gpus, maker, model, family.architecture
            )
    return Catalogue(types)


class _Family(Struct, frozen=True):
    architecture: str
    sizes: dict[str, list[int]]
    gpu: tuple[str, str] = ("", "")  # maker and model
