"""Scheduling policies, the queues that have one, and what submissions to them must say."""

from typing import Any

import pytest

from tests.api.service import Service, refusal_of

ARN = "arn:aws:batch:us-east-1:123456789012:scheduling-policy/"
ON_FIFO = (
    "Job with shareIdentifier or schedulingPriority can onlybe submitted to job queue with fair share scheduling "
    "policy."
)
POLICY = {
    "shareDecaySeconds": 3600,
    "computeReservation": 25,
    "shareDistribution": [
        {"shareIdentifier": "UserA*", "weightFactor": 0.125},
        {"shareIdentifier": "UserB", "weightFactor": 2.5},
        {"shareIdentifier": "ops"},
    ],
}


def make_fair(service: Service, name: str = "fair", policy: str = "policy") -> None:
    """A queue with a policy, both new."""
    service.batch.create_scheduling_policy(name=policy, fairsharePolicy=POLICY)
    service.batch.create_job_queue(
        jobQueueName=name,
        priority=1,
        schedulingPolicyArn=ARN + policy,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "local"}],
    )


@pytest.fixture
def fair(service: Service) -> Service:
    make_fair(service)
    return service


def described(service: Service, *names: str) -> list[dict[str, Any]]:
    found = service.batch.describe_scheduling_policies(arns=[ARN + name for name in names])
    return list(found["schedulingPolicies"])


def queue_detail(service: Service) -> dict[str, Any]:
    (found,) = service.batch.describe_job_queues(jobQueues=["fair"])["jobQueues"]
    return dict(found)


# -- policies --


def test_a_policy_is_made_changed_and_deleted(service: Service) -> None:
    made = service.batch.create_scheduling_policy(name="p", fairsharePolicy=POLICY, tags={"Team": "data"})
    assert (made["name"], made["arn"]) == ("p", ARN + "p")
    assert described(service, "p", "unknown") == [
        {"name": "p", "arn": ARN + "p", "fairsharePolicy": POLICY, "tags": {"Team": "data"}}
    ]
    changed = {"shareDecaySeconds": 60, "computeReservation": 0, "shareDistribution": []}
    service.batch.update_scheduling_policy(arn=ARN + "p", fairsharePolicy=changed)
    assert described(service, "p")[0]["fairsharePolicy"] == changed
    assert described(service, "p")[0]["tags"] == {"Team": "data"}
    service.batch.update_scheduling_policy(arn=ARN + "p")
    assert described(service, "p")[0]["fairsharePolicy"] == changed, "nothing was given to replace it"
    service.batch.delete_scheduling_policy(arn=ARN + "p")
    assert described(service, "p") == []


def test_what_is_left_out_of_a_policy_is_shown_with_its_default(service: Service) -> None:
    service.batch.create_scheduling_policy(name="least")
    service.batch.create_scheduling_policy(name="quota", quotaSharePolicy={"idleResourceAssignmentStrategy": "FIFO"})
    least, quota = described(service, "least", "quota")
    assert least["fairsharePolicy"] == {"shareDecaySeconds": 0, "computeReservation": 0, "shareDistribution": []}
    assert quota["quotaSharePolicy"] == {"idleResourceAssignmentStrategy": "FIFO"}
    assert "fairsharePolicy" not in quota
    message = refusal_of(
        lambda: service.call("UpdateSchedulingPolicy", {"arn": ARN + "quota", "fairsharePolicy": POLICY})
    )
    assert message.startswith("The kind of a scheduling policy can not change")


def test_policies_are_listed_by_pages(service: Service) -> None:
    for number in range(5):
        service.batch.create_scheduling_policy(name=f"p{number}")
    pages = list(service.batch.get_paginator("list_scheduling_policies").paginate(PaginationConfig={"PageSize": 2}))
    assert [[one["arn"].rpartition("/")[2] for one in page["schedulingPolicies"]] for page in pages] == [
        ["p0", "p1"],
        ["p2", "p3"],
        ["p4"],
    ]
    assert "nextToken" not in pages[-1]


def test_tags_of_a_policy(fair: Service) -> None:
    arn = ARN + "policy"
    fair.batch.tag_resource(resourceArn=arn, tags={"a": "1", "b": ""})
    fair.batch.untag_resource(resourceArn=arn, tagKeys=["b"])
    assert fair.batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "1"}
    assert described(fair, "policy")[0]["tags"] == {"a": "1"}


def shares(*identifiers: str, **members: Any) -> dict[str, Any]:
    return {"fairsharePolicy": {"shareDistribution": [{"shareIdentifier": i} | members for i in identifiers]}}


# fmt: off
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"name": "a b"}, "Scheduling policy name should match a valid pattern."),
    ({"name": "n" * 129}, "Scheduling policy name should match a valid pattern."),
    ({"name": "policy"}, "Object already exists"),
    ({"fairsharePolicy": {}, "quotaSharePolicy": {"idleResourceAssignmentStrategy": "FIFO"}},
     "A scheduling policy can have either fairsharePolicy or quotaSharePolicy"),
    ({"quotaSharePolicy": {"idleResourceAssignmentStrategy": "LIFO"}},
     "Idle resource assignment strategy must be one of [FIFO]."),
    ({"fairsharePolicy": {"shareDecaySeconds": 604801}},
     "shareDecaySeconds must be between 0 and 604800, got 604801."),
    ({"fairsharePolicy": {"computeReservation": 100}}, "computeReservation must be between 0 and 99, got 100."),
    ({"fairsharePolicy": {"computeReservation": -1}}, "computeReservation must be between 0 and 99, got -1."),
    (shares(*map(str, range(501))), "ShareDistribution size cannot be greater than 500."),
    (shares("a", "b", "a"), "Cannot have two or more identical shareIdentifiers."),
    (shares("UserA1", "UserA*"), "Share identifier UserA* matches another share identifier UserA1."),
    (shares("UserA1*", "other", "UserA*"), "Share identifier UserA* matches another share identifier UserA1*."),
    (shares("UserA", "UserA*"), "Share identifier UserA* matches another share identifier UserA."),
    (shares("a", weightFactor=0.00009), "Weight factor should be between 0.0001 and 999.9999."),
    (shares("a", weightFactor=1000.0), "Weight factor should be between 0.0001 and 999.9999."),
    (shares("a", weightFactor=float("nan")), "Weight factor should be between 0.0001 and 999.9999."),
    (shares("a b"), "ShareIdentifier name should match a valid pattern."),
    (shares("a*b"), "ShareIdentifier name should match a valid pattern."),
    (shares(""), "ShareIdentifier name should match a valid pattern."),
    (shares("a" * 256), "ShareIdentifier name should match a valid pattern."),
    ({"tags": {"aws:x": ""}}, "Tag key aws:x must not start with aws:: this prefix is reserved."),
]
# fmt: on


@pytest.mark.parametrize(("members", "message"), REFUSALS, ids=[text[:50] for _, text in REFUSALS])
def test_a_policy_is_refused_with_its_text(members: dict[str, Any], message: str, shared: Service) -> None:
    if not described(shared, "policy"):
        make_fair(shared)
    assert refusal_of(lambda: shared.call("CreateSchedulingPolicy", {"name": "new"} | members)) == message
    changed = {member: value for member, value in members.items() if member not in ("name", "tags")}
    if changed:
        assert refusal_of(lambda: shared.call("UpdateSchedulingPolicy", {"arn": ARN + "policy"} | changed)) == message
    assert len(described(shared, "policy", "new")) == 1


def test_neighbours_of_a_prefix_that_do_not_overlap_are_accepted(service: Service) -> None:
    entries = [{"shareIdentifier": name} for name in ("UserA*", "UserB", "UserB1", "User", "Use", "V*", "a-*")]
    entries.append({"shareIdentifier": "w" * 254 + "*"})
    service.batch.create_scheduling_policy(name="p", fairsharePolicy={"shareDistribution": entries})
    assert len(described(service, "p")[0]["fairsharePolicy"]["shareDistribution"]) == len(entries)


def test_what_names_no_policy(shared: Service) -> None:
    for operation in ("UpdateSchedulingPolicy", "DeleteSchedulingPolicy"):
        assert refusal_of(lambda: shared.call(operation, {"arn": ARN + "nobody"})) == (  # noqa: B023
            f"SchedulingPolicy {ARN}nobody not found."
        )
        message = refusal_of(lambda: shared.call(operation, {"arn": "nobody"}))  # noqa: B023
        assert message == "Only scheduling policy Arn can be allowed, got 'nobody'."
    assert shared.call("DescribeSchedulingPolicies", {"arns": ["nobody", ARN[:-1], ""]}) == {"schedulingPolicies": []}
    message = refusal_of(lambda: shared.call("DescribeSchedulingPolicies", {"arns": [ARN] * 101}))
    assert message == "arns must hold at most 100 entries, got 101."


# -- queues --


def test_a_queue_shows_its_policy_and_keeps_it_from_deletion(fair: Service) -> None:
    assert queue_detail(fair)["schedulingPolicyArn"] == ARN + "policy"
    message = refusal_of(lambda: fair.call("DeleteSchedulingPolicy", {"arn": ARN + "policy"}))
    assert message.startswith("Cannot delete, scheduling policy policy is used by job queue fair")
    fair.batch.update_job_queue(jobQueue="fair", state="DISABLED")
    fair.batch.delete_job_queue(jobQueue="fair")
    fair.batch.delete_scheduling_policy(arn=ARN + "policy")
    assert described(fair, "policy") == []


def test_a_policy_is_replaced_but_neither_removed_nor_gained(fair: Service) -> None:
    fair.batch.create_scheduling_policy(name="second")
    fair.batch.update_job_queue(jobQueue="fair", schedulingPolicyArn=ARN + "second")
    fair.batch.update_job_queue(jobQueue="fair", priority=5)
    assert queue_detail(fair)["schedulingPolicyArn"] == ARN + "second"
    fair.batch.delete_scheduling_policy(arn=ARN + "policy")
    for queue, policy, message in (
        ("fair", "", "The scheduling policy of JobQueue fair can be replaced, but not removed."),
        ("fair", ARN + "policy", f"SchedulingPolicy {ARN}policy not found."),
        ("fair", "second", "Only scheduling policy Arn can be allowed."),
        ("fair", ARN.replace("scheduling-policy", "job-queue") + "x", "Only scheduling policy Arn can be allowed."),
        ("default", ARN + "second",
         ("JobQueue default was created without a scheduling policy and can't get one; create another job queue with "
          "it.")),
    ):  # fmt: skip
        request = {"jobQueue": queue, "schedulingPolicyArn": policy}
        assert refusal_of(lambda: fair.call("UpdateJobQueue", request)) == message  # noqa: B023
    assert queue_detail(fair)["schedulingPolicyArn"] == ARN + "second"
    fair.call("UpdateJobQueue", {"jobQueue": "default", "schedulingPolicyArn": ""})
    (plain,) = fair.batch.describe_job_queues(jobQueues=["default"])["jobQueues"]
    assert "schedulingPolicyArn" not in plain


def test_quota_shares_are_for_queues_of_another_kind(service: Service) -> None:
    service.batch.create_scheduling_policy(name="quota", quotaSharePolicy={"idleResourceAssignmentStrategy": "FIFO"})
    request = {
        "jobQueueName": "q",
        "priority": 1,
        "schedulingPolicyArn": ARN + "quota",
        "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": "local"}],
    }
    assert refusal_of(lambda: service.call("CreateJobQueue", request)) == (
        "Quota Management feature is only supported for SageMaker Training job queues."
    )


# -- jobs --


def test_a_fair_share_queue_needs_identifier_and_priority(fair: Service) -> None:
    assert refusal_of(lambda: fair.submit(jobQueue="fair")) == "shareIdentifier must be specified."
    assert refusal_of(lambda: fair.submit(jobQueue="fair", schedulingPriorityOverride=1)) == (
        "shareIdentifier must be specified."
    )
    assert refusal_of(lambda: fair.submit(jobQueue="fair", shareIdentifier="x")) == (
        "Either schedulingPriority in job definition or schedulingPriorityOverride should be specified."
    )
    assert refusal_of(lambda: fair.submit(jobQueue="fair", shareIdentifier="UserA*", schedulingPriorityOverride=1)) == (
        "ShareIdentifier name should match a valid pattern."
    )
    assert refusal_of(lambda: fair.submit(jobQueue="fair", shareIdentifier="x", schedulingPriorityOverride=-1)) == (
        "Scheduling priority must be between 0 and 9999."
    )
    for status in ("RUNNABLE", "STARTING"):
        assert fair.batch.list_jobs(jobQueue="fair", jobStatus=status)["jobSummaryList"] == []


def test_a_fifo_queue_takes_neither_from_the_caller(fair: Service) -> None:
    fair.register("important", schedulingPriority=7)
    for members in ({"shareIdentifier": "x"}, {"schedulingPriorityOverride": 0}):
        assert refusal_of(lambda: fair.submit("important", **members)) == ON_FIFO  # noqa: B023
    plain = fair.detail(fair.submit("important"))
    assert "shareIdentifier" not in plain
    assert "schedulingPriority" not in plain, "the definition's is ignored there"


def test_the_priority_is_the_definitions_or_the_callers(fair: Service) -> None:
    fair.register("important", schedulingPriority=7)
    ids = [
        fair.submit("important", jobQueue="fair", shareIdentifier="UserA1"),
        fair.submit("important", jobQueue="fair", shareIdentifier="UserA1", schedulingPriorityOverride=0),
        fair.submit(jobQueue="fair", shareIdentifier="new", schedulingPriorityOverride=9999),
    ]
    found = [fair.detail(job_id) for job_id in ids]
    assert [(one["shareIdentifier"], one["schedulingPriority"]) for one in found] == [
        ("UserA1", 7),
        ("UserA1", 0),
        ("new", 9999),
    ]


def test_shares_take_turns(fair: Service) -> None:
    """UserA* weighs an eighth, UserB two and a half: nine of ten go to the first, all at once."""

    def submit(share: str, vcpus: int, **members: Any) -> str:
        override = {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}
        members |= {"shareIdentifier": share, "schedulingPriorityOverride": 1, "containerOverrides": override}
        return fair.submit(jobQueue="fair", **members)

    blocker = submit("ops", 4)
    late = submit("UserB", 1, arrayProperties={"size": 4})
    light = submit("UserA7", 1, arrayProperties={"size": 8})
    fair.start(blocker)
    fair.end(blocker)
    started = [job_id for job_id in fair.launched if job_id != blocker]
    assert sorted(started) == sorted([*(f"{light}:{n}" for n in range(3)), f"{late}:0"])
    fair.start(f"{late}:0")
    fair.end(f"{late}:0")
    assert f"{light}:3" in fair.launched
    assert f"{late}:1" not in fair.launched


def test_jobs_are_listed_by_share(fair: Service) -> None:
    def submit(share: str, **members: Any) -> str:
        return fair.submit(jobQueue="fair", shareIdentifier=share, schedulingPriorityOverride=1, **members)

    first, _, parent = submit("a"), submit("b"), submit("a", arrayProperties={"size": 4})
    last = submit("a")
    fair.submit(jobQueue="default")
    fair.start(first)

    def listed(*shares: str, **members: Any) -> list[str]:
        filters = [{"name": "SHARE_IDENTIFIER", "values": list(shares)}]
        found = fair.batch.list_jobs(jobQueue="fair", filters=filters, **members)["jobSummaryList"]
        assert all(one["shareIdentifier"] in shares for one in found)
        return [one["jobId"] for one in found]

    assert listed("a") == [last, parent, first], "without a status: all of them, newest first"
    assert listed("a", jobStatus="RUNNING") == [first]
    assert listed("a", jobStatus="PENDING") == [parent]
    assert listed("a", jobStatus="SUCCEEDED") == []
    assert listed("A") == listed("nobody") == []
    assert len(listed("a") + listed("b")) == 4
    children = fair.batch.list_jobs(arrayJobId=parent, jobStatus="STARTING")["jobSummaryList"]
    assert {child["shareIdentifier"] for child in children} == {"a"}
