"""GPUs that leave a machine, and what befalls the jobs on them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from batchyard.core.model import reports
from batchyard.core.model.commands import NoteGpuUse, SetGpus
from batchyard.core.model.gpus import GpuSample, GpuUse
from batchyard.core.model.records import InstanceState, Status
from batchyard.core.registry.machine_gpus import devices_in_use
from tests.core.driver import HOST, Driver

GPU = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}, {"type": "GPU", "value": "1"}]


@pytest.fixture
def driver() -> Driver:
    driver = Driver(vcpus=16, memory_mib=65_536, gpus=2)
    driver.may_shrink = True
    driver.define("gpu", container={"resourceRequirements": GPU})
    driver.define("again", container={"resourceRequirements": GPU}, retryStrategy={"attempts": 2})
    return driver


def devices(driver: Driver, job_id: str) -> tuple[int, ...]:
    return driver.launched[driver.attempt_of(job_id)].device_ids


def free(driver: Driver) -> tuple[int, list[int]]:
    available = driver.machine.world.instances.available[HOST]
    return available.free.gpus, available.gpu_ids


def test_one_without_a_job_leaves_the_ledger(driver: Driver) -> None:
    driver.do(SetGpus((1,), (0,)))
    assert free(driver) == (1, [1])
    assert not driver.stops
    first, second = driver.submit("gpu"), driver.submit("gpu")
    assert devices(driver, first) == (1,)
    assert driver.status(second) is Status.RUNNABLE


def test_the_job_of_a_lost_one_ends_as_with_its_host(driver: Driver) -> None:
    lost, kept, plain = driver.submit("gpu"), driver.submit("gpu"), driver.submit()
    for job_id in (lost, kept, plain):
        driver.started(job_id)
    driver.do(SetGpus((1,), (0,)))
    (stop,) = driver.stops
    assert stop.attempt_id == driver.attempt_of(lost)
    assert stop.grace_seconds == driver.machine.world.limits.stop_grace_seconds
    waiting = driver.submit("gpu")
    assert (free(driver), driver.status(waiting)) == ((-1, []), Status.RUNNABLE)
    driver.exited(lost, 143)
    job = driver.job(lost)
    assert (job.status, job.status_reason) == (Status.FAILED, f"Host EC2 (instance {HOST}) terminated.")
    assert (job.past[-1].is_lost, job.past[-1].exit_code) == (True, None)
    assert driver.status(waiting) is Status.RUNNABLE, "the device of the ended job is not given to another"
    assert driver.status(kept) is Status.RUNNING
    driver.exited(kept)
    assert devices(driver, waiting) == (1,)


def test_a_retry_starts_on_another_one(driver: Driver) -> None:
    job_id = driver.submit("again")
    driver.started(job_id)
    driver.do(SetGpus((1,), (0,)))
    driver.exited(job_id, 1)
    assert devices(driver, job_id) == (1,)


def test_a_job_that_succeeds_all_the_same_has_succeeded(driver: Driver) -> None:
    job_id = driver.submit("gpu")
    driver.started(job_id)
    driver.do(SetGpus((), (0, 1)))
    driver.exited(job_id)
    assert driver.status(job_id) is Status.SUCCEEDED
    assert free(driver) == (0, [])


def test_one_that_comes_back_is_offered_again(driver: Driver) -> None:
    job_id = driver.submit("gpu")
    driver.started(job_id)
    driver.do(SetGpus((1,), (0,)))
    driver.do(SetGpus((0, 1), ()))
    assert free(driver) == (1, [1]), "its job has not ended yet"
    driver.exited(job_id, 143)
    assert free(driver) == (2, [0, 1])


def test_it_is_stopped_once(driver: Driver) -> None:
    driver.submit("gpu")
    driver.do(SetGpus((1,), (0,)))
    driver.do(SetGpus((1,), (0,)))
    assert len(driver.stops) == 1


def test_a_loss_is_known_after_a_restart(driver: Driver) -> None:
    """The next server detects what is left, and sends what is lost again."""
    job_id = driver.submit("gpu")
    driver.started(job_id)
    driver.do(SetGpus((1,), (0,)))
    driver.crash()
    driver.do(SetGpus((1,), (0,)))
    driver.exited(job_id, 143)
    assert driver.job(job_id).past[-1].is_lost
    assert free(driver) == (1, [1])


def test_a_managed_instance_with_a_lost_one_ends(driver: Driver) -> None:
    driver.fleet("fleet", "g5.xlarge")
    job_id = driver.submit("gpu", queue="fleet")
    (name,) = driver.booted()
    driver.started(job_id)
    (instance,) = driver.instances("fleet")
    assert instance.gpu_ids == (0,)
    driver.do(SetGpus((1,), (0,)))
    assert driver.machine.world.instances[name].state is InstanceState.DRAINING
    driver.exited(job_id, 143)
    assert driver.job(job_id).status_reason == f"Host EC2 (instance {name}) terminated."
    assert driver.gone() == [name]
    assert free(driver) == (1, [1])


def test_one_that_boots_with_a_lost_one_ends_too(driver: Driver) -> None:
    driver.fleet("fleet", "g5.xlarge")
    driver.submit("gpu", queue="fleet")
    (name,) = driver.launching
    driver.do(SetGpus((1,), (0,)))
    assert name in driver.terminated
    driver.fact(reports.InstanceReady(name))
    driver.gone()
    (again,) = driver.booted()
    assert driver.machine.world.instances[again].gpu_ids == (1,)


def test_what_attempts_use_is_noted(driver: Driver) -> None:
    job_id, pair, plain = driver.submit("again"), driver.submit("gpu"), driver.submit()
    assert devices_in_use(driver.machine.world) == {0, 1}
    driver.do(NoteGpuUse((GpuSample(0, 100, 50),)))
    assert driver.job(job_id).attempt is not None
    driver.started(job_id)
    driver.started(plain)
    for memory_mib, percent in ((100, 50), (300, 100), (200, 0)):
        driver.do(NoteGpuUse((GpuSample(0, memory_mib, percent), GpuSample(1, 9, 9))))
    driver.exited(job_id, 1)
    use = driver.job(job_id).past[-1].gpu_use
    assert use == GpuUse(300, 150, 3), "nothing before it ran"
    assert use.mean_percent == 50
    assert [driver.job(other).attempt.gpu_use for other in (pair, plain)] == [None, None]  # type: ignore[union-attr]
    attempt = driver.job(job_id).attempt
    assert attempt is not None, "it is retried"
    assert attempt.gpu_use is None


def test_several_gpus_of_an_attempt_count_together(driver: Driver) -> None:
    driver.define("two", container={"resourceRequirements": [*GPU[:2], {"type": "GPU", "value": "2"}]})
    job_id = driver.submit("two")
    driver.started(job_id)
    driver.do(NoteGpuUse((GpuSample(0, 100, 90), GpuSample(1, 50, 30))))
    driver.exited(job_id)
    assert driver.job(job_id).past[-1].gpu_use == GpuUse(150, 60, 1)


def test_an_instance_counts_its_own(driver: Driver) -> None:
    driver.fleet("fleet", "g5.xlarge")
    job_id = driver.submit("gpu", queue="fleet")
    driver.booted()
    driver.started(job_id)
    driver.do(NoteGpuUse((GpuSample(0, 7, 8),)))
    driver.exited(job_id)
    assert driver.job(job_id).past[-1].gpu_use == GpuUse(7, 8, 1)


def test_fewer_by_a_setting_end_no_job(driver: Driver) -> None:
    """Nothing is lost: the attempts keep what they have, and others get no more."""
    first, second = driver.submit("gpu"), driver.submit("gpu")
    driver.started(first)
    driver.started(second)
    driver.host = replace(driver.host, gpu_ids=(0,), resources=replace(driver.host.resources, gpus=1))
    driver.crash()
    assert not driver.stops
    driver.exited(second)
    third = driver.submit("gpu")
    assert (driver.status(first), driver.status(third)) == (Status.RUNNING, Status.RUNNABLE)
    driver.exited(first)
    assert devices(driver, third) == (0,)


def gang(driver: Driver) -> str:
    """Two nodes of a GPU each, both of which run."""
    container = {"image": "busybox", "command": ["true"], "resourceRequirements": GPU}
    driver.define_nodes(count=2, ranges=[{"targetNodes": ":", "container": container}])
    job_id = driver.submit("gang")
    driver.started(f"{job_id}#0")
    driver.started(f"{job_id}#1")
    return job_id


def test_a_lost_one_of_any_node_ends_the_gang_as_its_host_would(driver: Driver) -> None:
    job_id = gang(driver)
    given = [driver.launched[driver.attempt_of(f"{job_id}#{node}")].device_ids for node in (0, 1)]
    assert given == [(0,), (1,)]
    driver.do(NoteGpuUse((GpuSample(0, 100, 90), GpuSample(1, 50, 30))))
    driver.do(SetGpus((0,), (1,)))
    assert [stop.attempt_node.node for stop in driver.stops] == [0, 1]
    driver.exited(f"{job_id}#1", 143)
    driver.exited(f"{job_id}#0", 143)
    job = driver.job(job_id)
    assert (job.status, job.status_reason) == (Status.FAILED, f"Host EC2 (instance {HOST}) terminated.")
    assert job.past[-1].gpu_use == GpuUse(150, 60, 1)


def test_a_lost_one_of_a_node_that_has_ended_ends_no_gang(driver: Driver) -> None:
    job_id = gang(driver)
    driver.exited(f"{job_id}#1")
    driver.do(SetGpus((0,), (1,)))
    assert not driver.stops
    driver.exited(f"{job_id}#0")
    assert driver.status(job_id) is Status.SUCCEEDED
