"""Gauges: jobs by state, and what environments have and reserve."""

from __future__ import annotations

from batchyard.core.model.commands import UpdateComputeEnvironment
from batchyard.core.model.records import Dependency
from batchyard.core.questions.gauges import AskGauges, JobLookup
from tests.core.driver import Driver


def test_gauges_count_children_singly_and_arrays_not() -> None:
    yard = Driver(vcpus=4)
    yard.submit(array_size=6)
    first = yard.submit()
    yard.submit(depends_on=[Dependency(first)])
    yard.queue("empty")
    found = yard.machine.handle(AskGauges(), yard.now_ms)
    assert found.queues["default"] == {"SUBMITTED": 0, "PENDING": 1, "RUNNABLE": 3, "STARTING": 4, "RUNNING": 0}
    assert set(found.queues["empty"].values()) == {0}
    (group,) = found.tasks
    assert (group.environment, group.family, group.count, group.resources.milli_vcpus) == ("local", "work", 4, 4000)


def test_placed_tasks_have_the_ids_that_their_processes_carry() -> None:
    yard = Driver(vcpus=4)
    job = yard.submit()
    yard.started(job)
    yard.define_nodes(count=2)
    yard.submit("gang")
    found = yard.machine.handle(AskGauges(), yard.now_ms).placed
    plain, *nodes = found
    assert (plain.task_id, plain.family, plain.started_at_ms > 0) == (yard.attempt_of(job), "work", True)
    assert len({task.task_id for task in nodes}) == 2
    assert nodes[0].task_id in yard.launched
    assert (plain.job_id, plain.job_name, plain.queue, plain.number) == (job, "name", "default", 1)
    assert [task.reserved.milli_vcpus for task in found] == [1000, 1000, 1000]
    assert plain.instance_id


def test_an_environment_may_be_without_performance_events() -> None:
    yard = Driver()
    yard.machine.handle(
        UpdateComputeEnvironment("local", document={"ecsSettings": {"containerInsights": "DISABLED"}}), 1
    )
    (environment,) = yard.machine.handle(AskGauges(), yard.now_ms).environments
    assert not environment.has_performance_events


def test_instances_are_counted_by_state() -> None:
    yard = Driver(vcpus=4)
    yard.fleet("fleet", "c5.large")
    yard.submit(queue="fleet")
    yard.booted()
    found = yard.machine.handle(AskGauges(), yard.now_ms)
    fleet = next(environment for environment in found.environments if environment.name == "fleet")
    assert fleet.instances == {"READY": 1}
    assert fleet.total.milli_vcpus == 2000


def test_a_lookup_knows_rows_that_have_just_ended() -> None:
    yard = Driver(vcpus=4)
    job = yard.submit(array_size=3)
    lookup = JobLookup(yard.machine.world, yard.machine.world.prices)
    key = yard.kept.job(job).key
    assert lookup.array_size(key) == 3
    assert [placed for placed, _ in lookup.placed()] == [key + 1, key + 2, key + 3]
    assert lookup.milli_vcpus(key + 1) == 1000
    assert not lookup.has_dependencies(key)
