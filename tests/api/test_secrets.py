"""Secrets Manager as boto3 sees it: versions, labels, idempotency, deletion, lists; nothing in clear on disk."""

import base64
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.core.machine import Machine
from batchyard.core.model.refusal import Refused
from tests.api.service import ACCOUNT, Service

DAY_MS = 24 * 3600 * 1000
VALUE = "correct horse battery staple"


@pytest.fixture
def manager(service: Service) -> Any:
    return service.client("secretsmanager")


def code_of(action: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as refused:
        action(**request)
    return str(refused.value.response["Error"]["Code"])


def test_a_value_goes_in_and_comes_out_by_every_name_of_its_secret(service: Service, manager: Any) -> None:
    made = manager.create_secret(Name="prod/db", SecretString=VALUE, Description="the database")
    arn = made["ARN"]
    assert arn[:-6] == "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-"
    for secret_id in ("prod/db", arn, arn[:-7]):
        found = manager.get_secret_value(SecretId=secret_id)
        assert (found["ARN"], found["Name"], found["SecretString"]) == (arn, "prod/db", VALUE)
        assert (found["VersionId"], found["VersionStages"]) == (made["VersionId"], ["AWSCURRENT"])
        assert found["CreatedDate"].timestamp() == service.now_ms / 1000
    wrong = arn[:-1] + ("a" if arn[-1] != "a" else "b")
    assert code_of(manager.get_secret_value, SecretId=wrong) == "ResourceNotFoundException"


def test_the_arn_of_another_account_finds_the_secret_of_that_name(manager: Any) -> None:
    """What was copied from AWS carries a suffix that was given there."""
    manager.create_secret(Name="db", SecretString=VALUE)
    foreign = "arn:aws:secretsmanager:eu-west-1:999999999999:secret:db-Zz09Zz"
    assert manager.get_secret_value(SecretId=foreign)["SecretString"] == VALUE


def test_nothing_is_in_clear_in_the_store(service: Service, manager: Any, tmp_path: Path) -> None:
    manager.create_secret(Name="db", SecretString=VALUE)
    manager.create_secret(Name="blob", SecretBinary=VALUE.encode())
    service.client("ssm").put_parameter(Name="/plain", Value=VALUE, Type="String")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"/plain" in path.read_bytes() for path in files)  # it is on disk
    for path in files:
        for form in (VALUE.encode(), base64.b64encode(VALUE.encode()), VALUE.encode().hex().encode()):
            assert form not in path.read_bytes(), path


def test_binary_values(manager: Any) -> None:
    manager.create_secret(Name="key", SecretBinary=b"\x00\xff")
    found = manager.get_secret_value(SecretId="key")
    assert found["SecretBinary"] == b"\x00\xff"
    assert "SecretString" not in found


def test_labels_move_with_new_versions(manager: Any) -> None:
    first = manager.create_secret(Name="db", SecretString="1")["VersionId"]
    second = manager.put_secret_value(SecretId="db", SecretString="2")
    assert second["VersionStages"] == ["AWSCURRENT"]
    pending = manager.put_secret_value(SecretId="db", SecretString="3", VersionStages=["AWSPENDING"])
    stages = manager.describe_secret(SecretId="db")["VersionIdsToStages"]
    assert stages == {
        first: ["AWSPREVIOUS"],
        second["VersionId"]: ["AWSCURRENT"],
        pending["VersionId"]: ["AWSPENDING"],
    }
    values = [
        manager.get_secret_value(SecretId="db", VersionStage=f"AWS{stage}")["SecretString"]
        for stage in ("PREVIOUS", "CURRENT", "PENDING")
    ]
    assert values == ["1", "2", "3"]
    manager.update_secret(SecretId="db", SecretString="4", Description="new")
    assert manager.get_secret_value(SecretId="db")["SecretString"] == "4"
    assert manager.get_secret_value(SecretId="db", VersionStage="AWSPREVIOUS")["SecretString"] == "2"
    assert manager.get_secret_value(SecretId="db", VersionId=first)["SecretString"] == "1"  # has no label any more
    assert first not in manager.describe_secret(SecretId="db")["VersionIdsToStages"]
    mismatch = {"SecretId": "db", "VersionId": first, "VersionStage": "AWSCURRENT"}
    assert code_of(manager.get_secret_value, **mismatch) == "InvalidRequestException"
    assert code_of(manager.get_secret_value, SecretId="db", VersionId="x" * 32) == "ResourceNotFoundException"


def test_only_so_many_versions_without_a_label_are_kept(manager: Any) -> None:
    ids = [manager.create_secret(Name="db", SecretString="0")["VersionId"]]
    ids += [manager.put_secret_value(SecretId="db", SecretString=str(n))["VersionId"] for n in range(1, 14)]
    kept = [
        version_id
        for version_id in ids
        if "SecretString" in _answer(manager.get_secret_value, SecretId="db", VersionId=version_id)
    ]
    assert kept == ids[-12:]  # current, previous, and ten more


def _answer(action: Any, **request: Any) -> dict[str, Any]:
    try:
        return dict(action(**request))
    except ClientError:
        return {}


def test_a_repeated_request_makes_one_secret_and_one_version(manager: Any) -> None:
    token = str(uuid.uuid4())
    request = {"Name": "db", "SecretString": VALUE, "ClientRequestToken": token}
    assert manager.create_secret(**request)["ARN"] == manager.create_secret(**request)["ARN"]
    assert manager.create_secret(**request)["VersionId"] == token
    assert code_of(manager.create_secret, **{**request, "SecretString": "other"}) == "ResourceExistsException"
    assert code_of(manager.create_secret, Name="db", SecretString=VALUE) == "ResourceExistsException"
    again = {"SecretId": "db", "SecretString": VALUE, "ClientRequestToken": token}
    assert manager.put_secret_value(**again)["VersionId"] == token
    assert code_of(manager.put_secret_value, **{**again, "SecretString": "x"}) == "ResourceExistsException"
    binary = {"SecretId": "db", "SecretBinary": VALUE.encode(), "ClientRequestToken": token}
    assert code_of(manager.put_secret_value, **binary) == "ResourceExistsException"
    assert len(manager.describe_secret(SecretId="db")["VersionIdsToStages"]) == 1


def test_a_deleted_secret_is_out_of_reach_comes_back_and_goes_for_good(service: Service, manager: Any) -> None:
    manager.create_secret(Name="db", SecretString=VALUE)
    gone = manager.delete_secret(SecretId="db", RecoveryWindowInDays=7)
    assert gone["DeletionDate"].timestamp() * 1000 == service.now_ms + 7 * DAY_MS
    for action, request in (
        (manager.get_secret_value, {"SecretId": "db"}),
        (manager.put_secret_value, {"SecretId": "db", "SecretString": "x"}),
        (manager.delete_secret, {"SecretId": "db"}),
        (manager.create_secret, {"Name": "db", "SecretString": "x"}),
    ):
        assert code_of(action, **request) == "InvalidRequestException"
    assert manager.list_secrets()["SecretList"] == []
    (listed,) = manager.list_secrets(IncludePlannedDeletion=True)["SecretList"]
    assert listed["DeletedDate"].timestamp() * 1000 == service.now_ms
    manager.restore_secret(SecretId="db")
    assert manager.get_secret_value(SecretId="db")["SecretString"] == VALUE
    manager.delete_secret(SecretId="db", RecoveryWindowInDays=7)
    service.tick(7 * DAY_MS - 1)
    assert "DeletedDate" in manager.describe_secret(SecretId="db")
    service.tick(1)
    assert code_of(manager.describe_secret, SecretId="db") == "ResourceNotFoundException"


def test_a_forced_deletion_is_one_at_once(manager: Any) -> None:
    manager.create_secret(Name="db", SecretString=VALUE)
    manager.delete_secret(SecretId="db", ForceDeleteWithoutRecovery=True)
    assert code_of(manager.describe_secret, SecretId="db") == "ResourceNotFoundException"
    manager.create_secret(Name="db", SecretString="again")
    assert manager.get_secret_value(SecretId="db")["SecretString"] == "again"


def test_lists_are_sorted_filtered_and_walked_page_by_page(service: Service, manager: Any) -> None:
    for name, team in (("b/1", "red"), ("a/1", "blue"), ("a/2", "red")):
        service.tick(1000)
        manager.create_secret(Name=name, SecretString=VALUE, Tags=[{"Key": "team", "Value": team}])
    manager.create_secret(Name="empty")
    walked = manager.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 1})
    assert [secret["Name"] for page in walked for secret in page["SecretList"]] == ["a/1", "a/2", "b/1", "empty"]

    def names(**request: Any) -> list[str]:
        return [secret["Name"] for secret in manager.list_secrets(**request)["SecretList"]]

    assert names(SortOrder="desc") == ["empty", "b/1", "a/2", "a/1"]
    assert names(SortBy="created-date")[:3] == ["b/1", "a/1", "a/2"]
    assert names(Filters=[{"Key": "name", "Values": ["a/"]}]) == ["a/1", "a/2"]
    assert names(Filters=[{"Key": "tag-value", "Values": ["red"]}, {"Key": "name", "Values": ["!b"]}]) == ["a/2"]
    token = manager.list_secrets(MaxResults=1)["NextToken"]
    assert code_of(manager.list_secrets, NextToken=token, SortOrder="desc") == "InvalidNextTokenException"
    assert code_of(manager.list_secrets, NextToken="!") == "InvalidNextTokenException"


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("CreateSecret", {"Name": "a b", "SecretString": "x"}, "InvalidParameterException"),
        ("CreateSecret", {"Name": "a", "SecretString": "x", "SecretBinary": b"x"}, "InvalidParameterException"),
        ("CreateSecret", {"Name": "a", "SecretString": "x" * 65537}, "InvalidParameterException"),
        ("CreateSecret", {"Name": "a", "SecretString": ""}, "InvalidParameterException"),
        ("CreateSecret", {"Name": "a", "ClientRequestToken": "short"}, "InvalidParameterException"),
        ("CreateSecret", {"Name": "a", "AddReplicaRegions": [{"Region": "eu-west-1"}]}, "InvalidParameterException"),
        ("CreateSecret", {"Name": "a", "Tags": [{"Key": "aws:x", "Value": ""}]}, "InvalidParameterException"),
        ("PutSecretValue", {"SecretId": "kept"}, "InvalidRequestException"),
        ("PutSecretValue", {"SecretId": "none", "SecretString": "x"}, "ResourceNotFoundException"),
        ("DeleteSecret", {"SecretId": "none"}, "ResourceNotFoundException"),
        ("DeleteSecret", {"SecretId": "kept", "RecoveryWindowInDays": 6}, "InvalidParameterException"),
        ("RestoreSecret", {"SecretId": "none"}, "ResourceNotFoundException"),
        ("GetSecretValue", {"SecretId": "empty"}, "ResourceNotFoundException"),
        ("ListSecrets", {"Filters": [{"Key": "colour", "Values": ["red"]}]}, "InvalidParameterException"),
    ],
)
def test_refusals(service: Service, operation: str, request_: dict[str, Any], code: str) -> None:
    for name, value in (("kept", {"SecretString": "v"}), ("empty", {})):
        service.call("CreateSecret", {"Name": name} | value)
    with pytest.raises(Refused) as refused:
        service.call(operation, request_)
    assert refused.value.code == code
    assert "x" * 100 not in str(refused.value)


def test_without_the_key_file_nothing_can_be_read_or_written(service: Service, manager: Any, tmp_path: Path) -> None:
    manager.create_secret(Name="db", SecretString=VALUE)
    key = tmp_path / "secrets.key"
    content = key.read_bytes()
    key.unlink()
    assert code_of(manager.get_secret_value, SecretId="db") == "DecryptionFailure"
    assert code_of(manager.put_secret_value, SecretId="db", SecretString="x") == "EncryptionFailure"
    assert not key.exists()  # a new one would make an end of what is there
    assert manager.list_secrets()["SecretList"][0]["Name"] == "db"
    key.touch(mode=0o600)
    key.write_bytes(content)
    assert manager.get_secret_value(SecretId="db")["SecretString"] == VALUE
    key.unlink()
    manager.delete_secret(SecretId="db", ForceDeleteWithoutRecovery=True)
    manager.create_secret(Name="db", SecretString="anew")  # nothing was left that the lost key opened
    assert manager.get_secret_value(SecretId="db")["SecretString"] == "anew"


def test_a_restart_finds_everything_again(service: Service, manager: Any) -> None:
    manager.create_secret(Name="kept", SecretString=VALUE)
    manager.create_secret(Name="leaving", SecretString=VALUE)
    manager.delete_secret(SecretId="leaving")
    service.client("ssm").put_parameter(Name="/a/b", Value="1", Type="String")
    restored = Machine(ACCOUNT)
    restored.restore(service.writer.load(service.now_ms))
    for member in ("secrets", "leaving_secrets", "parameters"):
        assert getattr(restored.world, member) == getattr(service.machine.world, member)
    assert set(restored.world.secrets) == {"kept", "leaving"}


def test_tags_are_added_changed_and_taken_away(service: Service, manager: Any) -> None:
    arn = manager.create_secret(Name="db", SecretString=VALUE, Tags=[{"Key": "a", "Value": "1"}])["ARN"]
    manager.tag_resource(SecretId="db", Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    manager.untag_resource(SecretId=arn, TagKeys=["a", "never"])
    assert manager.describe_secret(SecretId="db")["Tags"] == [{"Key": "b", "Value": "3"}]
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    assert code_of(manager.tag_resource, SecretId="db", Tags=many) == "LimitExceededException"
    assert code_of(manager.tag_resource, SecretId="db", Tags=[many[0], many[0]]) == "InvalidParameterException"
    assert code_of(manager.untag_resource, SecretId="db", TagKeys=["k"] * 51) == "InvalidParameterException"
    assert code_of(manager.tag_resource, SecretId="none", Tags=[]) == "ResourceNotFoundException"
    manager.delete_secret(SecretId="db")
    assert code_of(manager.tag_resource, SecretId="db", Tags=many[:1]) == "InvalidRequestException"
    assert manager.describe_secret(SecretId="db")["Tags"] == [{"Key": "b", "Value": "3"}]


def test_no_secret_has_a_policy(manager: Any) -> None:
    made = manager.create_secret(Name="db", SecretString=VALUE)
    found = manager.get_resource_policy(SecretId="db")
    assert {name: found[name] for name in ("ARN", "Name")} == {"ARN": made["ARN"], "Name": "db"}
    assert "ResourcePolicy" not in found
    assert code_of(manager.get_resource_policy, SecretId="none") == "ResourceNotFoundException"
