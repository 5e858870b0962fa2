"""ListJobs: a queue by status and by filters, children, pages."""

from typing import Any

import pytest

from batchyard.api.batch.job_lists import FILTERS
from tests.api.service import Service, refusal_of

# fmt: off
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({}, "Exactly one of jobQueue, arrayJobId, multiNodeJobId must be given, got 0."),
    ({"jobQueue": "default", "arrayJobId": "x"},
     "Exactly one of jobQueue, arrayJobId, multiNodeJobId must be given, got 2."),
    ({"jobQueue": "nobody"}, "Job queue nobody does not exist"),
    ({"jobQueue": "default", "jobStatus": "SLEEPING"},
     "jobStatus must be one of [SUBMITTED, PENDING, RUNNABLE, STARTING, RUNNING, SUCCEEDED, FAILED], got SLEEPING."),
    ({"jobQueue": "default", "filters": [{"name": "JOB_NAME", "values": ["a"]}] * 2},
     "Only one filter can be used at a time, got 2."),
    ({"jobQueue": "default", "filters": [{"name": "job_name", "values": ["a"]}]},
     ("Filter name must be one of [JOB_NAME, JOB_DEFINITION, BEFORE_CREATED_AT, AFTER_CREATED_AT, SHARE_IDENTIFIER], "
      "got 'job_name'.")),
    ({"jobQueue": "default", "filters": [{"name": "JOB_NAME"}]},
     "Filter JOB_NAME needs a value."),
    *(({subject: "default", "filters": [{"name": name, "values": ["1", "2"]}]},
       "Filter cannot take more than one value.") for name in FILTERS for subject in ("jobQueue", "arrayJobId")),
    ({"jobQueue": "default", "filters": [{"name": "AFTER_CREATED_AT", "values": ["yesterday"]}]},
     ("Filter AFTER_CREATED_AT takes a time in milliseconds since 1970, in digits such as 1700000000000, "
      "got 'yesterday'.")),
    ({"jobQueue": "default", "maxResults": 0}, "maxResults must be between 1 and 1000, got 0."),
]
# fmt: on


@pytest.mark.parametrize(("request_", "message"), REFUSALS, ids=[message[:60] for _, message in REFUSALS])
def test_a_listing_is_refused_with_its_text(request_: dict[str, Any], message: str, shared: Service) -> None:
    assert refusal_of(lambda: shared.call("ListJobs", request_)) == message


def listed(service: Service, **request: Any) -> list[str]:
    return [one["jobName"] for one in service.batch.list_jobs(jobQueue="default", **request)["jobSummaryList"]]


def test_without_a_status_the_running_jobs_are_listed(service: Service) -> None:
    first, _ = service.submit(name="first"), service.submit(name="second")
    service.start(first)
    assert listed(service) == ["first"]
    assert listed(service, jobStatus="STARTING") == ["second"]
    arn = service.context.account.queue_arn("default")
    assert len(service.batch.list_jobs(jobQueue=arn)["jobSummaryList"]) == 1


def test_filters_take_every_status(service: Service) -> None:
    service.register("other")
    first = service.submit(name="Alpha")
    service.start(first)
    service.tick(10)
    service.submit("other", name="alphabet")
    service.tick(10)
    service.submit("other", name="beta")
    found = {
        ("JOB_NAME", "alpha"): ["Alpha"],
        ("JOB_NAME", "ALPHA*"): ["Alpha", "alphabet"],
        ("JOB_DEFINITION", "other"): ["alphabet", "beta"],
        ("JOB_DEFINITION", "oth*"): ["alphabet", "beta"],
        ("JOB_DEFINITION", service.context.account.definition_arn("sleeper", 1)): ["Alpha"],
        ("BEFORE_CREATED_AT", str(service.now_ms)): ["Alpha", "alphabet"],
        ("AFTER_CREATED_AT", str(service.now_ms - 20)): ["alphabet", "beta"],
        ("SHARE_IDENTIFIER", "team"): [],
    }
    for (name, value), names in found.items():
        by_filter = listed(service, jobStatus="FAILED", filters=[{"name": name, "values": [value]}])
        assert sorted(by_filter) == names, (name, value)


def test_listings_come_in_pages(service: Service) -> None:
    ids = [service.submit() for _ in range(4)]
    pages = list(
        service.batch.get_paginator("list_jobs").paginate(
            jobQueue="default", jobStatus="STARTING", PaginationConfig={"PageSize": 3}
        )
    )
    assert [[one["jobId"] for one in page["jobSummaryList"]] for page in pages] == [ids[:3], ids[3:]]
    assert "nextToken" not in pages[1]


def test_children_are_listed_by_their_parent_alone(service: Service) -> None:
    parent = service.submit(arrayProperties={"size": 6})
    for status, indexes in (("STARTING", [0, 1, 2, 3]), ("RUNNABLE", [4, 5]), ("RUNNING", [])):
        pages = service.batch.get_paginator("list_jobs").paginate(
            arrayJobId=parent,
            jobStatus=status,
            filters=[{"name": "JOB_NAME", "values": ["ignored"]}],
            PaginationConfig={"PageSize": 3},
        )
        found = [one for page in pages for one in page["jobSummaryList"]]
        assert [one["jobId"] for one in found] == [f"{parent}:{index}" for index in indexes]
    assert listed(service, jobStatus="PENDING") == ["nap"]


@pytest.mark.parametrize("subject", ["arrayJobId", "multiNodeJobId"])
def test_unknown_parents_have_no_children(subject: str, service: Service) -> None:
    single = service.submit()
    for job_id in (single, "nobody"):
        assert service.batch.list_jobs(**{subject: job_id})["jobSummaryList"] == []


def test_filtered_jobs_come_newest_first_a_hundred_at_a_time(service: Service) -> None:
    ids = []
    for _ in range(101):
        service.tick(1)
        ids.append(service.submit())
    since = [{"name": "AFTER_CREATED_AT", "values": ["1"]}]
    first = service.batch.list_jobs(jobQueue="default", filters=since, maxResults=1000)
    rest = service.batch.list_jobs(jobQueue="default", filters=since, maxResults=1000, nextToken=first["nextToken"])
    found = [[one["jobId"] for one in page["jobSummaryList"]] for page in (first, rest)]
    assert found == [ids[:0:-1], ids[:1]]
