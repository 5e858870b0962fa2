from __future__ import annotations

import pytest

from batchyard.core.model import facts
from batchyard.core.model.fact_kinds import Fact, kinds, register


def test_the_tags_are_those_that_are_stored() -> None:
    """A tag once released never changes: rows that hold it would be read as nothing."""
    assert (
        kinds().items()
        >= {
            "job": facts.JobStateChanged,
            "blocked": facts.JobQueueBlocked,
            "environment": facts.EnvironmentChanged,
            "instance": facts.InstanceChanged,
        }.items()
    )


def test_two_kinds_do_not_share_a_tag() -> None:
    with pytest.raises(AssertionError, match="two kinds of facts have the tag job"):

        @register
        class Another(Fact, frozen=True, tag="job"):
            pass

    assert kinds()["job"] is facts.JobStateChanged
