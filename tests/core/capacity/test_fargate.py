"""The pairs of vCPU and memory that Fargate knows."""

from __future__ import annotations

from batchyard.core.capacity.fargate import PAIRS


def test_the_smallest_and_the_largest() -> None:
    assert min(PAIRS) == 250
    assert PAIRS[250] == {512, 1024, 2048}
    assert max(PAIRS) == 32_000
    assert max(PAIRS[16_000]) == 122_880


def test_memory_per_vcpu_is_between_2_and_8_gib() -> None:
    for milli_vcpus, sizes in PAIRS.items():
        if milli_vcpus < 32_000:
            assert min(sizes) == milli_vcpus * 2048 // 1000, milli_vcpus
            assert max(sizes) <= milli_vcpus * 8192 // 1000, milli_vcpus


def test_a_pair_that_aws_does_not_list() -> None:
    assert 1024 not in PAIRS[1000]
    assert 17_408 not in PAIRS[8000], "in steps of 4 GiB"
