"""The tables around service jobs."""

from msgspec.structs import replace

from batchyard.core.model.service_records import ServiceJob
from batchyard.core.state.service_table import ServiceJobs, Services


def job(name: str, **members: str) -> ServiceJob:
    return ServiceJob(name, name, "training", "SAGEMAKER_TRAINING", {}, {}, 1, **members)


def test_nothing_is_there_at_first() -> None:
    assert (Services().environments, Services().jobs, Services().shares) == ({}, {}, {})


def test_a_job_is_found_by_its_token_and_request_until_it_is_forgotten() -> None:
    jobs = ServiceJobs()
    jobs.keep(job("a", client_token="t", request_key="r"))
    jobs.keep(job("b"))
    assert (jobs.by_token, jobs.by_request) == ({"t": "a"}, {"r": "a"})
    for name in ("a", "b"):
        jobs.forget(name)
    assert (jobs, jobs.by_token, jobs.by_request, jobs.ended) == ({}, {}, {}, {})


def test_ended_jobs_stay_in_the_order_of_their_ends() -> None:
    jobs = ServiceJobs()
    for name in "abc":
        jobs.keep(job(name))
    assert jobs.first_end_ms() is None
    for name, at_ms in (("c", 5), ("a", 6)):
        jobs.keep(replace(jobs[name], stopped_at_ms=at_ms))
    jobs.keep(replace(jobs["c"], tags={"k": "v"}))
    assert list(jobs.ended) == ["c", "a"]
    assert jobs.first_end_ms() == 5
    jobs.forget("c")
    assert jobs.first_end_ms() == 6
