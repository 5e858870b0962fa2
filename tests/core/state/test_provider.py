"""Capacity providers by name: each has a ledger of its own."""

from __future__ import annotations

from batchyard.core.model import commands as c
from batchyard.core.model.effects import TerminateInstance
from batchyard.core.model.records import Instance, InstanceState, Status
from batchyard.core.model.reports import InstanceReady
from batchyard.core.model.resources import Resources
from tests.core.driver import ENGINE, Driver

RACK = "rack"


def driver_of(vcpus: int = 4, rack_vcpus: int = 2) -> Driver:
    """This host, and beside it the machine of another provider, with an environment and a queue of its name."""
    driver = Driver(vcpus, memory_mib=16_384)
    driver.machines[RACK] = Instance("i-rack", Resources(1000 * rack_vcpus, 16_384))
    driver.set_host()
    command = c.CreateComputeEnvironment(
        RACK, "uuid-rack", "UNMANAGED", "ENABLED", ENGINE, {}, is_settled=True, provider=RACK
    )
    driver.do(command)
    driver.queue(RACK, RACK)
    requirements = [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "64"}]
    driver.define("two", container={"resourceRequirements": requirements})
    return driver


def instance_of(driver: Driver, job_id: str) -> str:
    attempt = driver.job(job_id).attempt
    assert attempt is not None, f"{job_id} is {driver.status(job_id)}"
    (placement,) = attempt.placements
    return placement.instance_id


def test_an_environment_runs_its_jobs_on_the_machine_of_its_provider() -> None:
    driver = driver_of()
    there = [driver.submit(queue=RACK) for _ in range(3)]
    here = [driver.submit() for _ in range(5)]
    assert [driver.status(job) for job in there] == [Status.STARTING] * 2 + [Status.RUNNABLE]
    assert [driver.status(job) for job in here] == [Status.STARTING] * 4 + [Status.RUNNABLE]
    assert {instance_of(driver, job) for job in there[:2]} == {"i-rack"}
    assert {instance_of(driver, job) for job in here[:4]} == {driver.host.instance_id}
    driver.exited(there[0])
    assert driver.status(there[2]) is Status.STARTING, "what one gives back is its own provider's"
    assert driver.status(here[4]) is Status.RUNNABLE


def test_launch_and_stop_name_the_instance() -> None:
    driver = driver_of()
    job = driver.submit(queue=RACK)
    launch = driver.launched[driver.attempt_of(job)]
    assert launch.attempt_node.instance_id == "i-rack"
    driver.do(c.TerminateJob(job, "enough"))
    assert [stop.attempt_node for stop in driver.stops] == [launch.attempt_node]


def test_instances_reserve_of_their_own_provider() -> None:
    driver = driver_of(rack_vcpus=4)
    driver.fleet("racked", "c5.large", provider=RACK)
    driver.fleet("local-fleet", "c5.large")
    jobs = [driver.submit(queue="racked", definition="two") for _ in range(3)]
    world = driver.machine.world
    free = {name: provider.ledger.free.milli_vcpus for name, provider in world.instances.providers.items()}
    assert free == {"host": 4000, RACK: 0}
    assert [i.provider for i in driver.instances("racked")] == [RACK, RACK]
    driver.booted()
    assert [driver.status(job) for job in jobs] == [Status.STARTING] * 2 + [Status.RUNNABLE]
    driver.submit(queue="local-fleet", definition="two")
    assert [i.provider for i in driver.instances("local-fleet")] == ["host"]
    assert world.instances.providers["host"].ledger.free.milli_vcpus == 2000


def test_providers_are_known_again_after_a_restart() -> None:
    driver = driver_of(rack_vcpus=4)
    driver.fleet("racked", "c5.large", provider=RACK)
    job = driver.submit(queue="racked", definition="two")
    driver.booted()
    local = driver.submit(queue=RACK)
    driver.crash()
    assert (driver.status(job), driver.status(local)) == (Status.STARTING, Status.STARTING)
    assert driver.machine.world.instances.providers[RACK].ledger.free.milli_vcpus == 1000
    driver.exited(job)
    driver.exited(local)
    driver.tick(24 * 3600 * 1000)
    assert driver.gone()
    assert driver.machine.world.instances.providers[RACK].ledger.free.milli_vcpus == 4000


def test_jobs_wait_without_a_verdict_while_their_provider_is_not_known() -> None:
    driver = Driver()
    command = c.CreateComputeEnvironment(
        RACK, "uuid-rack", "UNMANAGED", "ENABLED", ENGINE, {}, is_settled=True, provider=RACK
    )
    driver.do(command)
    driver.queue(RACK, RACK)
    job = driver.submit(queue=RACK)
    assert (driver.status(job), driver.job(job).set_aside_at_ms) == (Status.RUNNABLE, 0)
    driver.machines[RACK] = Instance("i-rack", Resources(2000, 4096))
    driver.set_host()
    assert instance_of(driver, job) == "i-rack"


def test_an_unknown_instance_is_ended_by_the_provider_that_reported_it() -> None:
    driver = driver_of()
    driver.machine.report(RACK, InstanceReady("i-unknown"), driver.now_ms)
    _, effects = driver.machine.take()
    assert effects == [TerminateInstance("i-unknown", RACK)]


def test_a_terminated_instance_names_its_provider() -> None:
    driver = driver_of(rack_vcpus=4)
    driver.fleet("racked", "c5.large", provider=RACK)
    job = driver.submit(queue="racked", definition="two")
    (instance_id,) = driver.booted()
    driver.exited(job)
    driver.tick(24 * 3600 * 1000)
    assert driver.machine.world.instances[instance_id].state is InstanceState.TERMINATING
    assert TerminateInstance(instance_id, RACK) in driver.machine.recover()
