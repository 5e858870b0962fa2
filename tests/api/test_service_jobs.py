"""Service jobs: submitted, described, listed, changed, terminated, tagged. None runs."""

from typing import Any

import pytest

from tests.api.service import START_MS, Service, refusal_of
from tests.api.training import ARN, make_service_queue, restart

PAYLOAD = '{"TrainingJobName": "t"}'
NOT_HERE = (
    "Nothing here can run this job: this service has no SageMaker. End it with TerminateServiceJob, and submit it to "
    "AWS, or run the training as a container with SubmitJob."
)
REQUEST: dict[str, Any] = {
    "jobName": "train",
    "jobQueue": "training",
    "serviceRequestPayload": PAYLOAD,
    "serviceJobType": "SAGEMAKER_TRAINING",
}


@pytest.fixture
def training(service: Service) -> Service:
    """With the FIFO queue `training`, and `fair` with a fair-share policy."""
    make_service_queue(service)
    service.batch.create_scheduling_policy(name="fair")
    make_service_queue(service, "fair", schedulingPolicyArn=ARN + "scheduling-policy/fair")
    return service


def submit(service: Service, name: str = "train", queue: str = "training", **members: Any) -> str:
    answer = service.batch.submit_service_job(**(REQUEST | {"jobName": name, "jobQueue": queue} | members))
    assert answer["jobArn"] == ARN + "service-job/" + answer["jobId"]
    assert answer["jobName"] == name
    return str(answer["jobId"])


def detail(service: Service, job: str) -> dict[str, Any]:
    found = dict(service.batch.describe_service_job(jobId=job))
    del found["ResponseMetadata"]
    return found


def listed(service: Service, **members: Any) -> list[str]:
    request = {"jobQueue": "training"} | members
    return [job["jobName"] for job in service.batch.list_service_jobs(**request)["jobSummaryList"]]


def only(name: str, value: str) -> dict[str, Any]:
    return {"filters": [{"name": name, "values": [value]}]}


def test_a_job_is_kept_as_sent_and_waits_with_the_reason(training: Service) -> None:
    members: dict[str, Any] = {
        "retryStrategy": {
            "attempts": 3,
            "evaluateOnExit": [{"action": "RETRY", "onStatusReason": "Received status from SageMaker: *"}],
        },
        "timeoutConfig": {"attemptDurationSeconds": 3600},
        "preemptionConfiguration": {"preemptionRetriesBeforeTermination": 0},
    }
    job = submit(training, queue="fair", shareIdentifier="a", schedulingPriority=5, tags={"k": "v"}, **members)
    expected = members | {
        "jobId": job,
        "jobArn": f"{ARN}service-job/{job}",
        "jobName": "train",
        "jobQueue": ARN + "job-queue/fair",
        "serviceJobType": "SAGEMAKER_TRAINING",
        "serviceRequestPayload": PAYLOAD,
        "shareIdentifier": "a",
        "schedulingPriority": 5,
        "status": "RUNNABLE",
        "statusReason": NOT_HERE,
        "createdAt": START_MS,
        "attempts": [],
        "isTerminated": False,
        "tags": {"k": "v"},
    }
    assert detail(training, job) == expected
    restart(training)
    training.batch.update_service_job(jobId=job, schedulingPriority=9)
    assert detail(training, f"{ARN}service-job/{job}") == expected | {"schedulingPriority": 9}


def test_termination(training: Service) -> None:
    job = submit(training)
    training.tick(1000)
    training.batch.terminate_service_job(jobId=job, reason="enough")
    found = detail(training, job)
    assert (found["status"], found["statusReason"], found["stoppedAt"]) == ("FAILED", "enough", START_MS + 1000)
    assert found["isTerminated"]
    training.batch.terminate_service_job(jobId=job, reason="again")
    restart(training)
    assert detail(training, job) == found


def test_terminations_in_bulk(training: Service) -> None:
    jobs = [submit(training) for _ in range(2)]
    arn = f"{ARN}service-job/{jobs[1]}"
    answer = training.batch.terminate_service_jobs(jobs=[jobs[0], arn, "unknown"], reason="enough")
    assert (answer["successful"], answer["errors"]) == ([jobs[0], arn, "unknown"], [])
    assert {detail(training, job)["status"] for job in jobs} == {"FAILED"}


def test_lists_of_a_queue(training: Service) -> None:
    for name in ("alpha", "beta", "Albert"):
        training.tick(10)
        submit(training, name)
    submit(training, "other", "fair", shareIdentifier="a")
    (beta,) = training.batch.list_service_jobs(jobQueue="training", **only("JOB_NAME", "beta"))["jobSummaryList"]
    training.batch.terminate_service_job(jobId=beta["jobId"], reason="enough")
    assert listed(training) == [], "RUNNING is what is listed without a status"
    assert listed(training, jobStatus="RUNNABLE") == ["alpha", "Albert"]
    assert listed(training, jobStatus="FAILED") == ["beta"]
    assert listed(training, jobStatus="SCHEDULED") == []
    assert listed(training, **only("JOB_NAME", "AL*")) == ["Albert", "alpha"]
    assert listed(training, **only("JOB_NAME", "al")) == []
    assert listed(training, **only("BEFORE_CREATED_AT", str(START_MS + 20))) == ["alpha"]
    assert listed(training, **only("AFTER_CREATED_AT", str(START_MS + 20))) == ["Albert"]
    assert listed(training, **only("AFTER_CREATED_AT", "9" * 5000)) == []
    share = only("SHARE_IDENTIFIER", "a")
    assert listed(training, jobQueue=ARN + "job-queue/fair", **share) == ["other"]
    assert listed(training, jobQueue="fair", jobStatus="FAILED", **share) == []
    assert listed(training, **share) == []
    assert listed(training, **only("QUOTA_SHARE_NAME", "a")) == []


def test_a_list_shows_the_head_of_each_job(training: Service) -> None:
    job = submit(training, queue="fair", shareIdentifier="a")
    found = training.batch.list_service_jobs(jobQueue="fair", jobStatus="RUNNABLE")["jobSummaryList"]
    assert found == [
        {
            "jobId": job,
            "jobArn": f"{ARN}service-job/{job}",
            "jobName": "train",
            "serviceJobType": "SAGEMAKER_TRAINING",
            "shareIdentifier": "a",
            "status": "RUNNABLE",
            "statusReason": NOT_HERE,
            "createdAt": START_MS,
        }
    ]


def test_tags_of_a_service_job(training: Service) -> None:
    job = submit(training, tags={"a": "1"})
    arn = f"{ARN}service-job/{job}"
    training.batch.tag_resource(resourceArn=arn, tags={"b": "2"})
    training.batch.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert training.batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}
    assert detail(training, job)["tags"] == {"b": "2"}


def test_a_used_token_is_refused_and_an_sdk_that_repeats_its_request_is_answered(training: Service) -> None:
    request = REQUEST | {"clientToken": "t"}
    first = training.call("SubmitServiceJob", request, invocation_id="one")
    assert training.call("SubmitServiceJob", request, invocation_id="one") == first
    assert refusal_of(lambda: training.call("SubmitServiceJob", request, invocation_id="two")) == (
        f"The clientToken t was used for the service job {first['jobId']}: use another one for each new job."
    )


NO_OBJECT = "serviceRequestPayload must be the JSON object of a CreateTrainingJob request."
RULE = {"action": "RETRY", "onStatusReason": "*"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"jobName": "-a"}, "Job name should match valid pattern"),
        ({"serviceJobType": "OTHER"}, "serviceJobType must be one of [SAGEMAKER_TRAINING], got OTHER."),
        ({"serviceRequestPayload": "x"}, NO_OBJECT),
        ({"serviceRequestPayload": "[" * 10_000},
         NO_OBJECT),
        ({"serviceRequestPayload": "x" * 10_241},
         "serviceRequestPayload must have at most 10 KiB, got 10241 bytes."),
        ({"clientToken": "t" * 65}, "clientToken must have at most 64 characters, got 65."),
        ({"schedulingPriority": 10_000}, "Scheduling priority must be between 0 and 9999."),
        ({"shareIdentifier": "a b"}, "ShareIdentifier name should match a valid pattern."),
        ({"retryStrategy": {"attempts": 11}}, "RetryAttempts must be between 1 and 10, got 11."),
        ({"retryStrategy": {"attempts": 1, "evaluateOnExit": [RULE] * 6}},
         "Up to 5 evaluateOnExit condition can be specified."),
        ({"retryStrategy": {"attempts": 1, "evaluateOnExit": [{"action": "EXIT"}]}},
         "EvaluateOnExit must contain action and onStatusReason."),
        ({"retryStrategy": {"attempts": 1, "evaluateOnExit": [RULE | {"onStatusReason": "x" * 513}]}},
         "Evaluate on exit condition cannot exceed 512 characters."),
        ({"retryStrategy": {"attempts": 1, "evaluateOnExit": [RULE | {"onStatusReason": "a\nb"}]}},
         "Evaluate on exit condition contains restricted characters."),
        ({"timeoutConfig": {"attemptDurationSeconds": 59}},
         "timeoutConfig.attemptDurationSeconds must be at least 60 seconds, got 59."),
        ({"preemptionConfiguration": {"preemptionRetriesBeforeTermination": -2}},
         "preemptionRetriesBeforeTermination must be at least -1, got -2."),
        ({"tags": {"aws:a": "b"}}, "Tag key aws:a must not start with aws:: this prefix is reserved."),
        ({"jobQueue": "nobody"}, "JobQueue nobody not found."),
        ({"jobQueue": "default"},
         ("JobQueue default is not of type SAGEMAKER_TRAINING, and takes no service jobs: use SubmitJob, or another "
          "job queue.")),
    ],
)  # fmt: skip
def test_wrong_submissions_are_refused(members: dict[str, Any], message: str, training: Service) -> None:
    assert refusal_of(lambda: training.call("SubmitServiceJob", REQUEST | members)) == message
    assert training.machine.world.services.jobs == {}


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("DescribeServiceJob", {"jobId": "nobody"}, "The service job nobody does not exist."),
        ("DescribeServiceJob", {"jobId": ""}, "'jobId' is a required field (cannot be an empty string)"),
        ("UpdateServiceJob", {"jobId": "nobody", "schedulingPriority": 1}, "The service job nobody does not exist."),
        ("UpdateServiceJob", {"jobId": "nobody", "schedulingPriority": -1},
         "Scheduling priority must be between 0 and 9999."),
        ("TerminateServiceJob", {"jobId": "", "reason": "r"},
         "'jobId' is a required field (cannot be an empty string)"),
        ("TerminateServiceJob", {"jobId": "a", "reason": ""},
         "'reason' is a required field (cannot be an empty string)"),
        ("TerminateServiceJobs", {"jobs": [], "reason": "r"},
         "'jobs' is a required field (cannot be an empty list)"),
        ("ListServiceJobs", {}, "jobQueue must be given."),
        ("ListServiceJobs", {"jobQueue": "nobody"}, "Job queue nobody does not exist"),
        ("ListServiceJobs", {"jobQueue": "training", "filters": [{"name": "JOB_DEFINITION", "values": ["a"]}]},
         ("Filter name must be one of [JOB_NAME, BEFORE_CREATED_AT, AFTER_CREATED_AT, SHARE_IDENTIFIER, "
          "QUOTA_SHARE_NAME], got 'JOB_DEFINITION'.")),
        ("ListServiceJobs", {"jobQueue": "training", "filters": [{"name": "AFTER_CREATED_AT", "values": ["x"]}]},
         "Filter AFTER_CREATED_AT takes a time in milliseconds since 1970, in digits such as 1700000000000, got 'x'."),
        ("ListServiceJobs", {"jobQueue": "training", "jobStatus": "LOST"},
         ("jobStatus must be one of [SUBMITTED, PENDING, RUNNABLE, SCHEDULED, STARTING, RUNNING, SUCCEEDED, FAILED], "
          "got LOST.")),
    ],
)  # fmt: skip
def test_what_is_refused(operation: str, request_: dict[str, Any], message: str, training: Service) -> None:
    assert refusal_of(lambda: training.call(operation, request_)) == message


def test_a_job_of_a_deleted_queue_is_still_described(training: Service) -> None:
    job = submit(training)
    training.batch.update_job_queue(jobQueue="training", state="DISABLED")
    training.batch.delete_job_queue(jobQueue="training")
    assert detail(training, job)["statusReason"] == "JobQueue deleted"
    assert refusal_of(lambda: training.call("ListServiceJobs", {"jobQueue": "training"})) == (
        "Job queue training does not exist"
    )
