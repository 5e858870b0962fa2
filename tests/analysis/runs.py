"""Runs for the tests of the analysis."""

from typing import Any

from batchyard.analysis.past_runs import SUCCEEDED, PastInstance, PastRun

HOUR_MS = 3_600_000


def run(**members: Any) -> PastRun:
    """An attempt of a vCPU and a GiB that ran from 0 to an hour."""
    plain: dict[str, Any] = {
        "job_id": "job",
        "attempt": 1,
        "queue": "work",
        "definition": "step:1",
        "share": "",
        "principal": "",
        "environment": "fleet",
        "tags": {},
        "started_at_ms": 0,
        "stopped_at_ms": HOUR_MS,
        "milli_vcpus": 1000,
        "memory_mib": 1024,
        "gpus": 0,
        "outcome": SUCCEEDED,
        "is_last": True,
    }
    return PastRun(**plain | members)


def instance(**members: Any) -> PastInstance:
    """One of two vCPUs and 4 GiB, from 0 to two hours, for $0.22 an hour: $0.01 for each GiB, and for each ninth of a
    vCPU."""
    plain: dict[str, Any] = {
        "instance_id": "i-1",
        "instance_type": "c6i.large",
        "environment": "fleet",
        "market": "ON_DEMAND",
        "launched_at_ms": 0,
        "ended_at_ms": 2 * HOUR_MS,
        "milli_vcpus": 2000,
        "memory_mib": 4096,
        "gpus": 0,
        "hourly_micro_dollars": 220_000,
    }
    return PastInstance(**plain | members)
