"""Tags of every kind of resource, also of jobs that ended."""

from typing import Any

import pytest

from tests.api.service import Service, refusal_of

ARN = "arn:aws:batch:us-east-1:123456789012:"


def resources(service: Service) -> list[str]:
    job_id = service.submit(tags={"born": "yes"})
    return [
        f"{ARN}{path}" for path in ("compute-environment/local", "job-queue/default", "job-definition/sleeper:1")
    ] + [service.context.account.job_arn(job_id)]


def tags(service: Service, arn: str) -> Any:
    return service.batch.list_tags_for_resource(resourceArn=arn)["tags"]


def test_tags_are_added_changed_and_taken_away(service: Service) -> None:
    for arn in resources(service):
        born = tags(service, arn)
        service.batch.tag_resource(resourceArn=arn, tags={"a": "1", "b": ""})
        service.batch.tag_resource(resourceArn=arn, tags={"a": "2"})
        assert tags(service, arn) == born | {"a": "2", "b": ""}
        service.batch.untag_resource(resourceArn=arn, tagKeys=["b", "never there"])
        assert tags(service, arn) == born | {"a": "2"}


def test_tags_are_shown_by_the_describes(service: Service) -> None:
    environment, queue, definition, job = resources(service)
    for arn in (environment, queue, definition, job):
        service.batch.tag_resource(resourceArn=arn, tags={"a": "1"})
    assert service.batch.describe_compute_environments()["computeEnvironments"][0]["tags"] == {"a": "1"}
    assert service.batch.describe_job_queues()["jobQueues"][0]["tags"] == {"a": "1"}
    assert service.batch.describe_job_definitions()["jobDefinitions"][0]["tags"] == {"a": "1"}
    assert service.detail(job)["tags"] == {"born": "yes", "a": "1"}


def test_a_job_that_ended_long_ago_can_be_tagged(service: Service) -> None:
    job_id = service.submit(tags={"born": "yes"})
    service.start(job_id)
    service.end(job_id)
    service.tick(24 * 3600 * 1000)
    service.submit()
    arn = service.context.account.job_arn(job_id)
    service.batch.tag_resource(resourceArn=arn, tags={"a": "1"})
    service.batch.untag_resource(resourceArn=arn, tagKeys=["born"])
    assert service.detail(job_id)["tags"] == {"a": "1"}


MANY = {str(number): "" for number in range(51)}


# fmt: off
@pytest.mark.parametrize(
    ("arn", "new", "message"),
    [
        ("sleeper", {"a": "1"},
         ("resourceArn must be the ARN of a Batch resource, arn:aws:batch:<region>:<account>:<type>/<name>, "
          "got 'sleeper'.")),
        (f"{ARN}job-queue/nobody", {"a": "1"}, f"Resource {ARN}job-queue/nobody does not exist."),
        (f"{ARN}compute-environment/nobody", {"a": "1"}, f"Resource {ARN}compute-environment/nobody does not exist."),
        (f"{ARN}job-definition/sleeper:7", {"a": "1"}, f"Resource {ARN}job-definition/sleeper:7 does not exist."),
        (f"{ARN}job-definition/sleeper", {"a": "1"},
         "Job definitions are tagged by revision: use the ARN of sleeper:<revision>."),
        (f"{ARN}job/nobody", {"a": "1"}, f"Resource {ARN}job/nobody does not exist."),
        (f"{ARN}job/nobody:3", {"a": "1"},
         ("Child jobs of array and multi-node parallel jobs can not be tagged: nobody:3. Tag the parent job.")),
        (f"{ARN}scheduling-policy/p", {"a": "1"}, f"Resource {ARN}scheduling-policy/p does not exist."),
        (f"{ARN}consumable-resource/r", {"a": "1"}, f"Resource {ARN}consumable-resource/r does not exist."),
        (f"{ARN}other/r", {"a": "1"},
         ("Resources of type other are not built yet in this version; known: compute-environment, "
          "job-queue, job-definition, scheduling-policy, job, consumable-resource, service-environment, "
          "service-job, quota-share.")),
        (f"{ARN}job-queue/default", {}, "tags must hold 1 to 50 entries, got 0."),
        (f"{ARN}job-queue/default", MANY, "tags: Member must have length less than or equal to 50, got 51."),
        (f"{ARN}job-queue/default", {"": "x"}, "Tag key '' must have 1 to 128 characters, got 0."),
        (f"{ARN}job-queue/default", {"aws:x": "x"},
         "Tag key aws:x must not start with aws:: this prefix is reserved."),
    ],
)
def test_tagging_is_refused_with_its_text(arn: str, new: dict[str, str], message: str, shared: Service) -> None:
    assert refusal_of(lambda: shared.call("TagResource", {"resourceArn": arn, "tags": new})) == message


def test_a_resource_has_no_more_than_fifty_tags(service: Service) -> None:
    arn = f"{ARN}job-queue/default"
    service.batch.tag_resource(resourceArn=arn, tags={str(number): "" for number in range(50)})
    service.batch.tag_resource(resourceArn=arn, tags={"49": "changed"})
    assert "at most 50 tags" in refusal_of(lambda: service.call("TagResource", {"resourceArn": arn, "tags": {"x": ""}}))
    for keys in ([], [""], ["k"] * 51):
        refusal_of(lambda: service.call("UntagResource", {"resourceArn": arn, "tagKeys": keys}))  # noqa: B023
