"""Service environments in the machine."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import service_commands as s
from batchyard.core.model.commands import Command
from batchyard.core.model.records import State
from batchyard.core.model.refusal import Refused
from batchyard.core.model.service_records import SAGEMAKER_TRAINING
from batchyard.core.service_jobs import service_environments
from tests.core.driver import Driver

LIMITS = ({"maxCapacity": 4, "capacityUnit": "NUM_INSTANCES"},)
CREATE = s.CreateServiceEnvironment("training", SAGEMAKER_TRAINING, "ENABLED", LIMITS, {"a": "b"})


@pytest.fixture
def driver() -> Driver:
    driver = Driver()
    driver.do(CREATE)
    return driver


def test_what_an_update_leaves_out_stays(driver: Driver) -> None:
    more = ({"maxCapacity": 5, "capacityUnit": "NUM_INSTANCES"},)
    driver.do(s.UpdateServiceEnvironment("training", capacity_limits=more))
    driver.do(s.UpdateServiceEnvironment("training", "DISABLED"))
    found = service_environments.find(driver.machine.world, "training")
    assert (found.state, found.capacity_limits, found.tags) == (State.DISABLED, more, {"a": "b"})


def test_a_restart_keeps_it(driver: Driver) -> None:
    before = service_environments.find(driver.machine.world, "training")
    driver.crash()
    assert service_environments.find(driver.machine.world, "training") == before


def test_it_is_gone_once_deleted(driver: Driver) -> None:
    driver.do(s.UpdateServiceEnvironment("training", "DISABLED"))
    driver.do(s.DeleteServiceEnvironment("training"))
    driver.crash()
    with pytest.raises(Refused, match="does not exist"):
        service_environments.find(driver.machine.world, "training")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (CREATE, "already exists"),
        (s.UpdateServiceEnvironment("none", "DISABLED"), "none does not exist"),
        (s.DeleteServiceEnvironment("none"), "none does not exist"),
        (s.DeleteServiceEnvironment("training"), "must be DISABLED first"),
    ],
)
def test_what_is_refused(driver: Driver, command: Command[Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        driver.do(command)
