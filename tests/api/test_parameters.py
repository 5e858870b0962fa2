"""SSM's Parameter Store as boto3 sees it."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.core.model.refusal import Refused
from tests.api.service import Service


@pytest.fixture
def store(service: Service) -> Any:
    return service.client("ssm")


def code_of(action: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as refused:
        action(**request)
    return str(refused.value.response["Error"]["Code"])


def test_versions_go_in_and_come_out(service: Service, store: Any) -> None:
    assert store.put_parameter(Name="/app/db", Value="one", Type="String")["Version"] == 1
    assert code_of(store.put_parameter, Name="/app/db", Value="two", Type="String") == "ParameterAlreadyExists"
    assert store.put_parameter(Name="/app/db", Value="two", Overwrite=True)["Version"] == 2
    found = store.get_parameter(Name="/app/db")["Parameter"]
    assert (found["Value"], found["Version"], found["Type"]) == ("two", 2, "String")
    assert found["ARN"] == "arn:aws:ssm:us-east-1:123456789012:parameter/app/db"
    assert found["LastModifiedDate"].timestamp() == service.now_ms / 1000
    for name in ("/app/db:1", found["ARN"] + ":1"):
        old = store.get_parameter(Name=name)["Parameter"]
        assert (old["Value"], old["Selector"]) == ("one", ":1")
    assert code_of(store.get_parameter, Name="/app/db:3") == "ParameterVersionNotFound"
    other_type = {"Name": "/app/db", "Value": "x", "Type": "SecureString", "Overwrite": True}
    assert code_of(store.put_parameter, **other_type) == "HierarchyTypeMismatchException"


def test_a_secure_string_is_shown_only_decrypted(store: Any) -> None:
    store.put_parameter(Name="token", Value="hush hush", Type="SecureString")
    shown = store.get_parameter(Name="token")["Parameter"]["Value"]
    assert "hush" not in shown
    assert store.get_parameter(Name="token", WithDecryption=True)["Parameter"]["Value"] == "hush hush"
    arn = "arn:aws:ssm:us-east-1:123456789012:parameter/token"
    assert store.get_parameter(Name=arn, WithDecryption=True)["Parameter"]["Value"] == "hush hush"
    (described,) = store.describe_parameters()["Parameters"]
    assert (described["ARN"], described["KeyId"], "Value" in described) == (arn, "alias/aws/ssm", False)


def test_several_at_once_and_gone(store: Any) -> None:
    store.put_parameter(Name="a", Value="1", Type="String")
    store.put_parameter(Name="b", Value="2,3", Type="StringList")
    answer = store.get_parameters(Names=["b", "none", "a:9", "a"])
    assert [p["Value"] for p in answer["Parameters"]] == ["2,3", "1"]
    assert answer["InvalidParameters"] == ["none", "a:9"]
    store.delete_parameter(Name="a")
    assert code_of(store.get_parameter, Name="a") == "ParameterNotFound"
    assert code_of(store.delete_parameter, Name="a") == "ParameterNotFound"


def test_lists_are_filtered_and_walked(store: Any) -> None:
    for name, kind in (("/a/x", "String"), ("/a/b/y", "SecureString"), ("/ab", "String"), ("z", "String")):
        store.put_parameter(Name=name, Value="v", Type=kind, Tags=[{"Key": "k", "Value": name[-1]}])

    def names(**request: Any) -> list[str]:
        pages = store.get_paginator("describe_parameters").paginate(**request, PaginationConfig={"PageSize": 1})
        return [parameter["Name"] for page in pages for parameter in page["Parameters"]]

    assert names() == ["/a/b/y", "/a/x", "/ab", "z"]
    assert names(ParameterFilters=[{"Key": "Path", "Values": ["/a"]}]) == ["/a/x"]
    assert names(ParameterFilters=[{"Key": "Path", "Option": "Recursive", "Values": ["/a/"]}]) == ["/a/b/y", "/a/x"]
    assert names(ParameterFilters=[{"Key": "Type", "Values": ["SecureString"]}]) == ["/a/b/y"]
    assert names(ParameterFilters=[{"Key": "Name", "Option": "Contains", "Values": ["b"]}]) == ["/a/b/y", "/ab"]
    assert names(ParameterFilters=[{"Key": "tag:k", "Values": ["z"]}]) == ["z"]
    assert names(Filters=[{"Key": "Name", "Values": ["/a"]}]) == ["/a/b/y", "/a/x", "/ab"]
    assert code_of(store.describe_parameters, NextToken="!") == "InvalidNextToken"
    assert code_of(store.describe_parameters, ParameterFilters=[{"Key": "Label"}]) == "InvalidFilterKey"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"Name": "a/b"}, "ValidationException"),
        ({"Name": "aws-thing"}, "ValidationException"),
        ({"Name": "a b"}, "ValidationException"),
        ({"Name": "/a" * 16}, "HierarchyLevelLimitExceededException"),
        ({"Type": "Number"}, "ValidationException"),
        ({"Type": ""}, "ValidationException"),
        ({"Value": "v" * 4097}, "ValidationException"),
        ({"Value": ""}, "ValidationException"),
        ({"AllowedPattern": "v+"}, "ValidationException"),
        ({"DataType": "aws:ec2:image"}, "ValidationException"),
        ({"Tier": "Free"}, "ValidationException"),
        ({"Overwrite": True, "Tags": [{"Key": "k", "Value": "v"}]}, "ValidationException"),
    ],
)
def test_refusals(service: Service, members: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        service.call("PutParameter", {"Name": "n", "Value": "v", "Type": "String"} | members)
    assert refused.value.code == code


def test_tiers(service: Service) -> None:
    def tier(**members: Any) -> str:
        request = {"Name": "n", "Type": "String", "Overwrite": True} | members
        return str(service.call("PutParameter", request)["Tier"])

    assert tier(Value="v") == "Standard"
    assert tier(Value="v" * 8192, Tier="Advanced") == "Advanced"
    assert tier(Value="v", Tier="Intelligent-Tiering") == "Standard"
    assert tier(Value="v" * 4097, Tier="Intelligent-Tiering") == "Advanced"


def test_tags_are_listed_added_and_taken_away(store: Any) -> None:
    name, kind = "/app/db", {"ResourceType": "Parameter", "ResourceId": "/app/db"}
    store.put_parameter(Name=name, Value="one", Type="String", Tags=[{"Key": "a", "Value": "1"}])
    assert store.list_tags_for_resource(**kind)["TagList"] == [{"Key": "a", "Value": "1"}]
    store.add_tags_to_resource(**kind, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    store.remove_tags_from_resource(**kind, TagKeys=["a", "never"])
    assert store.list_tags_for_resource(**kind)["TagList"] == [{"Key": "b", "Value": "3"}]
    store.put_parameter(Name=name, Value="two", Overwrite=True)
    assert store.list_tags_for_resource(**kind)["TagList"] == [{"Key": "b", "Value": "3"}], "a new value keeps them"
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    assert code_of(store.add_tags_to_resource, **kind, Tags=many) == "TooManyTagsError"
    for action, more in (
        (store.list_tags_for_resource, {}),
        (store.add_tags_to_resource, {"Tags": many[:1]}),
        (store.remove_tags_from_resource, {"TagKeys": ["a"]}),
    ):
        assert code_of(action, ResourceType="Parameter", ResourceId="/none", **more) == "InvalidResourceId"
        assert code_of(action, ResourceType="Document", ResourceId=name, **more) == "InvalidResourceType"
