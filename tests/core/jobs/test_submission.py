"""Rules of jobs that no other file here has, one test for each (AWS Batch behaviour 7.1 to 7.12)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model.records import Dependency, EnvironmentOrder, Status
from batchyard.core.model.refusal import Refused
from batchyard.core.state.arrays import status_summary
from batchyard.core.state.world import Limits
from tests.core.driver import ACCOUNT, ENGINE, Driver
from tests.core.jobs.test_completion import after

S = Status
ALWAYS = [{"onReason": "*", "action": "RETRY"}]
MINUTE = {"attemptDurationSeconds": 60}


def with_limits(**limits: Any) -> Driver:
    yard = Driver(vcpus=2)
    fresh = Machine(ACCOUNT, Limits(**limits))
    yard.machine = fresh
    yard.set_host()
    yard.do(c.CreateComputeEnvironment("local", "u", "UNMANAGED", "ENABLED", ENGINE, {}))
    yard.do(c.CreateJobQueue("default", "ENABLED", 1, (EnvironmentOrder(1, "local"),)))
    return yard


# -- merging (7.2) --


def test_a_strategy_and_a_timeout_of_the_submission_replace_the_definitions_whole() -> None:
    yard = Driver()
    yard.define(
        retryStrategy={"attempts": 5, "evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}]},
        timeout={"attemptDurationSeconds": 600},
        propagateTags=True,
    )
    plain = yard.submit()
    mine = yard.submit(retry_strategy={"attempts": 2}, timeout=MINUTE, propagate_tags=False)
    specs = {spec.job_id: spec for spec in yard.kept.specs.values()}
    assert (specs[plain].retry.attempts, len(specs[plain].retry.rules)) == (5, 1)
    assert (specs[mine].retry.attempts, specs[mine].retry.rules) == (2, ())
    assert [specs[one].timeout_seconds for one in (plain, mine)] == [600, 60]
    assert [specs[one].propagate_tags for one in (plain, mine)] == [True, False]


@pytest.mark.parametrize("kind", ["container", "nodes", "pod"])
def test_jobs_that_override_nothing_share_what_is_built_of_their_definition(kind: str) -> None:
    yard = Driver()
    asked = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    container = {"image": "busybox", "command": ["echo", "Ref::what"], "resourceRequirements": asked}
    document: dict[str, Any] = {"type": "container", "containerProperties": container}
    if kind == "nodes":
        ranges = [{"targetNodes": ":", "container": container}]
        document = {
            "type": "multinode",
            "nodeProperties": {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": ranges},
        }
    elif kind == "pod":
        limits = {"limits": {"cpu": "1", "memory": "64Mi"}}
        pod = {"name": "one", "image": "busybox", "command": ["echo", "Ref::what"], "resources": limits}
        document = {"type": "container", "eksProperties": {"podProperties": {"containers": [pod]}}}
    yard.do(c.RegisterJobDefinition("known", {**document, "parameters": {"what": "first"}}))
    jobs = [yard.submit("known"), yard.submit("known"), yard.submit("known", parameters={"what": "second"})]
    jobs += [yard.submit("known", working_directory="/elsewhere"), yard.submit("known")]
    specs = {spec.job_id: spec for spec in yard.kept.specs.values()}
    first, again, other, elsewhere, last = (specs[job] for job in jobs)
    unlike = {"key": 0, "job_id": "", "created_at_ms": 0}
    assert replace(first, **unlike) == replace(again, **unlike) == replace(last, **unlike)
    assert first.task is again.task or kind == "nodes"
    assert (first.parameters, other.parameters) == ({"what": "first"}, {"what": "second"})
    assert other.task != first.task
    assert elsewhere.task.working_directory == "/elsewhere"
    yard.do(c.RegisterJobDefinition("known", {**document, "parameters": {"what": "third"}}))
    latest = yard.submit("known")
    assert next(one for one in yard.kept.specs.values() if one.job_id == latest).parameters == {"what": "third"}


def test_a_definition_that_gives_no_value_to_a_reference_is_refused_each_time() -> None:
    yard = Driver()
    yard.define("lacking", container={"command": ["echo", "Ref::what"]})
    for _ in range(2):
        with pytest.raises(Refused, match="what"):
            yard.submit("lacking")
    yard.submit("lacking", parameters={"what": "this"})
    with pytest.raises(Refused, match="what"):
        yard.submit("lacking")


# -- dependencies (7.6) --


def test_the_first_failure_decides_while_other_dependencies_still_run() -> None:
    yard = Driver()
    bad, slow = yard.submit(), yard.submit()
    job = yard.submit(depends_on=after(bad, slow), retry_strategy={"attempts": 3, "evaluateOnExit": ALWAYS})
    yard.exited(bad, 1)
    failed = yard.job(job)
    assert (failed.status, failed.status_reason) == (S.FAILED, "Dependent Job failed")
    assert (failed.past, failed.started_at_ms) == ((), 0), "no attempt, so no retry"
    yard.exited(slow)
    assert yard.job(job) == failed


def test_a_dependency_that_is_retried_has_not_failed() -> None:
    yard = Driver()
    first = yard.submit(retry_strategy={"attempts": 2})
    job = yard.submit(depends_on=after(first))
    yard.exited(first, 1)
    assert yard.status(job) is S.PENDING
    yard.exited(first)
    assert yard.status(job) is S.STARTING


def test_a_job_named_twice_is_waited_for_once() -> None:
    yard = Driver()
    first = yard.submit()
    job = yard.submit(depends_on=after(first, first))
    yard.exited(first)
    assert yard.status(job) is S.STARTING


def test_dependencies_cross_queues_and_definitions() -> None:
    yard = Driver()
    yard.do(c.CreateJobQueue("other", "ENABLED", 5, (EnvironmentOrder(1, "local"),)))
    first = yard.submit("one", queue="other")
    job = yard.submit("two", depends_on=after(first))
    assert yard.status(job) is S.PENDING
    yard.exited(first)
    assert yard.status(job) is S.STARTING


def test_thousands_wait_for_one_and_one_for_thousands() -> None:
    yard = Driver(vcpus=2)
    first = yard.submit()
    many = [yard.submit(depends_on=after(first)) for _ in range(2000)]
    array = yard.submit(array_size=3000, depends_on=after(first))
    last = yard.submit(depends_on=after(array, *many[:19]))
    yard.exited(first)
    assert {yard.status(one) for one in many} == {S.STARTING, S.RUNNABLE}
    yard.do(c.TerminateJob(array, "enough"))
    assert (yard.status(last), yard.job(last).status_reason) == (S.FAILED, "Dependent Job failed")


# -- arrays (7.7) --


def test_a_million_children_by_setting() -> None:
    yard = with_limits(max_array_size=1_000_000)
    rows = len(yard.kept.jobs)
    array = yard.submit(array_size=1_000_000)
    with pytest.raises(Refused, match="1000000, got 1000001"):
        yard.submit(array_size=1_000_001)
    assert yard.placed() == [f"{array}:0", f"{array}:1"]
    assert len(yard.kept.jobs) == rows + 3, "the parent, and a row for each child that was placed"
    assert yard.status(f"{array}:999999") is S.RUNNABLE
    yard.exited(f"{array}:1", 1)
    pair = yard.submit(array_size=1_000_000, depends_on=[Dependency(array, "N_TO_N")])
    yard.do(c.CancelJob(f"{array}:999999", "that one"))
    assert [yard.status(f"{pair}:{i}") for i in (1, 2, 999_999)] == [S.FAILED, S.PENDING, S.FAILED]
    yard.do(c.TerminateJob(array, "enough"))
    for index in (0, 2):
        yard.exited(f"{array}:{index}", 143)
    spec = next(spec for spec in yard.kept.specs.values() if spec.job_id == array)
    assert status_summary(spec, yard.job(array))[S.FAILED] == 1_000_000
    assert (yard.status(array), yard.status(pair)) == (S.FAILED, S.FAILED)


def test_each_child_has_its_own_attempts_and_timeout() -> None:
    yard = Driver()
    array = yard.submit(array_size=2, retry_strategy={"attempts": 2}, timeout=MINUTE)
    yard.started(f"{array}:0")
    yard.tick(30_000)
    yard.started(f"{array}:1")
    yard.tick(31_000)
    assert [stop.attempt_id for stop in yard.stops] == [yard.attempt_of(f"{array}:0")]
    yard.exited(f"{array}:0", 137)
    assert yard.job(f"{array}:0").status_reason == "Job attempt duration exceeded timeout"
    yard.exited(f"{array}:1", 1)
    yard.exited(f"{array}:1", 0)
    assert [len(yard.job(f"{array}:{i}").past) for i in (0, 1)] == [1, 2]
    parent = yard.job(array)
    assert (parent.status, parent.past, parent.started_at_ms) == (S.FAILED, (), 0)


# -- retries (7.8, 7.10) --


def test_ten_attempts_are_ten_runs_in_all() -> None:
    yard = Driver()
    job = yard.submit(retry_strategy={"attempts": 10})
    for _ in range(10):
        yard.exited(job, 3)
    assert (yard.status(job), [one.number for one in yard.job(job).past]) == (S.FAILED, list(range(1, 11)))


@pytest.mark.parametrize("end", ["lost", "not_started", "exited"])
def test_losses_and_failed_starts_use_attempts_up_like_failures(end: str) -> None:
    yard = Driver()
    job = yard.submit(retry_strategy={"attempts": 2})
    for left in (1, 0):
        yard.exited(job, 1) if end == "exited" else getattr(yard, end)(job)
        assert yard.status(job) is (S.STARTING if left else S.FAILED)
    assert len(yard.job(job).past) == 2


@pytest.mark.parametrize("command", [c.CancelJob, c.TerminateJob])
def test_a_withdrawn_job_is_not_retried_whatever_its_rules_say(command: Any) -> None:
    yard = Driver()
    job = yard.submit(retry_strategy={"attempts": 5, "evaluateOnExit": ALWAYS})
    yard.started(job)
    yard.do(command(job, "enough"))
    yard.lost(job)
    assert (yard.status(job), len(yard.job(job).past)) == (S.FAILED, 1)


# -- timeouts (7.12) --


def test_a_timeout_is_not_retried_whatever_its_rules_say_nor_forgiven() -> None:
    yard = Driver()
    job = yard.submit(timeout=MINUTE, retry_strategy={"attempts": 5, "evaluateOnExit": ALWAYS})
    yard.started(job)
    yard.tick(61_000)
    yard.exited(job, 0)
    done = yard.job(job)
    assert (done.status, done.status_reason) == (S.FAILED, "Job attempt duration exceeded timeout")
    assert [one.exit_code for one in done.past] == [0]


def test_the_next_attempt_has_the_whole_time_again() -> None:
    yard = Driver()
    job = yard.submit(timeout=MINUTE, retry_strategy={"attempts": 2})
    yard.started(job)
    yard.tick(50_000)
    yard.exited(job, 1)
    yard.started(job)
    yard.tick(50_000)
    assert yard.stops == []
    yard.tick(11_000)
    assert len(yard.stops) == 1
