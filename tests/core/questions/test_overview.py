"""Environments, queues and instances as an owner sees them, and what the scaler is said to do next: it does that."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.records import EnvironmentOrder
from batchyard.core.model.resources import Resources
from batchyard.core.questions.overview import (
    AskOverview,
    EnvironmentView,
    InstanceView,
    InterruptInstance,
    Next,
    Overview,
    QueueView,
)
from tests.core.driver import HOST, Driver


def look(driver: Driver) -> Overview:
    found: Overview = driver.do(AskOverview())
    return found


def environment(driver: Driver, name: str) -> EnvironmentView:
    return next(view for view in look(driver).environments if view.environment.name == name)


def queue(driver: Driver, name: str) -> QueueView:
    return next(view for view in look(driver).queues if view.queue.name == name)


def instance(driver: Driver, instance_id: str) -> InstanceView:
    return next(view for view in look(driver).instances if view.instance.instance_id == instance_id)


def sized(vcpus: int, memory_mib: int = 64) -> dict[str, Any]:
    kinds = (("VCPU", vcpus), ("MEMORY", memory_mib))
    return {"resourceRequirements": [{"type": kind, "value": str(amount)} for kind, amount in kinds]}


def test_one_environment_from_nothing_to_nothing() -> None:
    driver = Driver(vcpus=8, memory_mib=16_384)
    driver.fleet("yard")
    quiet = environment(driver, "yard")
    assert (quiet.kind, quiet.strategy, quiet.instances) == ("EC2", "BEST_FIT_PROGRESSIVE", {})
    assert quiet.step.text == "Nobody waits: it stays without instances until a job needs one."
    job = driver.submit(queue="yard")
    coming = environment(driver, "yard")
    assert (coming.step.next, coming.instances) == (Next.BOOT, {"LAUNCHING": 1})
    assert coming.step.text == "1 instance is (c5.large) being launched."
    assert (coming.demand.jobs, coming.demand.resources) == (1, Resources(1000, 64))
    assert (coming.total, coming.jobs_count) == (Resources(), 0)
    (instance_id,) = driver.booted()
    busy = environment(driver, "yard")
    assert (busy.total, busy.free) == (Resources(2000, 3953), Resources(1000, 3889))
    assert (busy.jobs_count, busy.demand.jobs, busy.desired_milli_vcpus) == (1, 0, 2000)
    assert busy.step.text == "Nobody waits, and all its instances have work."
    seen = instance(driver, instance_id)
    assert (seen.jobs, seen.jobs_count, seen.environments, seen.free) == ((job,), 1, ("yard",), Resources(1000, 3889))
    driver.started(job)
    driver.exited(job)
    idle = environment(driver, "yard")
    assert idle.step.next is Next.LET_GO
    assert idle.step.text == f"It lets {instance_id} go, which is idle, unless a job comes."
    assert instance(driver, instance_id).step.at_ms == idle.step.at_ms
    driver.tick(idle.step.at_ms - driver.now_ms - 2)
    assert driver.terminated == []
    driver.tick(2)  # the moment that was told
    assert driver.terminated == [instance_id]
    assert instance(driver, instance_id).step.next is Next.ENDING
    driver.gone()
    assert [view.instance.instance_id for view in look(driver).instances] == [HOST]


def test_the_host_is_the_first_instance_and_says_what_is_reserved() -> None:
    driver = Driver(vcpus=8, memory_mib=16_384)
    assert instance(driver, HOST).step.text == "This machine."
    driver.fleet("yard")
    driver.submit(queue="yard")
    found = look(driver)
    host = found.instances[0]
    assert host.is_host
    assert host.environments == ("local",)
    assert host.step.text == "This machine; managed instances reserve 2 vCPUs and 3953 MiB of it."
    local = environment(driver, "local")
    assert (local.total, local.free) == (Resources(6000, 12_431), Resources(6000, 12_431))
    assert "beside what managed instances reserve" in local.step.text


def test_what_keeps_it_from_growing_is_said() -> None:
    driver = Driver(vcpus=8, memory_mib=8192)
    driver.fleet("yard", "c5.large", most=2)
    driver.define("two", container=sized(2))
    first, second = (driver.submit("two", queue="yard") for _ in range(2))
    driver.booted()
    view = environment(driver, "yard")
    assert view.step.next is Next.BLOCKED
    assert view.step.text == (
        "It launches nothing more for the queue yard: The environment has 2 of 2 vCPUs (maxvCpus)."
    )
    head = queue(driver, "yard")
    assert (head.blocked_job, head.jobs_count, head.demand.jobs) == (second, 1, 1)
    assert (head.blocked_since_ms, head.stuck_count) == (driver.kept.job(second).created_at_ms + 1, 0) or (
        head.blocked_since_ms > 0
    )
    driver.started(first)
    driver.exited(first)
    assert queue(driver, "yard").blocked_job == ""


def test_an_exhausted_host_and_a_job_that_can_never_run() -> None:
    driver = Driver(vcpus=2, memory_mib=8192)
    driver.fleet("yard", "c5.large")
    driver.define("local-work", container=sized(1))
    driver.submit("local-work")
    driver.submit(queue="yard")
    view = environment(driver, "yard")
    assert view.step.next is Next.BLOCKED
    assert "c5.large takes 2 vCPUs and 3953 MiB, and this host has 1 vCPU" in view.step.text
    assert queue(driver, "yard").blocked_reason.startswith("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY")
    driver.define("huge", container=sized(64))
    driver.submit("huge", queue="yard")
    assert (queue(driver, "yard").stuck_count, queue(driver, "yard").demand.jobs) == (1, 1)


def test_a_refused_launch_is_told_with_its_pause() -> None:
    driver = Driver(vcpus=8, memory_mib=16_384)
    driver.fleet("yard")
    driver.submit(queue="yard")
    (instance_id,) = driver.launching
    del driver.launching[instance_id]
    driver.fact(reports.InstanceRefused(instance_id, "No such machine today."))
    step = environment(driver, "yard").step
    assert step.next is Next.BLOCKED
    assert step.text == "The last launch was refused: No such machine today. It tries again."
    assert step.at_ms > driver.now_ms
    driver.tick(step.at_ms - driver.now_ms)
    assert len(driver.launching) == 1


def test_minimum_and_disabled_environments() -> None:
    driver = Driver(vcpus=8, memory_mib=16_384)
    driver.fleet("yard", minvCpus=2)
    assert environment(driver, "yard").step.next is Next.BOOT
    (instance_id,) = driver.booted()
    assert environment(driver, "yard").step.text == "It keeps 2 vCPUs for minvCpus (2)."
    assert instance(driver, instance_id).step.text == "It is idle, and kept for minvCpus."
    driver.do(c.UpdateComputeEnvironment("yard", state="DISABLED"))
    assert environment(driver, "yard").step.text == "It is DISABLED and launches nothing, but for minvCpus."


def test_who_serves_a_queue_of_two_environments() -> None:
    driver = Driver(vcpus=8, memory_mib=32_768)
    driver.fleet("first", "c5.large", most=2)
    driver.fleet("second", "r5.large", most=2)
    driver.queue("both", "first", "second")
    for _ in range(5):
        driver.submit(queue="both")
    views = {view.environment.name: view for view in look(driver).environments}
    assert [views[name].instances for name in ("first", "second")] == [{"LAUNCHING": 1}, {"LAUNCHING": 1}]
    assert views["first"].demand.jobs == views["second"].demand.jobs == 5
    driver.booted()
    views = {view.environment.name: view for view in look(driver).environments}
    assert [views[name].jobs_count for name in ("first", "second")] == [2, 2]
    assert "The environment has 2 of 2 vCPUs (maxvCpus)." in views["first"].step.text
    assert "The environment has 2 of 2 vCPUs (maxvCpus)." in views["second"].step.text


def test_fargate_has_a_budget_and_no_instances() -> None:
    driver = Driver(vcpus=8, memory_mib=16_384)
    driver.fleet("serverless", kind="FARGATE", most=4)
    view = environment(driver, "serverless")
    assert (view.total, view.strategy) == (Resources(4000, 16_384), "")
    assert view.step.text == "It launches no instances: each job reserves its own share of this host."


def test_an_interrupted_instance_is_answered_as_it_is_then() -> None:
    driver = Driver(vcpus=8, memory_mib=16_384)
    driver.fleet("spot", kind="SPOT")
    driver.submit(queue="spot")
    (instance_id,) = driver.booted()
    view: InstanceView = driver.do(InterruptInstance(instance_id, 2.0))
    assert (view.instance.state, view.jobs_count, view.step.next) == ("DRAINING", 1, Next.ENDING)
    assert view.step.at_ms == view.instance.ends_at_ms > driver.now_ms


def test_only_what_instances_are_made_of_replaces_them() -> None:
    driver = Driver(vcpus=8, memory_mib=32_768)
    driver.fleet("yard", minvCpus=2)
    (instance_id,) = driver.booted()
    same = {"computeResources": {"maxvCpus": 8, "instanceTypes": ["c5.large"], "updateToLatestImageVersion": False}}
    driver.do(c.UpdateComputeEnvironment("yard", document=same))
    assert environment(driver, "yard").instances == {"READY": 1}
    driver.do(c.UpdateComputeEnvironment("yard", document={"computeResources": {"instanceTypes": ["r5.large"]}}))
    assert instance(driver, instance_id).instance.state != "READY"
    assert environment(driver, "yard").step.text == "1 instance is (r5.large) being launched."


# -- what is said is what is done --


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_the_scaler_is_said_to_do_it_does(data: st.DataObject) -> None:
    """After each step of a random history: said to launch, it launches at the next look; said to let an instance go at
    a moment, it does so then and not before, if nothing else happens."""
    driver = Driver(vcpus=data.draw(st.integers(2, 12)), memory_mib=32_768)
    driver.fleet("a", "c5.large", "r5.large", most=data.draw(st.integers(1, 8)))
    driver.fleet("b", "c5.xlarge", kind="SPOT", most=8, minvCpus=data.draw(st.sampled_from([0, 0, 2])))
    driver.do(c.UpdateJobQueue("a", environments=(EnvironmentOrder(1, "a"), EnvironmentOrder(2, "b"))))
    for vcpus in (1, 2):
        driver.define(f"work-{vcpus}", container=sized(vcpus))
    for _ in range(data.draw(st.integers(3, 12))):
        _happen(driver, data.draw(st.sampled_from(["submit", "boot", "end", "wait", "local"])), data)
        _hold_to_its_word(driver)


def _happen(driver: Driver, what: str, data: st.DataObject) -> None:
    if what in ("submit", "local"):
        names = ["default"] if what == "local" else ["a", "b"]
        driver.submit(f"work-{data.draw(st.integers(1, 2))}", queue=data.draw(st.sampled_from(names)))
    elif what == "boot" and driver.launching:
        driver.booted(next(iter(driver.launching)))
    elif what == "end" and driver.launched:
        job_id = data.draw(st.sampled_from([launch.job_id for launch in driver.launched.values()]))
        driver.started(job_id)
        driver.exited(job_id)
    else:
        driver.tick(data.draw(st.sampled_from([10, 5_000, 31_000])))
    driver.gone()


def _hold_to_its_word(driver: Driver) -> None:
    found = look(driver)
    launches = {view.environment.name: view.environment.launches for view in found.environments}
    wants = {view.environment.name for view in found.environments if view.step.next is Next.LAUNCH}
    assert wants == set(), "a pass has just ended: what could be launched is being launched"
    leaving = [view.step for view in found.environments if view.step.next is Next.LET_GO]
    if leaving and not driver.launching:
        first = min(step.at_ms for step in leaving)
        driver.tick(first - driver.now_ms - 1)
        assert driver.terminated == []
        driver.tick(1)
        assert any(instance_id in step.text for step in leaving for instance_id in driver.terminated)
        after = {name: driver.machine.world.environments[name].launches for name in launches}
        assert after == launches, "nothing is launched where nobody came"
        driver.gone()
    held = {
        instance_id: len(driver.machine.world.instances.placed_on(instance_id))
        for instance_id in driver.machine.world.instances.available
    }
    for view in look(driver).instances:
        assert view.jobs_count == held[view.instance.instance_id]
        assert view.free.milli_vcpus >= 0
    counted = sum(view.jobs_count for view in look(driver).environments)
    assert counted == sum(view.jobs_count for view in look(driver).queues) == sum(held.values())
