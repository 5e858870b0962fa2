"""Amounts of resources as this program's own operations show them."""

from __future__ import annotations

from batchyard.core.model.resources import MILLI_PER_VCPU, Resources
from batchyard.wire.messages import Document


def amounts(resources: Resources) -> Document:
    """Returns vCPUs with their fraction, MiB of memory, GPUs."""
    return {
        "vcpus": resources.milli_vcpus / MILLI_PER_VCPU,
        "memory": resources.memory_mib,
        "gpus": resources.gpus,
    }
