"""Numbers and callers' own texts in sentences."""

from __future__ import annotations

from batchyard.core.model.resources import MILLI_PER_VCPU, format_vcpus

MAX_QUOTED_LENGTH = 128  # a refusal quotes no more of the caller's own text


def quoted(text: object) -> str:
    """Returns `text` for a refusal, cut to a readable length."""
    whole = str(text)
    return whole if len(whole) <= MAX_QUOTED_LENGTH else whole[:MAX_QUOTED_LENGTH] + "..."


def counted(count: int, noun: str) -> str:
    """Formats a count: `1 job`, `3 jobs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def vcpus(milli_vcpus: int) -> str:
    """Formats vCPUs: `1 vCPU`, `0.25 vCPUs`, `2 vCPUs`."""
    return f"{format_vcpus(milli_vcpus)} vCPU{'' if milli_vcpus == MILLI_PER_VCPU else 's'}"


def gpus(count: int) -> str:
    return counted(count, "GPU")
