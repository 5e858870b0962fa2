"""CancelJob and TerminateJob in each of the seven states, for single jobs, children and parents; and twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.records import Dependency, Status
from tests.core.driver import Driver

S = Status
Case = tuple[Driver, str]


def pending() -> Case:
    yard = Driver()
    first = yard.submit()
    return yard, yard.submit(depends_on=[Dependency(first)])


def runnable() -> Case:
    yard = Driver(vcpus=1)
    yard.submit()
    return yard, yard.submit()


def starting() -> Case:
    yard = Driver()
    return yard, yard.submit(retry_strategy={"attempts": 3})


def running() -> Case:
    yard, job = starting()
    yard.started(job)
    return yard, job


def succeeded() -> Case:
    yard, job = running()
    yard.exited(job)
    return yard, job


def failed() -> Case:
    yard = Driver()
    job = yard.submit()
    yard.exited(job, 1)
    return yard, job


STATES: dict[Status, Callable[[], Case]] = {
    S.PENDING: pending,
    S.RUNNABLE: runnable,
    S.STARTING: starting,
    S.RUNNING: running,
    S.SUCCEEDED: succeeded,
    S.FAILED: failed,
}
# (state, terminate) -> state afterwards, whether a stop is asked
EXPECTED = {
    (S.PENDING, False): (S.PENDING, False),
    (S.PENDING, True): (S.PENDING, False),
    (S.RUNNABLE, False): (S.FAILED, False),
    (S.RUNNABLE, True): (S.FAILED, False),
    (S.STARTING, False): (S.STARTING, False),
    (S.STARTING, True): (S.STARTING, True),
    (S.RUNNING, False): (S.RUNNING, False),
    (S.RUNNING, True): (S.RUNNING, True),
    (S.SUCCEEDED, False): (S.SUCCEEDED, False),
    (S.SUCCEEDED, True): (S.SUCCEEDED, False),
    (S.FAILED, False): (S.FAILED, False),
    (S.FAILED, True): (S.FAILED, False),
}


def test_submitted_is_left_in_the_commit_that_makes_the_job() -> None:
    """SUBMITTED is the one state nobody can meet: evaluation follows in the same transaction."""
    for state, make in STATES.items():
        yard, job = make()
        assert yard.status(job) is state


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize(("state", "terminate"), list(EXPECTED))
def test_each_state(state: Status, terminate: bool, twice: bool) -> None:
    yard, job = STATES[state]()
    before = yard.job(job)
    for text in ("first", "second")[: 1 + twice]:
        yard.do((c.TerminateJob if terminate else c.CancelJob)(job, text))
    after, stops = EXPECTED[state, terminate]
    found = yard.job(job)
    assert (found.status, len(yard.stops)) == (after, int(stops))
    if state.is_final:
        assert found == before
        return
    assert (found.is_cancelled, found.is_terminated) == (not terminate, terminate)
    assert found.end_reason == "first"
    if after is S.FAILED:
        assert found.status_reason == "first"


@pytest.mark.parametrize("terminate", [False, True])
@pytest.mark.parametrize("code", [0, 1, 143])
def test_how_a_placed_job_ends_afterwards(terminate: bool, code: int) -> None:
    yard, job = running()
    yard.do((c.TerminateJob if terminate else c.CancelJob)(job, "enough"))
    yard.exited(job, code)
    done = yard.job(job)
    assert (done.past[-1].exit_code, len(done.past)) == (code, 1), "its own exit code, and no second attempt"
    if terminate:
        assert (done.status, done.status_reason) == (S.FAILED, "enough")
    else:
        assert done.status is (S.SUCCEEDED if code == 0 else S.FAILED)
        assert done.status_reason == "Essential container in task exited"


@pytest.mark.parametrize("terminate", [False, True])
def test_a_job_that_could_not_start_after_it_was_withdrawn_is_not_tried_again(terminate: bool) -> None:
    yard, job = starting()
    yard.do((c.TerminateJob if terminate else c.CancelJob)(job, "enough"))
    yard.not_started(job)
    done = yard.job(job)
    assert (done.status, len(done.past)) == (S.FAILED, 1)
    assert done.status_reason == ("enough" if terminate else "Task failed to start")


@pytest.mark.parametrize("terminate", [False, True])
def test_a_parent_takes_each_child_by_the_same_rule(terminate: bool) -> None:
    yard = Driver(vcpus=2)
    array = yard.submit(array_size=5)
    yard.started(f"{array}:0")
    yard.do((c.TerminateJob if terminate else c.CancelJob)(array, "enough"))
    assert [yard.status(f"{array}:{i}") for i in range(5)] == [S.RUNNING, S.STARTING, S.FAILED, S.FAILED, S.FAILED]
    assert len(yard.stops) == 2 * terminate
    yard.exited(f"{array}:0", 0)
    assert yard.status(array) is S.PENDING
    yard.exited(f"{array}:1", 0)
    assert (yard.status(array), yard.job(array).status_reason) == (S.FAILED, "enough")


def test_a_cancel_is_made_stronger_by_a_terminate() -> None:
    yard, job = running()
    yard.do(c.CancelJob(job, "please"))
    yard.do(c.TerminateJob(job, "now"))
    found = yard.job(job)
    assert (found.is_cancelled, found.is_terminated, found.end_reason, len(yard.stops)) == (True, True, "now", 1)


def test_a_terminate_that_the_server_did_not_survive_is_asked_again() -> None:
    yard, job = running()
    yard.do(c.TerminateJob(job, "now"))
    yard.crash()
    again = [effect for effect in yard.machine.recover() if type(effect).__name__ == "StopTask"]
    assert [effect.attempt_id for effect in again] == [yard.attempt_of(job)]
    yard.exited(job, 143)
    assert yard.job(job).status_reason == "now"


def test_children_that_had_ended_are_not_marked_by_what_comes_later() -> None:
    yard = Driver(vcpus=1)
    yard.submit()
    first = yard.submit(array_size=3)
    array = yard.submit(array_size=3, depends_on=[Dependency(first, "N_TO_N")])
    yard.do(c.CancelJob(f"{first}:0", "that one"))
    ended = yard.job(f"{array}:0")
    assert (ended.status, ended.status_reason, ended.is_cancelled) == (S.FAILED, "Dependent Job failed", False)
    yard.do(c.CancelJob(array, "all"))
    assert yard.job(f"{array}:1").is_cancelled
    yard.do(c.CancelJob(f"{first}:1", "the next one"))
    cancelled = yard.job(f"{array}:1")
    assert (cancelled.status, cancelled.status_reason, cancelled.is_cancelled) == (S.FAILED, "all", True)
    yard.do(c.TerminateJob(array, "stronger"))
    assert yard.job(f"{array}:2").is_terminated
    assert (yard.job(f"{array}:0"), yard.job(f"{array}:1")) == (ended, cancelled)
