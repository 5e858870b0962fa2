"""The life of a managed instance: what its reports change, and what befalls the attempts on it."""

from __future__ import annotations

import pytest

from batchyard.core.instances import instance_lifecycle
from batchyard.core.instances.instance_lifecycle import ENDED_KEPT_MS, REFUSAL_PAUSE_MS
from batchyard.core.model import reports
from batchyard.core.model.effects import LaunchInstance, TerminateInstance
from batchyard.core.model.records import HOST_PROVIDER, InstanceState
from batchyard.core.model.refusal import Refused
from batchyard.core.questions.overview import InterruptInstance
from tests.core.driver import HOST, Driver


@pytest.fixture
def driver() -> Driver:
    """With an instance that is being launched for a job."""
    driver = Driver(vcpus=16, memory_mib=65_536)
    driver.fleet("fleet", "c5.large")
    driver.submit(queue="fleet")
    return driver


def state(driver: Driver) -> InstanceState:
    (instance,) = driver.instances("fleet")
    return instance.state


def test_launched_ready_draining_gone(driver: Driver) -> None:
    assert state(driver) is InstanceState.LAUNCHING
    (name,) = driver.booted()
    assert state(driver) is InstanceState.READY
    driver.fact(reports.InstanceReady(name))
    assert state(driver) is InstanceState.READY, "a report that comes twice"
    driver.fact(reports.InstanceInterrupted(name, 120.0))
    assert state(driver) is InstanceState.DRAINING
    (stop,) = driver.stops
    assert stop.grace_seconds == 120.0
    driver.exited(driver.placed()[0], 1)
    assert state(driver) is InstanceState.TERMINATING
    driver.gone()
    assert name not in driver.machine.world.instances
    assert driver.machine.world.instances.ended[name].ended_at_ms == driver.now_ms
    driver.tick(ENDED_KEPT_MS)
    assert name not in driver.machine.world.instances.ended


def test_refused_capacity_pauses_the_environment(driver: Driver) -> None:
    (name,) = driver.launching
    del driver.launching[name]
    driver.fact(reports.InstanceRefused(name, "no capacity"))
    assert driver.machine.world.environments.paused["fleet"] == (driver.now_ms + REFUSAL_PAUSE_MS, "no capacity")
    assert not driver.instances("fleet")
    driver.tick(REFUSAL_PAUSE_MS)
    assert len(driver.instances("fleet")) == 1, "it is tried again"


def test_an_instance_that_is_not_known_is_asked_to_end() -> None:
    driver = Driver()
    driver.fact(reports.InstanceReady("i-stray"))
    assert driver.terminated == ["i-stray"]
    driver.fact(reports.InstanceGone("i-stray"))
    assert driver.terminated == ["i-stray"]


@pytest.mark.parametrize(("name", "words"), [("i-none", "does not exist"), (HOST, "is this machine itself")])
def test_what_cannot_be_interrupted(driver: Driver, name: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        driver.do(InterruptInstance(name, 0.0))


def test_after_a_restart_launches_and_ends_are_asked_again(driver: Driver) -> None:
    world = driver.machine.world
    (instance,) = driver.instances("fleet")
    assert instance_lifecycle.recovery(world) == [LaunchInstance(instance)]
    driver.booted()
    driver.exited(driver.placed()[0])
    instance_lifecycle.terminate(world, driver.instances("fleet")[0])
    assert instance_lifecycle.recovery(world) == [TerminateInstance(instance.instance_id, HOST_PROVIDER)]
