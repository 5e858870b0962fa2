"""What becomes of jobs, by example: the machine alone, no clock, no disk, no process."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from batchyard.core.machine import HANDLERS
from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.idempotency import split_stored_key, stored_key
from batchyard.core.model.records import Dependency, EnvironmentOrder, Status
from batchyard.core.model.refusal import Refused
from tests.core.driver import HOST, Driver

S = Status


def after(*ids: str) -> list[Dependency]:
    return [Dependency(i) for i in ids]


def answer_of(command: type[c.Command[object]]) -> object:
    """The type that a command class names: `class SubmitJob(Command[SubmittedJob])`."""
    return get_args(command.__orig_bases__[0])[0]  # type: ignore[attr-defined]


def test_every_handler_takes_its_command_and_returns_the_commands_answer() -> None:
    assert len(HANDLERS) > 30
    for command, handler in HANDLERS.items():
        takes = get_type_hints(handler)
        assert list(takes) == ["world", "command", "return"], f"{handler} has a signature of its own"
        assert takes["command"] is command
        assert takes["return"] == (type(None) if answer_of(command) is None else answer_of(command))


def test_a_job_runs_and_succeeds() -> None:
    yard = Driver()
    job = yard.submit()
    assert yard.status(job) is S.STARTING
    yard.started(job)
    assert yard.status(job) is S.RUNNING
    yard.exited(job)
    done = yard.job(job)
    assert done.status is S.SUCCEEDED
    assert done.status_reason == "Essential container in task exited"
    assert done.past[0].exit_code == 0
    assert done.created_at_ms <= done.started_at_ms <= done.stopped_at_ms
    assert done.attempt is None


def test_an_attempt_knows_who_it_is() -> None:
    yard = Driver()
    job = yard.submit(array_size=3)
    launch = yard.launched[yard.attempt_of(f"{job}:2")]
    assert dict(launch.environment) == {
        "AWS_BATCH_JOB_ID": f"{job}:2",
        "AWS_BATCH_JOB_ATTEMPT": "1",
        "AWS_BATCH_JQ_NAME": "default",
        "AWS_BATCH_CE_NAME": "local",
        "AWS_BATCH_JOB_ARRAY_INDEX": "2",
        "AWS_BATCH_JOB_ARRAY_SIZE": "3",
    }
    assert launch.log_stream == f"work/default/{launch.attempt_id}"


def test_no_more_starts_than_fit() -> None:
    yard = Driver(vcpus=4)
    jobs = [yard.submit() for _ in range(6)]
    assert [yard.status(j) for j in jobs] == [S.STARTING] * 4 + [S.RUNNABLE] * 2
    yard.exited(jobs[2])
    assert yard.status(jobs[4]) is S.STARTING
    assert yard.status(jobs[5]) is S.RUNNABLE


def test_devices_are_given_out_one_by_one() -> None:
    yard = Driver(gpus=2)
    yard.define(
        "gpu",
        container={
            "resourceRequirements": [
                {"type": "VCPU", "value": "1"},
                {"type": "MEMORY", "value": "64"},
                {"type": "GPU", "value": "1"},
            ]
        },
    )
    jobs = [yard.submit("gpu") for _ in range(3)]
    devices = [yard.launched[yard.attempt_of(j)].device_ids for j in jobs[:2]]
    assert devices == [(0,), (1,)]
    yard.exited(jobs[0])
    assert yard.launched[yard.attempt_of(jobs[2])].device_ids == (0,)


def test_a_failed_attempt_is_retried_at_the_front() -> None:
    yard = Driver(vcpus=1)
    first = yard.submit(retry_strategy={"attempts": 2})
    second = yard.submit()
    yard.exited(first, 1)
    assert yard.placed() == [first]
    assert yard.status(second) is S.RUNNABLE
    yard.exited(first, 3)
    done = yard.job(first)
    assert (done.status, [a.exit_code for a in done.past]) == (S.FAILED, [1, 3])
    assert yard.status(second) is S.STARTING


def test_a_job_that_can_never_fit_says_so_and_blocks_nobody() -> None:
    yard = Driver(vcpus=4)
    yard.define(
        "huge", container={"resourceRequirements": [{"type": "VCPU", "value": "64"}, {"type": "MEMORY", "value": "64"}]}
    )
    huge = yard.submit("huge")
    small = yard.submit()
    reason = yard.job(huge).status_reason
    assert yard.status(huge) is S.RUNNABLE
    assert reason.startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - ")
    assert "64 vCPUs asked, 4 at most" in reason
    assert yard.status(small) is S.STARTING


def test_children_that_can_never_fit_say_so() -> None:
    yard = Driver(vcpus=4)
    yard.define(
        "huge", container={"resourceRequirements": [{"type": "VCPU", "value": "64"}, {"type": "MEMORY", "value": "64"}]}
    )
    array = yard.submit("huge", array_size=5)
    assert yard.job(f"{array}:3").status_reason.startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")


def test_a_job_that_its_environment_can_never_hold_waits_until_another_is_attached() -> None:
    yard = Driver()
    yard.fleet("spot", "m5.24xlarge", kind="SPOT", most=256)
    job = yard.submit(queue="spot")
    assert yard.job(job).status_reason.startswith("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY")
    yard.do(c.UpdateJobQueue("spot", environments=(EnvironmentOrder(1, "spot"), EnvironmentOrder(2, "local"))))
    assert yard.status(job) is S.STARTING
    assert yard.job(job).status_reason == ""


def test_a_disabled_environment_starts_nothing_and_running_jobs_go_on() -> None:
    yard = Driver()
    running = yard.submit()
    yard.do(c.UpdateComputeEnvironment("local", state="DISABLED"))
    waiting = yard.submit()
    assert yard.status(waiting) is S.RUNNABLE
    assert "DISABLED (local)" in yard.job(waiting).status_reason
    yard.exited(running)
    assert yard.status(running) is S.SUCCEEDED
    yard.do(c.UpdateComputeEnvironment("local", state="ENABLED"))
    assert yard.status(waiting) is S.STARTING


def test_the_queue_of_higher_priority_goes_first() -> None:
    yard = Driver(vcpus=1)
    yard.do(c.CreateJobQueue("urgent", "ENABLED", 10, (EnvironmentOrder(1, "local"),)))
    running, low = yard.submit(), yard.submit()
    high = yard.submit(queue="urgent")
    yard.exited(running)
    assert (yard.status(high), yard.status(low)) == (S.STARTING, S.RUNNABLE)


# -- dependencies --


def test_a_dependant_waits_for_success() -> None:
    yard = Driver()
    first = yard.submit()
    second = yard.submit(depends_on=[Dependency(first, "SEQUENTIAL")])
    assert yard.status(second) is S.PENDING
    yard.exited(first)
    assert yard.status(second) is S.STARTING


def test_failure_runs_down_a_chain_of_a_thousand() -> None:
    yard = Driver()
    chain = [yard.submit()]
    for _ in range(1000):
        chain.append(yard.submit(depends_on=after(chain[-1])))
    yard.exited(chain[0], 1)
    assert {yard.status(j) for j in chain} == {S.FAILED}
    assert yard.job(chain[-1]).status_reason == "Dependent Job failed"


def test_depending_on_finished_jobs() -> None:
    yard = Driver()
    good, bad = yard.submit(), yard.submit()
    yard.exited(good)
    yard.exited(bad, 1)
    assert yard.status(yard.submit(depends_on=after(good))) is S.STARTING
    assert yard.status(yard.submit(depends_on=after(bad))) is S.FAILED
    yard.tick(3_600_000)  # the machine has forgotten them, the store has not
    assert yard.status(yard.submit(depends_on=after(good))) is S.STARTING
    assert yard.status(yard.submit(depends_on=after(bad))) is S.FAILED


def test_an_unknown_dependency_is_refused_and_leaves_nothing() -> None:
    yard = Driver()
    yard.define()
    before = dict(yard.kept.specs)
    with pytest.raises(Refused, match="does not exist"):
        yard.submit(depends_on=after("no-such-job"))
    assert yard.kept.specs == before


def test_an_array_waits_for_a_job_and_a_job_for_the_array() -> None:
    yard = Driver()
    first = yard.submit()
    array = yard.submit(array_size=3, depends_on=after(first))
    last = yard.submit(depends_on=after(array))
    assert (yard.status(array), yard.status(f"{array}:1"), yard.status(last)) == (S.PENDING,) * 3
    yard.exited(first)
    assert yard.status(f"{array}:1") is S.STARTING
    for index in (2, 0, 1):
        assert yard.status(last) is S.PENDING
        yard.exited(f"{array}:{index}")
    assert yard.status(array) is S.SUCCEEDED
    assert yard.status(last) is S.STARTING


def test_a_dependency_on_one_child() -> None:
    yard = Driver(vcpus=3)
    array = yard.submit(array_size=2)
    job = yard.submit(depends_on=after(f"{array}:1"))
    yard.exited(f"{array}:1")
    assert yard.status(job) is S.STARTING
    with pytest.raises(Refused, match="does not exist"):
        yard.submit(depends_on=after(f"{array}:2"))


# -- cancel and terminate --


def test_cancel_leaves_a_running_job_and_takes_its_retries() -> None:
    yard = Driver()
    job = yard.submit(retry_strategy={"attempts": 5})
    yard.started(job)
    yard.do(c.CancelJob(job, "enough"))
    assert (yard.status(job), yard.job(job).is_cancelled, yard.stops) == (S.RUNNING, True, [])
    yard.exited(job, 1)
    assert (yard.status(job), len(yard.job(job).past)) == (S.FAILED, 1)


def test_a_waiting_job_is_cancelled_at_once() -> None:
    yard = Driver(vcpus=1)
    yard.submit()
    job = yard.submit()
    yard.do(c.CancelJob(job, "not needed"))
    done = yard.job(job)
    assert (done.status, done.status_reason, done.past, done.started_at_ms) == (S.FAILED, "not needed", (), 0)


def test_a_pending_job_is_cancelled_when_its_dependencies_are_done() -> None:
    yard = Driver()
    first = yard.submit()
    second = yard.submit(depends_on=after(first))
    third = yard.submit(depends_on=after(second))
    yard.do(c.CancelJob(second, "not needed"))
    assert (yard.status(second), yard.job(second).is_cancelled) == (S.PENDING, True)
    yard.exited(first)
    assert (yard.status(second), yard.job(second).status_reason) == (S.FAILED, "not needed")
    assert yard.job(third).status_reason == "Dependent Job failed"


def test_terminate_stops_a_running_job_and_keeps_its_exit_code() -> None:
    yard = Driver()
    job = yard.submit(retry_strategy={"attempts": 5})
    yard.started(job)
    yard.do(c.TerminateJob(job, "over budget"))
    yard.do(c.TerminateJob(job, "again"))
    assert [(s.attempt_id, s.grace_seconds) for s in yard.stops] == [(yard.attempt_of(job), 30)]
    assert (yard.status(job), yard.job(job).is_terminated) == (S.RUNNING, True)
    yard.exited(job, 0)
    done = yard.job(job)
    assert (done.status, done.status_reason, done.past[0].exit_code) == (S.FAILED, "over budget", 0)


def test_terminating_an_array_ends_what_waits_and_stops_what_runs() -> None:
    yard = Driver(vcpus=2)
    array = yard.submit(array_size=1000)
    yard.started(f"{array}:0")
    before = len(yard.kept.jobs)
    yard.do(c.TerminateJob(array, "wrong input"))
    assert len(yard.kept.jobs) == before, "children that never started got rows"
    assert len(yard.stops) == 2
    assert (yard.status(f"{array}:500"), yard.job(f"{array}:500").status_reason) == (S.FAILED, "wrong input")
    yard.exited(f"{array}:0", 143)
    yard.exited(f"{array}:1", 143)
    assert (yard.status(array), yard.job(array).status_reason) == (S.FAILED, "wrong input")


def test_cancelling_one_child_fails_the_parent_in_the_end() -> None:
    yard = Driver(vcpus=1)
    array = yard.submit(array_size=3)
    yard.do(c.CancelJob(f"{array}:2", "not this one"))
    assert yard.status(f"{array}:2") is S.FAILED
    yard.exited(f"{array}:0")
    yard.exited(f"{array}:1")
    assert yard.status(array) is S.FAILED


def test_a_child_withdrawn_before_its_turn_ends_a_sequential_array_there() -> None:
    yard = Driver()
    array = yard.submit(array_size=4, depends_on=[Dependency(type="SEQUENTIAL")])
    yard.do(c.CancelJob(f"{array}:2", "stop here"))
    assert yard.status(f"{array}:2") is S.PENDING
    yard.exited(f"{array}:0")
    assert yard.placed() == [f"{array}:1"]
    yard.exited(f"{array}:1")
    assert yard.job(f"{array}:2").status_reason == "stop here"
    assert yard.job(f"{array}:3").status_reason == "Dependent Job failed"
    assert yard.status(array) is S.FAILED


def test_a_child_withdrawn_alone_in_a_waiting_array_that_is_withdrawn_too() -> None:
    yard = Driver()
    first = yard.submit()
    array = yard.submit(array_size=2, depends_on=after(first))
    yard.do(c.CancelJob(array, "all"))
    yard.do(c.CancelJob(f"{array}:0", "this one"))
    yard.exited(first)
    assert yard.status(array) is S.FAILED


def test_unknown_and_finished_jobs_take_cancel_and_terminate_without_effect() -> None:
    yard = Driver()
    job = yard.submit()
    yard.exited(job)
    for command in (c.CancelJob, c.TerminateJob):
        yard.do(command("no-such-job", "x"))
        yard.do(command(f"{job}:7", "x"))
        yard.do(command(job, "x"))
    assert yard.job(job).status is S.SUCCEEDED


# -- timeouts, start failures, losses --


def test_a_timeout_counts_from_running_and_is_never_retried() -> None:
    yard = Driver()
    job = yard.submit(timeout={"attemptDurationSeconds": 60}, retry_strategy={"attempts": 3})
    yard.tick(120_000)
    assert yard.stops == []
    yard.started(job)
    yard.tick(59_000)
    assert yard.stops == []
    yard.tick(2_000)
    assert len(yard.stops) == 1
    yard.exited(job, 137)
    done = yard.job(job)
    assert (done.status, done.status_reason) == (S.FAILED, "Job attempt duration exceeded timeout")
    assert len(done.past) == 1


def test_an_engine_whose_clock_is_behind_uses_up_no_timeout() -> None:
    hour_ms = 3_600_000
    yard = Driver(vcpus=1)
    first_in_line = yard.submit()
    job = yard.submit(timeout={"attemptDurationSeconds": 60}, retry_strategy={"attempts": 2})
    yard.tick(120_000)
    yard.exited(first_in_line)
    for number in (1, 2):
        yard.tick(30_000)
        yard.report(reports.Started(yard.attempt_of(job), yard.now_ms - hour_ms))
        started_at_ms = yard.job(job).started_at_ms
        attempt = yard.job(job).attempt
        assert attempt is not None
        assert yard.job(job).created_at_ms < attempt.placed_at_ms <= started_at_ms
        yard.tick(1)
        assert yard.stops == []
        ended = (reports.ContainerExit(exit_code=0 if number == 2 else 1),)
        at_ms = yard.now_ms - hour_ms
        task = yard.attempt_of(job)
        yard._forget(task)
        yard.report(reports.Exited(task, at_ms, at_ms + 1, ended))
    first, second = yard.job(job).past
    assert first.started_at_ms <= first.stopped_at_ms < second.started_at_ms <= second.stopped_at_ms


def test_a_program_that_cannot_be_started_uses_up_the_attempt() -> None:
    yard = Driver()
    job = yard.submit()
    yard.not_started(job, "CannotStartContainerError: no program 'frobnicate' on PATH")
    done = yard.job(job)
    assert (done.status, done.status_reason, done.started_at_ms) == (S.FAILED, "Task failed to start", 0)
    assert (done.past[0].exit_code, done.past[0].reason[:25]) == (127, "CannotStartContainerError")


def test_a_lost_attempt_is_a_host_failure() -> None:
    yard = Driver()
    rules = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    job = yard.submit(retry_strategy={"attempts": 3, "evaluateOnExit": rules})
    yard.started(job)
    yard.lost(job)
    assert yard.status(job) is S.STARTING
    assert yard.job(job).past[0].status_reason == f"Host EC2 (instance {HOST}) terminated."
    assert yard.job(job).past[0].exit_code is None
    yard.exited(job, 1)
    assert yard.status(job) is S.FAILED


def test_a_late_word_about_an_old_attempt_is_acknowledged_and_changes_nothing() -> None:
    yard = Driver()
    job = yard.submit(retry_strategy={"attempts": 2})
    old = yard.attempt_of(job)
    yard.exited(job, 1)
    yard.acknowledged.clear()
    yard.report(reports.Exited(old, yard.now_ms, yard.now_ms, (reports.ContainerExit(exit_code=0),)))
    assert yard.status(job) is S.STARTING
    assert yard.acknowledged == {old}


# -- submissions --


def test_a_retried_submission_is_one_job() -> None:
    yard = Driver()
    yard.define()
    first = yard.do(c.SubmitJob("id-1", "n", "default", "work", idempotency_key="k"))
    again = yard.do(c.SubmitJob("id-2", "n", "default", "work", idempotency_key="k"))
    assert (again.job_id, len(yard.kept.specs)) == (first.job_id, 1)
    yard.tick(2 * 3_600_000)
    later = yard.do(c.SubmitJob("id-3", "n", "default", "work", idempotency_key="k"))
    assert later.job_id == "id-3"


def test_a_submission_without_a_digest_is_taken_for_the_one_remembered() -> None:
    """As those of version 0.1, of which only the key is stored."""
    yard = Driver()
    yard.define()
    digest = "0" * 32
    first = yard.do(c.SubmitJob("id-1", "n", "default", "work", idempotency_key="k~x"))
    assert yard.do(c.SubmitJob("id-2", "n", "default", "work", idempotency_key="k~x", request_digest=digest)) == first
    assert split_stored_key(stored_key("a~b", digest)) == ("a~b", digest)
    assert split_stored_key(stored_key("a~b", "")) == ("a~b", "")
    assert stored_key("", digest) == ""


def test_parameters_overrides_and_environment() -> None:
    yard = Driver()
    yard.define(
        "work",
        parameters={"who": "world", "how": "loud"},
        container={"command": ["say", "Ref::who", "--Ref::how"], "environment": [{"name": "A", "value": "1"}]},
    )
    job = yard.submit(
        parameters={"who": "you"},
        overrides={"environment": [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}]},
    )
    task = yard.launched[yard.attempt_of(job)].task
    assert task.command == ("say", "you", "--loud")
    assert dict(task.environment) == {"A": "3", "B": "2"}
    with pytest.raises(Refused, match="No parameter found for reference nobody"):
        yard.submit(overrides={"command": ["say", "Ref::nobody"]})


@pytest.mark.parametrize(
    ("container", "name"),
    [
        ({"logConfiguration": {"logDriver": "splunk"}}, "splunk"),
        ({"privileged": True}, "privileged"),
        ({"linuxParameters": {"tmpfs": [{"containerPath": "/x", "size": 1}]}}, "tmpfs"),
        (
            {
                "volumes": [{"name": "v", "host": {"sourcePath": "/tmp"}}],
                "mountPoints": [{"sourceVolume": "v", "containerPath": "/scratch"}],
            },
            "mounts",
        ),
        ({"command": []}, "command"),
    ],
)
def test_what_can_not_be_done_is_refused_by_name(container: dict[str, object], name: str) -> None:
    yard = Driver()
    yard.define("work", container=container)
    with pytest.raises(Refused, match=name):
        yard.submit()
    assert yard.kept.specs == {}


def test_a_deleted_queue_takes_its_jobs_along() -> None:
    yard = Driver(vcpus=1)
    yard.do(c.CreateJobQueue("q", "ENABLED", 1, (EnvironmentOrder(1, "local"),)))
    running, waiting = yard.submit(queue="q"), yard.submit(queue="q")
    pending = yard.submit(queue="q", depends_on=after(running))
    yard.started(running)
    with pytest.raises(Refused, match="DISABLED first"):
        yard.do(c.DeleteJobQueue("q"))
    yard.do(c.UpdateJobQueue("q", state="DISABLED"))
    yard.do(c.DeleteJobQueue("q"))
    assert {yard.job(j).status_reason for j in (waiting, pending)} == {"JobQueue deleted"}
    assert "q" in yard.kept.queues
    yard.exited(running, 143)
    assert yard.job(running).status_reason == "JobQueue deleted"
    assert "q" not in yard.kept.queues


def test_an_environment_in_use_is_not_deleted() -> None:
    yard = Driver()
    with pytest.raises(Refused, match="must be DISABLED"):
        yard.do(c.DeleteComputeEnvironment("local"))
    yard.do(c.UpdateComputeEnvironment("local", state="DISABLED"))
    with pytest.raises(Refused, match="found existing JobQueue relationship"):
        yard.do(c.DeleteComputeEnvironment("local"))


def test_revisions_are_never_given_twice() -> None:
    yard = Driver()
    for _ in range(2):
        yard.define("d")
    yard.do(c.DeregisterJobDefinition("d", 2))
    assert yard.kept.specs == {}
    job = yard.submit("d")
    assert next(iter(yard.kept.specs.values())).definition == "d:1"
    yard.define("d")
    assert yard.do(c.RegisterJobDefinition("d", {"type": "container"})).revision == 4
    with pytest.raises(Refused, match="d:2 does not exist or is not in ACTIVE status"):
        yard.submit("d", revision=2)
    assert yard.status(job) is S.STARTING


def test_a_restart_in_the_middle_of_everything() -> None:
    yard = Driver(vcpus=2)
    retried = yard.submit(retry_strategy={"attempts": 3})
    yard.exited(retried, 1)
    array = yard.submit(array_size=5)
    last = yard.submit(depends_on=after(array, retried))
    yard.started(f"{array}:0")
    yard.crash()
    yard.exited(retried)
    for index in range(5):
        yard.crash()
        yard.exited(f"{array}:{index}")
    assert yard.status(array) is S.SUCCEEDED
    yard.crash()
    yard.exited(last)
    assert yard.status(last) is S.SUCCEEDED


@pytest.mark.parametrize(
    ("count", "propagate", "status"), [(20, True, S.STARTING), (21, True, S.FAILED), (21, False, S.STARTING)]
)
def test_a_job_with_too_many_tags_for_its_task_is_accepted_and_fails_late(
    count: int, propagate: bool, status: S
) -> None:
    yard = Driver()
    resources = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    container = {"image": "busybox", "command": ["true"], "resourceRequirements": resources}
    document = {"type": "container", "containerProperties": container}
    yard.do(c.RegisterJobDefinition("tagged", document, tags={f"d{n}": "" for n in range(30)} | {"both": "d"}))
    job = yard.submit("tagged", tags={f"j{n}": "" for n in range(count - 1)} | {"both": "j"}, propagate_tags=propagate)
    assert yard.status(job) is status
    if status is S.FAILED:
        reason = "propagateTags: the job and its definition have 51 tags together; a task has at most 50"
        assert (yard.job(job).status_reason, yard.job(job).past) == (reason, ())


@pytest.mark.parametrize("size", [0, 3])
def test_overrides_too_long_for_ecs_are_accepted_and_fail_late(size: int) -> None:
    yard = Driver()
    first = yard.submit()
    long = {"environment": [{"name": "A", "value": "x" * 9000}]}
    job = yard.submit(array_size=size, overrides=long, depends_on=after(first))
    assert yard.status(job) is S.PENDING
    yard.exited(first)
    assert yard.status(job) is S.FAILED
    child = f"{job}:1" if size else job
    assert yard.job(child).status_reason == "Container Overrides length must be at most 8192"
    assert yard.job(child).past == ()
