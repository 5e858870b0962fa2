"""What valueFrom names, and which value of it."""

from __future__ import annotations

import pytest

from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.core.model.secret_records import Parameter, ParameterVersion, Secret, SecretVersion
from batchyard.core.secrets import references
from batchyard.core.secrets.references import ParameterReference, SecretReference

ACCOUNT = Account("123456789012", "us-east-1")
ARN = ACCOUNT.secret_arn("db", "AbCdEf")


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (ARN, SecretReference(ARN)),
        (f"{ARN}:password::", SecretReference(ARN, "password")),
        (f"{ARN}:password:AWSPREVIOUS:v1", SecretReference(ARN, "password", "AWSPREVIOUS", "v1")),
        ("/a/b", ParameterReference("/a/b")),
        ("/a/b:3", ParameterReference("/a/b", 3)),
        (ACCOUNT.parameter_arn("/a/b"), ParameterReference(ACCOUNT.parameter_arn("/a/b"))),
    ],
)
def test_a_reference_is_parsed(text: str, reference: references.Reference) -> None:
    assert references.parse(text) == reference


@pytest.mark.parametrize(
    ("text", "words"),
    [(f"{ARN}:a:b:c:d", "more than json-key"), ("", "is neither"), ("arn:aws:s3:::bucket", "is neither")],
)
def test_what_is_no_reference(text: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        references.parse(text)


def secret(**members: object) -> Secret:
    versions = (
        SecretVersion("v1", b"one", b"1", 1, stages=("AWSPREVIOUS",)),
        SecretVersion("v2", b"two", b"2", 2, stages=("AWSCURRENT",)),
    )
    return Secret("db", "AbCdEf", 1, 1, versions=versions, **members)  # type: ignore[arg-type]


def test_a_secret_is_found_by_name_and_by_arn_with_or_without_suffix() -> None:
    secrets = {"db": secret()}
    for text in (
        "db",
        ARN,
        ARN.removesuffix("-AbCdEf"),
        ARN.replace("us-east-1", "eu-west-1").replace("AbCdEf", "zzzzzz"),
    ):
        assert references.find_secret(secrets, text, ACCOUNT).name == "db"
    for text in ("other", ARN.replace("AbCdEf", "zzzzzz")):
        with pytest.raises(Refused, match="can't find the specified secret"):
            references.find_secret(secrets, text, ACCOUNT)


def test_the_current_version_unless_another_is_named() -> None:
    assert references.version_of(secret()).version_id == "v2"
    assert references.version_of(secret(), stage="AWSPREVIOUS").version_id == "v1"
    assert references.version_of(secret(), version_id="v1").version_id == "v1"
    with pytest.raises(Refused, match="not associated"):
        references.version_of(secret(), version_id="v1", stage="AWSCURRENT")
    with pytest.raises(Refused, match="VersionId: v9"):
        references.version_of(secret(), version_id="v9")
    with pytest.raises(Refused, match="staging label: none"):
        references.version_of(secret(), stage="none")
    with pytest.raises(Refused, match="marked for deletion"):
        references.version_of(secret(gone_at_ms=5))


def test_a_parameter_by_name_arn_and_version() -> None:
    versions = ParameterVersion(1, "a", b"one", 1), ParameterVersion(2, "b", b"two", 2)
    parameters = {"/a": Parameter("/a", "String", versions, "Standard")}
    assert references.find_parameter(parameters, ParameterReference("/a"))[1].number == 2
    assert references.find_parameter(parameters, ParameterReference("/a", 1))[1].number == 1
    assert references.find_parameter(parameters, ParameterReference(ACCOUNT.parameter_arn("/a")))[0].name == "/a"
    with pytest.raises(Refused, match="could not find version 3"):
        references.find_parameter(parameters, ParameterReference("/a", 3))
    with pytest.raises(Refused, match="Parameter /b not found"):
        references.find_parameter(parameters, ParameterReference("/b"))


def test_a_member_of_a_json_secret() -> None:
    assert references.json_member('{"user": "anna", "port": 5432}', "user") == "anna"
    assert references.json_member('{"user": "anna", "port": 5432}', "port") == "5432"
    with pytest.raises(Refused, match="did not contain json key host"):
        references.json_member("{}", "host")
    for text in ("word", "[1]"):
        with pytest.raises(Refused, match="no JSON object") as refusal:
            references.json_member(text, "host")
        assert text not in str(refusal.value), "the value is never quoted"


def test_the_files_of_a_secret() -> None:
    assert references.files_of('{"user": "anna", ".port": 5432}') == {"user": "anna", ".port": "5432"}
    assert references.files_of("word") == {"value": "word"}
    assert references.files_of("[1]") == {"value": "[1]"}
    for key in ("..", "a/b", ""):
        with pytest.raises(Refused, match="can't be the name of a file") as refusal:
            references.files_of(f'{{"{key}": "hidden"}}')
        assert "hidden" not in str(refusal.value)


def test_a_value_is_bound_to_its_owner() -> None:
    assert references.secret_binding("db", "v1") != references.parameter_binding("db", "v1")
    assert references.secret_binding("db", "v1") != references.secret_binding("db", "v2")
