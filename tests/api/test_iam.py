"""IAM's roles, policies, attachments and instance profiles, as boto3 and Terraform read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.core.model.refusal import Refused
from batchyard.iam.machine import IamMachine
from batchyard.store.store import Store
from tests.api.service import ACCOUNT, START_MS, Service

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "batch.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
READ = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::bucket/a+b%20c/*"]}],
}
OF_BATCH = "arn:aws:iam::aws:policy/service-role/AWSBatchServiceRole"


@pytest.fixture
def iam(service: Service) -> Any:
    return service.client("iam")


def refused(action: Callable[[], object]) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        action()
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def make_role(iam: Any, name: str = "job", **members: Any) -> dict[str, Any]:
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST), **members)
    return dict(made["Role"])


def make_policy(iam: Any, name: str = "read", **members: Any) -> str:
    return str(iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(READ), **members)["Policy"]["Arn"])


# -- roles --


def test_a_role_is_made_read_changed_and_deleted(iam: Any) -> None:
    made = make_role(iam, Path="/batch/", Description="runs jobs", Tags=[{"Key": "team", "Value": "ml"}])
    assert made["Arn"] == "arn:aws:iam::123456789012:role/batch/job"
    assert made["RoleId"].startswith("AROA")
    assert len(made["RoleId"]) == 21
    assert "MaxSessionDuration" not in made
    found = iam.get_role(RoleName="job")["Role"]
    assert found == made | {"MaxSessionDuration": 3600, "RoleLastUsed": {}}
    assert (found["AssumeRolePolicyDocument"], found["Tags"]) == (TRUST, [{"Key": "team", "Value": "ml"}])
    assert found["CreateDate"].timestamp() * 1000 == START_MS

    iam.update_role(RoleName="job", MaxSessionDuration=7200)
    iam.update_role(RoleName="job", Description="runs all jobs")
    changed = {"Statement": TRUST["Statement"], "Version": "2008-10-17"}
    iam.update_assume_role_policy(RoleName="job", PolicyDocument=json.dumps(changed))
    found = iam.get_role(RoleName="job")["Role"]
    assert (found["MaxSessionDuration"], found["Description"]) == (7200, "runs all jobs")
    assert (found["AssumeRolePolicyDocument"], found["RoleId"]) == (changed, made["RoleId"])
    described = iam.update_role_description(RoleName="job", Description="none")["Role"]
    assert (described["Description"], described["MaxSessionDuration"]) == ("none", 7200)

    (listed,) = iam.list_roles(PathPrefix="/batch")["Roles"]
    assert listed["RoleName"] == "job"
    assert not listed.keys() & {"Tags", "RoleLastUsed"}
    assert iam.list_roles(PathPrefix="/other/")["Roles"] == []
    iam.delete_role(RoleName="job")
    assert refused(lambda: iam.get_role(RoleName="job")) == (
        404,
        "NoSuchEntity",
        "The role with name job cannot be found.",
    )
    assert make_role(iam)["RoleId"] != made["RoleId"]


def test_the_policies_of_a_role(iam: Any) -> None:
    make_role(iam)
    iam.put_role_policy(RoleName="job", PolicyName="inline", PolicyDocument=json.dumps(READ))
    found = iam.get_role_policy(RoleName="job", PolicyName="inline")
    assert (found["RoleName"], found["PolicyName"], found["PolicyDocument"]) == ("job", "inline", READ)
    assert iam.list_role_policies(RoleName="job")["PolicyNames"] == ["inline"]

    arn = make_policy(iam, Path="/team/")
    for attached in (OF_BATCH, arn, arn):
        iam.attach_role_policy(RoleName="job", PolicyArn=attached)
    assert iam.list_attached_role_policies(RoleName="job")["AttachedPolicies"] == [
        {"PolicyName": "read", "PolicyArn": arn},
        {"PolicyName": "AWSBatchServiceRole", "PolicyArn": OF_BATCH},
    ]
    (below,) = iam.list_attached_role_policies(RoleName="job", PathPrefix="/service-role/")["AttachedPolicies"]
    assert below["PolicyArn"] == OF_BATCH

    assert refused(lambda: iam.delete_policy(PolicyArn=arn)) == (
        409,
        "DeleteConflict",
        "Cannot delete a policy attached to entities.",
    )
    texts = [
        "Cannot delete entity, must detach all policies first.",
        "Cannot delete entity, must delete policies first.",
    ]
    assert refused(lambda: iam.delete_role(RoleName="job")) == (409, "DeleteConflict", texts[0])
    for attached in (OF_BATCH, arn):
        iam.detach_role_policy(RoleName="job", PolicyArn=attached)
    assert refused(lambda: iam.detach_role_policy(RoleName="job", PolicyArn=arn))[:2] == (404, "NoSuchEntity")
    assert refused(lambda: iam.delete_role(RoleName="job")) == (409, "DeleteConflict", texts[1])
    iam.delete_role_policy(RoleName="job", PolicyName="inline")
    assert refused(lambda: iam.delete_role_policy(RoleName="job", PolicyName="inline"))[:2] == (404, "NoSuchEntity")
    iam.delete_role(RoleName="job")
    iam.delete_policy(PolicyArn=arn)


def test_a_policy_comes_back_letter_by_letter(iam: Any, service: Service) -> None:
    """Answers have it URL-encoded, also what is encoded in it already."""
    make_role(iam)
    text = json.dumps(READ, indent=2)
    iam.put_role_policy(RoleName="job", PolicyName="inline", PolicyDocument=text)
    answer = service.call("GetRolePolicy", {"RoleName": "job", "PolicyName": "inline"}, service="iam")
    assert "a%2Bb%2520c" in answer["PolicyDocument"]
    assert "+" not in answer["PolicyDocument"]
    assert iam.get_role_policy(RoleName="job", PolicyName="inline")["PolicyDocument"] == READ


def test_a_permissions_boundary(iam: Any) -> None:
    arn = make_policy(iam)
    role = make_role(iam, PermissionsBoundary=arn)
    assert role["PermissionsBoundary"] == {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}
    counts = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (counts["AttachmentCount"], counts["PermissionsBoundaryUsageCount"]) == (0, 1)
    assert refused(lambda: iam.delete_policy(PolicyArn=arn))[:2] == (409, "DeleteConflict")
    of_other = {"RoleName": "job", "PermissionsBoundary": "arn:aws:iam::123456789012:policy/none"}
    assert refused(lambda: iam.put_role_permissions_boundary(**of_other))[:2] == (404, "NoSuchEntity")
    iam.put_role_permissions_boundary(RoleName="job", PermissionsBoundary=OF_BATCH)
    assert iam.get_role(RoleName="job")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == OF_BATCH
    iam.delete_role_permissions_boundary(RoleName="job")
    assert "PermissionsBoundary" not in iam.get_role(RoleName="job")["Role"]


def test_a_service_linked_role_is_changed_by_its_service_alone(iam: Any) -> None:
    role = iam.create_service_linked_role(AWSServiceName="batch.amazonaws.com", Description="d")["Role"]
    name = "AWSServiceRoleForBatch"
    assert role["Arn"] == f"arn:aws:iam::123456789012:role/aws-service-role/batch.amazonaws.com/{name}"
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [one["PolicyName"] for one in attached] == ["BatchServiceRolePolicy"]
    again = refused(lambda: iam.create_service_linked_role(AWSServiceName="batch.amazonaws.com"))
    assert again[:2] == (400, "InvalidInput")
    assert f"{name} has been taken in this account" in again[2]
    for action in (
        lambda: iam.delete_role(RoleName=name),
        lambda: iam.attach_role_policy(RoleName=name, PolicyArn=OF_BATCH),
        lambda: iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(TRUST)),
    ):
        assert refused(action)[:2] == (400, "UnmodifiableEntity")
    iam.update_role(RoleName=name, Description="ours")
    task = iam.delete_service_linked_role(RoleName=name)["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    assert refused(lambda: iam.get_role(RoleName=name))[:2] == (404, "NoSuchEntity")
    make_role(iam)
    assert refused(lambda: iam.delete_service_linked_role(RoleName="job"))[1] == "InvalidInput"
    assert refused(lambda: iam.create_service_linked_role(AWSServiceName="x.amazonaws.com"))[1] == "InvalidInput"
    suffixed = {"AWSServiceName": "batch.amazonaws.com", "CustomSuffix": "x"}
    assert refused(lambda: iam.create_service_linked_role(**suffixed)) == (
        400,
        "InvalidInput",
        "Custom suffix is not allowed for batch.amazonaws.com",
    )


# -- managed policies --


def test_a_managed_policy_and_its_versions(iam: Any, service: Service) -> None:
    made = iam.create_policy(PolicyName="read", PolicyDocument=json.dumps(READ), Description="reads")["Policy"]
    arn = "arn:aws:iam::123456789012:policy/read"
    assert (made["Arn"], made["DefaultVersionId"], made["IsAttachable"]) == (arn, "v1", True)
    assert (made["AttachmentCount"], made["PermissionsBoundaryUsageCount"]) == (0, 0)
    assert iam.get_policy(PolicyArn=arn)["Policy"] == made | {"Description": "reads"}

    service.tick(1000)
    deny = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}
    second = iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(deny), SetAsDefault=True)
    assert (second["PolicyVersion"]["VersionId"], second["PolicyVersion"]["IsDefaultVersion"]) == ("v2", True)
    found = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (found["DefaultVersionId"], (found["UpdateDate"] - found["CreateDate"]).total_seconds()) == ("v2", 1)
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]["Document"] == deny
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == READ
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [(one["VersionId"], one["IsDefaultVersion"]) for one in versions] == [("v2", True), ("v1", False)]

    assert refused(lambda: iam.delete_policy(PolicyArn=arn))[:2] == (409, "DeleteConflict")
    assert refused(lambda: iam.delete_policy_version(PolicyArn=arn, VersionId="v2"))[:2] == (409, "DeleteConflict")
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    third = iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(deny))
    assert third["PolicyVersion"]["VersionId"] == "v3"  # numbers are not used again
    for _ in range(3):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(deny))
    create = lambda: iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(deny))  # noqa: E731
    assert refused(create)[:2] == (409, "LimitExceeded")
    missing = refused(lambda: iam.get_policy_version(PolicyArn=arn, VersionId="v99"))
    assert missing == (404, "NoSuchEntity", f"Policy {arn} version v99 does not exist or is not attachable.")


def test_policies_of_aws_are_known_by_their_arns(iam: Any) -> None:
    make_role(iam)
    any_of_them = "arn:aws:iam::aws:policy/AnythingAtAll"
    iam.attach_role_policy(RoleName="job", PolicyArn=any_of_them)
    found = iam.get_policy(PolicyArn=any_of_them)["Policy"]
    assert (found["PolicyName"], found["Path"], found["AttachmentCount"]) == ("AnythingAtAll", "/", 1)
    version = iam.get_policy_version(PolicyArn=any_of_them, VersionId="v1")["PolicyVersion"]
    assert version["Document"] == {"Version": "2012-10-17", "Statement": []}
    make_policy(iam)
    listed = {one["Arn"]: one for one in iam.list_policies(Scope="AWS")["Policies"]}
    assert {OF_BATCH, any_of_them} <= listed.keys()
    assert listed[OF_BATCH]["Path"] == "/service-role/"
    assert [one["Arn"] for one in iam.list_policies(OnlyAttached=True)["Policies"]] == [any_of_them]
    assert [one["PolicyName"] for one in iam.list_policies(Scope="Local")["Policies"]] == ["read"]
    assert len(iam.list_policies()["Policies"]) == len(listed) + 1
    change = lambda: iam.delete_policy(PolicyArn=any_of_them)  # noqa: E731
    assert refused(change)[1] == "AccessDenied"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["bounded", "job"]),
        ({"EntityFilter": "Role"}, ["bounded", "job"]),
        ({"EntityFilter": "User"}, []),
        ({"PolicyUsageFilter": "PermissionsPolicy"}, ["job"]),
        ({"PolicyUsageFilter": "PermissionsBoundary"}, ["bounded"]),
        ({"PathPrefix": "/a/"}, ["job"]),
    ],
)
def test_who_has_a_policy(iam: Any, filters: dict[str, str], expected: list[str]) -> None:
    arn = make_policy(iam)
    make_role(iam, Path="/a/")
    make_role(iam, "bounded", PermissionsBoundary=arn)
    iam.attach_role_policy(RoleName="job", PolicyArn=arn)
    found = iam.list_entities_for_policy(PolicyArn=arn, **filters)
    assert [one["RoleName"] for one in found["PolicyRoles"]] == expected
    assert (found["PolicyUsers"], found["PolicyGroups"]) == ([], [])


# -- instance profiles --


def test_an_instance_profile(iam: Any) -> None:
    made = iam.create_instance_profile(InstanceProfileName="ecsInstanceRole", Path="/p/")["InstanceProfile"]
    assert made["Arn"] == "arn:aws:iam::123456789012:instance-profile/p/ecsInstanceRole"
    assert made["Roles"] == []
    role = make_role(iam)
    named = {"InstanceProfileName": "ecsInstanceRole", "RoleName": "job"}
    iam.add_role_to_instance_profile(**named)
    (held,) = iam.get_instance_profile(InstanceProfileName="ecsInstanceRole")["InstanceProfile"]["Roles"]
    assert held == {name: value for name, value in role.items() if name != "MaxSessionDuration"}
    (listed,) = iam.list_instance_profiles(PathPrefix="/p/")["InstanceProfiles"]
    (of_role,) = iam.list_instance_profiles_for_role(RoleName="job")["InstanceProfiles"]
    assert listed["Roles"] == of_role["Roles"] == [held]
    assert refused(lambda: iam.add_role_to_instance_profile(**named)) == (
        409,
        "LimitExceeded",
        "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1",
    )
    text = "Cannot delete entity, must remove roles from instance profile first."
    assert refused(lambda: iam.delete_role(RoleName="job")) == (409, "DeleteConflict", text)
    delete = lambda: iam.delete_instance_profile(InstanceProfileName="ecsInstanceRole")  # noqa: E731
    assert refused(delete) == (409, "DeleteConflict", text)
    iam.remove_role_from_instance_profile(**named)
    assert refused(lambda: iam.remove_role_from_instance_profile(**named))[:2] == (404, "NoSuchEntity")
    delete()
    assert refused(delete) == (404, "NoSuchEntity", "Instance Profile ecsInstanceRole cannot be found.")


# -- tags --


def test_everything_has_tags(iam: Any) -> None:
    make_role(iam)
    arn = make_policy(iam)
    iam.create_instance_profile(InstanceProfileName="profile")
    for kind, named in (
        ("role", {"RoleName": "job"}),
        ("policy", {"PolicyArn": arn}),
        ("instance_profile", {"InstanceProfileName": "profile"}),
    ):
        tag, untag = getattr(iam, f"tag_{kind}"), getattr(iam, f"untag_{kind}")
        tag(**named, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
        tag(**named, Tags=[{"Key": "A", "Value": "2"}])
        untag(**named, TagKeys=["b", "none"])
        assert getattr(iam, f"list_{kind}_tags")(**named)["Tags"] == [{"Key": "A", "Value": "2"}]
        untag(**named, TagKeys=["a"])
        assert getattr(iam, f"list_{kind}_tags")(**named)["Tags"] == []
    twice = [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "1"}]
    assert refused(lambda: iam.tag_role(RoleName="job", Tags=twice))[:2] == (400, "InvalidInput")
    reserved = [{"Key": "aws:x", "Value": "1"}]
    assert refused(lambda: iam.tag_role(RoleName="job", Tags=reserved))[:2] == (400, "InvalidInput")


# -- refusals --


def test_what_is_there_is_not_made_again(iam: Any) -> None:
    """Names that differ in case alone are one name."""
    make_role(iam)
    make_policy(iam)
    iam.create_instance_profile(InstanceProfileName="profile")
    assert refused(lambda: make_role(iam, "JOB")) == (
        409,
        "EntityAlreadyExists",
        "Role with name JOB already exists.",
    )
    assert refused(lambda: make_policy(iam, Path="/other/")) == (
        409,
        "EntityAlreadyExists",
        "A policy called read already exists. Duplicate names are not allowed.",
    )
    assert refused(lambda: iam.create_instance_profile(InstanceProfileName="profile")) == (
        409,
        "EntityAlreadyExists",
        "Instance Profile profile already exists.",
    )


@pytest.mark.parametrize(
    ("arn", "status", "code", "text"),
    [
        ("longpolicynamebutnoarn", 400, "ValidationError", "Invalid ARN:  Could not be parsed!"),
        (
            "arn:aws:iam::123456789012:policy/read123",
            404,
            "NoSuchEntity",
            "Policy arn:aws:iam::123456789012:policy/read123 does not exist or is not attachable.",
        ),
        ("arn:aws:iam::123456789012:policy/a/read", 404, "NoSuchEntity", "does not exist or is not attachable."),
        ("arn:aws:iam::aws:policy/a b/c", 404, "NoSuchEntity", "does not exist or is not attachable."),
    ],
)
def test_what_is_no_policy_is_not_attached(iam: Any, arn: str, status: int, code: str, text: str) -> None:
    make_role(iam)
    make_policy(iam)
    found = refused(lambda: iam.attach_role_policy(RoleName="job", PolicyArn=arn))
    assert found[:2] == (status, code)
    assert text in found[2]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"RoleName": "a b"}, "The specified value for roleName is invalid."),
        ({"RoleName": "x" * 65}, "'RoleName' failed to satisfy constraint: Member must have length less than or equal"),
        ({"Path": "no"}, "The specified value for path is invalid."),
        ({"MaxSessionDuration": 50_000}, "Value '50000' at 'maxSessionDuration' failed to satisfy constraint"),
        ({"Description": "\u2713"}, "The specified value for description is invalid."),
    ],
)
def test_bad_members_are_refused(iam: Any, members: dict[str, Any], text: str) -> None:
    request = {"RoleName": "job", "AssumeRolePolicyDocument": json.dumps(TRUST)} | members
    found = refused(lambda: iam.create_role(**request))
    assert found[:2] == (400, "ValidationError")
    assert text in found[2]


def statement(**members: Any) -> str:
    plain = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    kept = {name: value for name, value in (plain | members).items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": kept})


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("{", "This policy contains invalid Json"),
        ("[" * 5000, "This policy contains invalid Json"),
        ("[]", "Syntax errors in policy."),
        ('{"Version":"2012-10-17"}', "Syntax errors in policy."),
        ('{"Version":"2012-10-17","Statement":[]}', "Syntax errors in policy."),
        (statement(Effect="Maybe"), "Syntax errors in policy."),
        (statement(Colour="red"), "Syntax errors in policy."),
        (statement(Action=None), "Policy statement must contain actions."),
        (statement(NotAction="s3:Get"), "Policy statement must contain actions."),
        (statement(Action="GetObject"), "Actions/Conditions must be prefaced by a vendor"),
        (statement(Resource=None), "Policy statement must contain resources."),
        (statement(Resource="bucket"), 'Resource bucket must be in ARN format or "*".'),
        (statement(Principal="*"), "Policy document should not specify a principal."),
        (statement(Sid="a b"), "Statement IDs (SID) must be alpha-numeric."),
        (statement().replace("2012", "2008", 1), "must be version 2012-10-17 or greater."),
        (statement().replace("2012-10-17", "2020-01-01"), "The policy must contain a valid version string"),
    ],
)
def test_malformed_policies_are_refused(iam: Any, document: str, text: str) -> None:
    make_role(iam)
    for action in (
        lambda: iam.create_policy(PolicyName="read", PolicyDocument=document),
        lambda: iam.put_role_policy(RoleName="job", PolicyName="inline", PolicyDocument=document),
    ):
        found = refused(action)
        assert found[:2] == (400, "MalformedPolicyDocument")
        assert text in found[2]


def test_malformed_trust_policies_are_refused(iam: Any) -> None:
    trusted = {"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole", "Resource": None}
    for members, text in (
        ({"Resource": "*"}, "Has prohibited field Resource"),
        ({"Principal": None}, "Missing required field Principal cannot be empty!"),
        ({"Action": "s3:*"}, "AssumeRole policy may only specify STS AssumeRole actions."),
    ):
        document = statement(**(trusted | members))
        create = lambda: iam.create_role(RoleName="job", AssumeRolePolicyDocument=document)  # noqa: B023, E731
        assert refused(create) == (400, "MalformedPolicyDocument", text)
    iam.create_role(RoleName="job", AssumeRolePolicyDocument=statement(**trusted))


def test_sizes_have_limits(iam: Any) -> None:
    make_role(iam)
    large = json.loads(statement(Resource=[f"arn:aws:s3:::{'x' * 100}/{n}" for n in range(45)]))
    for name in ("first", "second"):
        put = lambda: iam.put_role_policy(  # noqa: E731
            RoleName="job",
            PolicyName=name,  # noqa: B023
            PolicyDocument=json.dumps(large, indent=8),
        )
        if name == "first":
            put()  # white space does not count
    assert refused(put) == (409, "LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role job")
    larger = json.dumps(large | {"Id": "x" * 1000})
    assert refused(lambda: iam.create_policy(PolicyName="large", PolicyDocument=larger)) == (
        409,
        "LimitExceeded",
        "Cannot exceed quota for PolicySize: 6144",
    )


# -- the rest --


def test_all_of_it_is_there_after_a_restart(iam: Any, service: Service, tmp_path: Any) -> None:
    make_role(iam, Tags=[{"Key": "a", "Value": "b"}])
    arn = make_policy(iam)
    iam.attach_role_policy(RoleName="job", PolicyArn=arn)
    iam.create_instance_profile(InstanceProfileName="profile")
    iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="job")
    before = [
        iam.get_role(RoleName="job")["Role"],
        iam.get_policy(PolicyArn=arn)["Policy"],
        iam.get_instance_profile(InstanceProfileName="profile")["InstanceProfile"],
    ]
    make_role(iam, "gone")
    iam.delete_role(RoleName="gone")
    writer = Store.open(service.context.logs_directory / "yard.db").writer()
    service.writer.close()
    writer.open(ACCOUNT.account_id, ACCOUNT.region)
    service.writer, service.iam = writer, IamMachine(ACCOUNT)
    service.iam.restore(writer.load(service.now_ms).documents)
    assert before == [
        iam.get_role(RoleName="job")["Role"],
        iam.get_policy(PolicyArn=arn)["Policy"],
        iam.get_instance_profile(InstanceProfileName="profile")["InstanceProfile"],
    ]
    assert [role["RoleName"] for role in iam.list_roles()["Roles"]] == ["job"]


def test_a_page_token_of_another_request_is_refused(iam: Any, service: Service) -> None:
    for name in ("a", "b"):
        make_role(iam, name)
    marker = iam.list_roles(MaxItems=1)["Marker"]
    assert [one["RoleName"] for one in iam.list_roles(Marker=marker)["Roles"]] == ["b"]
    assert refused(lambda: iam.list_policies(Marker=marker))[:2] == (400, "ValidationError")
    for wrong in ({"Scope": "Mine"}, {"MaxItems": 0}):
        asked = {"Scope": "Local"} | wrong
        with pytest.raises(Refused, match="failed to satisfy constraint") as caught:
            service.call("ListPolicies", asked, service="iam")
        assert caught.value.code == "ValidationError"


def test_the_identity_of_a_job_has_the_id_of_its_role(iam: Any, service: Service) -> None:
    role = make_role(iam)
    service.principal = f"arn:aws:sts::{ACCOUNT.account_id}:assumed-role/job/attempt"
    assert service.client("sts").get_caller_identity()["UserId"] == f"{role['RoleId']}:attempt"
    service.principal = f"arn:aws:sts::{ACCOUNT.account_id}:assumed-role/other/attempt"
    found = service.client("sts").get_caller_identity()["UserId"]
    assert found.startswith("AROA")
    assert found != f"{role['RoleId']}:attempt"
