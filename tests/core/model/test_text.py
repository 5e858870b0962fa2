"""Numbers and quotations in sentences."""

from __future__ import annotations

import pytest

from batchyard.core.model import text


def test_a_long_text_of_the_caller_is_cut() -> None:
    assert text.quoted("x" * text.MAX_QUOTED_LENGTH) == "x" * text.MAX_QUOTED_LENGTH
    assert text.quoted("x" * (text.MAX_QUOTED_LENGTH + 1)) == "x" * text.MAX_QUOTED_LENGTH + "..."
    assert text.quoted(1.5) == "1.5"


@pytest.mark.parametrize(("count", "words"), [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs")])
def test_counts(count: int, words: str) -> None:
    assert text.counted(count, "job") == words


@pytest.mark.parametrize(("milli_vcpus", "words"), [(1000, "1 vCPU"), (250, "0.25 vCPUs"), (2000, "2 vCPUs")])
def test_vcpus(milli_vcpus: int, words: str) -> None:
    assert text.vcpus(milli_vcpus) == words


def test_gpus() -> None:
    assert (text.gpus(1), text.gpus(2)) == ("1 GPU", "2 GPUs")
