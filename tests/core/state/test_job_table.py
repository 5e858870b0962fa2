"""The table of jobs: rows of children, and what is remembered of finished ones for how long."""

from __future__ import annotations

from batchyard.core.model.records import Job, JobSpec, Status, TaskSpec
from batchyard.core.model.resources import Resources
from batchyard.core.state.arrays import ArrayProgress
from batchyard.core.state.job_table import Jobs

TASK = TaskSpec((), (), Resources(1000, 64))


def jobs_with_an_array() -> Jobs:
    """An array of three under key 1, whose child 1 has a row."""
    jobs = Jobs()
    jobs.specs[1] = JobSpec(1, "id", "name", "queue", "work:1", TASK, {}, 0, array_size=3)
    jobs.arrays[1] = ArrayProgress.of_size(3)
    jobs[1] = Job(1, Status.PENDING, 0)
    jobs[3], jobs.parents[3] = Job(3, Status.RUNNING, 0), 1
    jobs.by_id["id"] = 1
    return jobs


def test_a_row_of_a_child_is_found_by_its_parent_and_back() -> None:
    jobs = jobs_with_an_array()
    assert (jobs.spec_of(3) is jobs.specs[1], jobs.index_of(3), jobs.id_of(3)) == (True, 1, "id:1")
    assert (jobs.index_of(1), jobs.id_of(1)) == (None, "id")
    assert jobs.rows_of(1) == [3]


def test_the_status_of_a_child_is_its_row_s_or_that_of_its_end() -> None:
    jobs = jobs_with_an_array()
    jobs.arrays[1].failed.add(2)
    assert [jobs.status_at(1, index) for index in range(3)] == [None, Status.RUNNING, Status.FAILED]


def test_a_finished_job_is_remembered_until_its_time_is_over() -> None:
    jobs = jobs_with_an_array()
    jobs.finished[1], jobs.tags[1] = Status.FAILED, {"a": "b"}
    jobs.finished_order.append((100, 1, "id"))
    jobs.forget_finished(99)
    assert jobs.status_at(1, None) is Status.FAILED
    jobs.forget_finished(100)
    assert (jobs.finished, jobs.arrays, jobs.tags, jobs.by_id) == ({}, {}, {}, {})
