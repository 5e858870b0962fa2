"""Job definitions: revisions are counted for ever, and deregistered ones stay known (AWS Batch behaviour 2.3)."""

from __future__ import annotations

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.refusal import Refused
from tests.core.driver import Driver

DOCUMENT = {"type": "container", "containerProperties": {"image": "x"}}


def test_a_revision_s_number_is_never_given_twice() -> None:
    yard = Driver()
    first = yard.do(c.RegisterJobDefinition("made", DOCUMENT))
    yard.do(c.DeregisterJobDefinition("made", first.revision))
    second = yard.do(c.RegisterJobDefinition("made", DOCUMENT))
    known = yard.machine.world.definitions
    assert (first.revision, second.revision) == (1, 2)
    assert [known["made", number].status for number in (1, 2)] == ["INACTIVE", "ACTIVE"]


def test_a_revision_is_deregistered_once_and_must_exist() -> None:
    yard = Driver()
    yard.do(c.RegisterJobDefinition("made", DOCUMENT))
    yard.do(c.DeregisterJobDefinition("made", 1))
    ended_at_ms = yard.machine.world.definitions["made", 1].deregistered_at_ms
    yard.tick(1000)
    yard.do(c.DeregisterJobDefinition("made", 1))
    assert yard.machine.world.definitions["made", 1].deregistered_at_ms == ended_at_ms
    with pytest.raises(Refused, match=r"JobDefinition made:2 does not exist\."):
        yard.do(c.DeregisterJobDefinition("made", 2))
