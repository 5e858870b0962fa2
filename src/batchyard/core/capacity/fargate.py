"""Valid pairs of vCPU and memory of a task on Fargate (API: ResourceRequirement; AWS Batch 6.5)."""

from __future__ import annotations

# milli-vCPU -> allowed MiB.
PAIRS: dict[int, frozenset[int]] = {
    250: frozenset({512, 1024, 2048}),
    500: frozenset(range(1024, 4096 + 1, 1024)),
    1000: frozenset(range(2048, 8192 + 1, 1024)),
    2000: frozenset(range(4096, 16384 + 1, 1024)),
    4000: frozenset(range(8192, 30720 + 1, 1024)),
    8000: frozenset(range(16384, 61440 + 1, 4096)),
    16000: frozenset(range(32768, 122880 + 1, 8192)),
    32000: frozenset({61440, 122880, 249856}),
}
