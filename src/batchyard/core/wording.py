"""Numbers in sentences."""

from __future__ import annotations

from batchyard.core.resources import MILLI_PER_VCPU, format_vcpus


def counted(count: int, noun: str) -> str:
    """`1 job`, `3 jobs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def vcpus(milli_vcpus: int) -> str:
    """`1 vCPU`, `0.25 vCPUs`, `2 vCPUs`."""
    return f"{format_vcpus(milli_vcpus)} vCPU{'' if milli_vcpus == MILLI_PER_VCPU else 's'}"


def gpus(count: int) -> str:
    return counted(count, "GPU")
