"""SubmitJob, DescribeJobs, CancelJob, TerminateJob: commands, refusals with their texts, idempotency."""

from typing import Any

import pytest

from batchyard.core.model import commands
from batchyard.core.model.records import Dependency
from batchyard.core.model.refusal import Refused
from tests.api.service import Service, refusal_of

UNKNOWN = "11111111-1111-4111-8111-111111111111"


def depends(*entries: dict[str, str]) -> dict[str, Any]:
    return {"dependsOn": list(entries)}


def override(**members: Any) -> dict[str, Any]:
    return {"containerOverrides": members}


def array(size: int) -> dict[str, Any]:
    return {"arrayProperties": {"size": size}}


# fmt: off
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"jobName": "-x"}, "Job name should match valid pattern"),
    ({"jobName": "a b"}, "Job name should match valid pattern"),
    ({"jobName": "x" * 129}, "Job name should match valid pattern"),
    ({"jobQueue": "nobody"}, "JobQueue nobody not found."),
    ({"jobDefinition": "nobody"}, "JobDefinition name nobody does not exist or is not in ACTIVE status"),
    ({"jobDefinition": "sleeper:9"}, "JobDefinition name sleeper:9 does not exist or is not in ACTIVE status"),
    (array(1), "arrayProperties.size must be between 2 and 10000, got 1."),
    (array(10001), "arrayProperties.size must be between 2 and 10000, got 10001."),
    (depends(*[{"jobId": UNKNOWN}] * 21), "Job cannot have more than 20 dependencies"),
    (depends({}), "dependsOn entries need a jobId; only one of type SEQUENTIAL, on an array job, may go without."),
    (depends({"type": "N_TO_N"}),
     "dependsOn entries need a jobId; only one of type SEQUENTIAL, on an array job, may go without."),
    (depends({"type": "ANY"}), "dependsOn[0].type must be one of [N_TO_N, SEQUENTIAL], got ANY."),
    (override(command=["echo", "Ref::who"]), "Unable to substitute value. No parameter found for reference who"),
    (override(command=["echo", ""]), "Command field cannot have empty strings"),
    (override(environment=[{"name": "AWS_BATCH_CE_NAME", "value": "x"}]),
     ("Environment variable name AWS_BATCH_CE_NAME must not start with AWS_BATCH: this prefix is reserved for the "
      "variables that the service sets.")),
    (override(resourceRequirements=[{"type": "GPU", "value": "all"}]),
     "Value all for type GPU in resourceRequirement is not valid. Please provide a numeric value."),
    (override(resourceRequirements=[{"type": "GPU", "value": "1"}] * 2),
     "Cannot provide duplicates in resourceRequirements."),
    (override(command=["a\0b"]), "containerOverrides.command[0] must not hold a NUL character."),
    (override(environment=[{"name": "A=B", "value": "x"}]), "Environment variable name A=B must not hold '='."),
    ({"parameters": {"p": "\0"}}, "parameters.p must not hold a NUL character."),
    (override(vcpus=0), "containerOverrides.vcpus must be at least 1, got 0."),
    ({"retryStrategy": {"evaluateOnExit": []}}, "RetryAttempts must be provided with retry strategy."),
    ({"timeout": {"attemptDurationSeconds": 1}}, "timeout.attemptDurationSeconds must be at least 60 seconds, got 1."),
    ({"tags": {"k" * 129: ""}},
     f"Tag key {'k' * 128 + '...'!r} must have 1 to 128 characters, got 129."),
    ({"tags": {"k": "v" * 257}}, "The value of tag k must have at most 256 characters, got 257."),
    ({"shareIdentifier": "a b"}, "ShareIdentifier name should match a valid pattern."),
    ({"schedulingPriorityOverride": 10000}, "Scheduling priority must be between 0 and 9999."),
    ({"shareIdentifier": "team"},
     ("Job with shareIdentifier or schedulingPriority can onlybe submitted to job queue with fair share scheduling "
      "policy.")),
]
# fmt: on


@pytest.mark.parametrize(("members", "message"), REFUSALS, ids=[message[:60] for _, message in REFUSALS])
def test_a_submission_is_refused_with_its_text(members: dict[str, Any], message: str, shared: Service) -> None:
    request = {"jobName": "nap", "jobQueue": "default", "jobDefinition": "sleeper"} | members
    assert refusal_of(lambda: shared.call("SubmitJob", request)) == message
    assert shared.batch.list_jobs(jobQueue="default", jobStatus="STARTING")["jobSummaryList"] == []


@pytest.mark.parametrize(
    ("members", "name"),
    [
        (override(instanceType="c5.large"), "containerOverrides.instanceType"),
    ],
)
def test_what_can_not_be_done_yet_is_refused_by_name(members: dict[str, Any], name: str, shared: Service) -> None:
    message = refusal_of(lambda: shared.submit(**members))
    assert name in message
    (submit,) = [command for command in shared.asked[-1:] if isinstance(command, commands.SubmitJob)]
    assert submit.unsupported == (name,)


def test_a_job_that_is_too_large_is_refused_with_its_size(shared: Service) -> None:
    request = {"jobName": "nap", "jobQueue": "default", "jobDefinition": "sleeper"}
    message = refusal_of(lambda: shared.call("SubmitJob", request, size_bytes=47 * 1024 - 5))
    assert message == "Job size must be less than 30 KiB, got 47 KiB"


def test_a_submission_becomes_one_command_with_everything_in_it(service: Service) -> None:
    first = service.submit(name="first")
    service.start(first)
    service.end(first)
    service.asked.clear()
    answer = service.batch.submit_job(
        jobName="second",
        jobQueue="arn:aws:batch:us-east-1:123456789012:job-queue/default",
        jobDefinition="arn:aws:batch:us-east-1:123456789012:job-definition/sleeper:1",
        arrayProperties={"size": 3},
        dependsOn=[{"jobId": service.context.account.job_arn(first), "type": "SEQUENTIAL"}, {"type": "SEQUENTIAL"}],
        containerOverrides={"command": ["true"], "environment": [{"name": "A", "value": ""}]},
        parameters={"p": "1"},
        retryStrategy={"attempts": 2},
        timeout={"attemptDurationSeconds": 60},
        tags={"t": "1"},
        propagateTags=False,
    )
    (command,) = service.asked
    assert isinstance(command, commands.SubmitJob)
    assert command.idempotency_key.startswith("submitjob:tester:")
    assert command == commands.SubmitJob(
        job_id=answer["jobId"],
        name="second",
        queue="default",
        definition="sleeper",
        revision=1,
        principal="tester",
        idempotency_key=command.idempotency_key,
        array_size=3,
        depends_on=(Dependency(first, "SEQUENTIAL"), Dependency("", "SEQUENTIAL")),
        finished={first: "SUCCEEDED"},
        overrides={"command": ["true"], "environment": [{"name": "A", "value": ""}]},
        parameters={"p": "1"},
        retry_strategy={"attempts": 2},
        timeout={"attemptDurationSeconds": 60},
        tags={"t": "1"},
        propagate_tags=False,
    )
    assert answer["jobArn"] == f"arn:aws:batch:us-east-1:123456789012:job/{answer['jobId']}"
    assert answer["jobName"] == "second"


def test_empty_array_properties_mean_no_array(service: Service) -> None:
    assert "arrayProperties" not in service.detail(service.submit(arrayProperties={}))


def test_another_request_under_an_invocation_id_is_refused(service: Service) -> None:
    request = {"jobName": "nap", "jobQueue": "default", "jobDefinition": "sleeper"}
    first = service.call("SubmitJob", request, invocation_id="call-1")
    other = request | {"jobName": "other"}
    with pytest.raises(Refused, match="was used for another request") as refused:
        service.call("SubmitJob", other, invocation_id="call-1")
    assert refused.value.code == "ClientException"
    snapshot = service.writer.load(service.now_ms)  # and so it is after a restart
    service.machine.world.idempotency.clear()
    service.machine.restore(snapshot)
    with pytest.raises(Refused, match="was used for another request"):
        service.call("SubmitJob", other, invocation_id="call-1")
    assert service.call("SubmitJob", request, invocation_id="call-1") == first


def test_a_retry_of_the_same_call_makes_one_job(service: Service) -> None:
    request = {"jobName": "nap", "jobQueue": "default", "jobDefinition": "sleeper"}
    first = service.call("SubmitJob", request, invocation_id="call-1")
    assert service.call("SubmitJob", request, invocation_id="call-1") == first
    others = [service.call("SubmitJob", request, invocation_id=one) for one in ("call-2", "", "")]
    others.append(service.call("SubmitJob", request, invocation_id="call-1", caller="uid 7"))  # its own id
    assert len({answer["jobId"] for answer in [first, *others]}) == 5
    found = service.batch.list_jobs(jobQueue="default", jobStatus="STARTING")["jobSummaryList"]
    assert len(found) == 4


def test_jobs_are_described_by_id_by_arn_and_by_child(service: Service) -> None:
    single, many = service.submit(), service.submit(arrayProperties={"size": 3})
    asked = [service.context.account.job_arn(single), f"{many}:2", many, single, f"{many}:3", UNKNOWN, "a" * 32, ""]
    found = service.batch.describe_jobs(jobs=asked)["jobs"]
    assert [job["jobId"] for job in found] == [single, f"{many}:2", many]


def test_nobody_is_described_with_an_empty_list(service: Service) -> None:
    assert service.batch.describe_jobs(jobs=["a" * 32])["jobs"] == []
    assert service.batch.describe_jobs(jobs=[])["jobs"] == []


def test_more_than_a_hundred_jobs_are_refused(shared: Service) -> None:
    message = refusal_of(lambda: shared.call("DescribeJobs", {"jobs": [UNKNOWN] * 101}))
    assert message == "Maximum number of jobs supported is  100"


@pytest.mark.parametrize("operation", ["CancelJob", "TerminateJob"])
def test_what_a_stop_needs(operation: str, shared: Service) -> None:
    texts = {
        ("", "why"): "'jobId' is a required field (cannot be an empty string)",
        (UNKNOWN, ""): "'reason' is a required field (cannot be an empty string)",
        (UNKNOWN, "x" * 1025): f"reason must have at most 1024 characters, got 1025: {'x' * 128}...",
    }
    for (job_id, reason), message in texts.items():
        assert refusal_of(lambda: shared.call(operation, {"jobId": job_id, "reason": reason})) == message  # noqa: B023
    assert shared.call(operation, {"jobId": UNKNOWN, "reason": "nobody there"}) == {}


def test_a_job_is_terminated_by_arn_and_again_after_its_end(service: Service) -> None:
    job_id = service.submit()
    service.start(job_id)
    arn = service.context.account.job_arn(job_id)
    service.batch.terminate_job(jobId=arn, reason="enough")
    assert service.detail(job_id)["isTerminated"]
    service.end(job_id, 143)
    service.batch.terminate_job(jobId=arn, reason="again")
    found = service.detail(job_id)
    assert (found["status"], found["statusReason"]) == ("FAILED", "enough")


def test_many_jobs_are_stopped_in_one_call(service: Service) -> None:
    ids = [service.submit() for _ in range(5)]
    waiting = ids[4]
    answer = service.batch.cancel_jobs(jobs=[waiting, UNKNOWN], reason="not needed")
    assert (answer["successful"], answer["errors"]) == ([waiting, UNKNOWN], [])
    assert service.detail(waiting)["status"] == "FAILED"
    answer = service.batch.terminate_jobs(jobs=ids[:2], reason="enough")
    assert answer["successful"] == ids[:2]
    assert [service.detail(one)["isTerminated"] for one in ids] == [True, True, False, False, False]


def test_what_one_job_is_refused_does_not_hold_up_the_others(service: Service) -> None:
    answer = service.batch.terminate_jobs(jobs=["", UNKNOWN], reason="enough")
    assert answer["successful"] == [UNKNOWN]
    assert answer["errors"] == [
        {
            "job": "",
            "code": "ClientException",
            "message": "'jobId' is a required field (cannot be an empty string)",
        }
    ]


@pytest.mark.parametrize("operation", ["CancelJobs", "TerminateJobs"])
def test_what_a_stop_of_many_needs(operation: str, shared: Service) -> None:
    texts: list[tuple[list[str], str, str]] = [
        ([], "why", "'jobs' is a required field (cannot be an empty list)"),
        ([f"{n}" for n in range(51)], "why", "jobs must hold at most 50 job ids, got 51."),
        (["a", "a"], "why", "jobs must not name a job twice."),
        (["a"], "", "'reason' is a required field (cannot be an empty string)"),
    ]
    for jobs, reason, message in texts:
        assert refusal_of(lambda: shared.call(operation, {"jobs": jobs, "reason": reason})) == message  # noqa: B023
