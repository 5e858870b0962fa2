"""How reasons are shortened for a row of a table."""

import pytest

from batchyard.cli.formats import short_reason

TOO_LARGE = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that "
    "can be met by the CE(s) attached to the job queue. 99 vCPUs asked, 16 at most there (--vcpus). Ask for less."
)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (TOO_LARGE, "JOB_RESOURCE_REQUIREMENT: 99 vCPUs asked, 16 at most there (--vcpus). Ask for less."),
        ("Essential container in task exited", "Essential container in task exited"),
        ("not this one - but that one", "not this one - but that one"),
        ("UNDETERMINED - Batch job is blocked", "UNDETERMINED: Batch job is blocked"),
        ("", ""),
    ],
)
def test_the_numbers_come_before_what_everybody_knows(reason: str, shown: str) -> None:
    assert short_reason({"statusReason": reason}) == shown
