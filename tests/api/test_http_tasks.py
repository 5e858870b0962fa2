"""The arguments of HTTP tasks, the requests that they make, and what answers are to an execution."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.api.http_tasks import HttpTask, UnsupportedAnswer, http_faults, http_output, http_task

CONNECTION = "arn:aws:events:us-east-1:123456789012:connection/hook/4e9d"
BASE: dict[str, Any] = {
    "ApiEndpoint": "https://api.example.com/v1",
    "Method": "POST",
    "Authentication": {"ConnectionArn": CONNECTION},
}


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (
            {"Method": "FETCH"},
            "The value of the field 'Method' must be one of GET, POST, PUT, DELETE, PATCH, OPTIONS, HEAD",
        ),
        ({"ApiEndpoint": 5}, "The value for the field 'ApiEndpoint' must be a STRING"),
        ({"Authentication": {"ConnectionArn": "hook"}}, "The value of the field 'ConnectionArn' has an invalid format"),
        ({"Headers": {"Host": "other"}}, "The value of the field 'Headers' has an invalid format"),
        ({"Headers": "a"}, "The value of the field 'Headers' has an invalid format"),
        ({"Headers": {"a": 1}}, "The value of the field 'Headers' has an invalid format"),
        ({"QueryParameters": {"a": {}}}, "The value of the field 'QueryParameters' has an invalid format"),
        ({"Transform": {"RequestBodyEncoding": "XML"}}, "The value of the field 'Transform' has an invalid format"),
        (
            {"RequestBody": "x", "Transform": {"RequestBodyEncoding": "URL_ENCODED"}},
            "The value of the field 'RequestBody' has an invalid format",
        ),
        (
            {"Transform": {"RequestEncodingOptions": {"ArrayFormat": "X"}}},
            "The value of the field 'ArrayFormat' has an invalid format",
        ),
    ],
)
def test_what_is_wrong_is_named(more: dict[str, Any], fault: str) -> None:
    assert list(http_faults(BASE)) == []
    assert list(http_faults(BASE | more)) == [fault]


def test_a_body_is_json_and_a_text_is_sent_as_it_is() -> None:
    task = http_task(
        BASE
        | {
            "RequestBody": {"a": [1, "é"]},
            "Headers": {"X-A": ["1", "2"]},
            "QueryParameters": {"q": ["a", 1], "r": True},
        }
    )
    assert task == HttpTask(
        "POST",
        "https://api.example.com/v1",
        {"X-A": "1,2", "Content-Type": "application/json;charset=UTF-8"},
        [("q", "a"), ("q", "1"), ("r", "true")],
        '{"a":[1,"é"]}',
        CONNECTION,
    )
    plain = http_task(BASE | {"RequestBody": "text", "Headers": {"content-type": "text/plain"}})
    assert (plain.body, plain.headers) == ("text", {"content-type": "text/plain"})
    assert http_task(BASE).body == ""


@pytest.mark.parametrize(
    ("array_format", "body"),
    [
        ("INDICES", "a%5B0%5D=1&a%5B1%5D=x&b%5Bc%5D=d+e"),
        ("REPEAT", "a=1&a=x&b%5Bc%5D=d+e"),
        ("COMMAS", "a=1%2Cx&b%5Bc%5D=d+e"),
        ("BRACKETS", "a%5B%5D=1&a%5B%5D=x&b%5Bc%5D=d+e"),
    ],
)
def test_a_form_has_its_arrays_as_asked(array_format: str, body: str) -> None:
    transform = {"RequestBodyEncoding": "URL_ENCODED", "RequestEncodingOptions": {"ArrayFormat": array_format}}
    task = http_task(BASE | {"RequestBody": {"a": [1, "x"], "b": {"c": "d e"}}, "Transform": transform})
    assert task.body == body
    assert task.headers == {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(("body", "value"), [(b'{"a": 1}', {"a": 1}), (b"hello", "hello"), (b"", "")])
def test_an_answer_has_its_body_as_json_or_text(body: bytes, value: Any) -> None:
    assert http_output(200, "OK", {"content-type": "x"}, body) == {
        "Headers": {"content-type": ["x"]},
        "ResponseBody": value,
        "StatusCode": 200,
        "StatusText": "OK",
    }


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", b"\xff\x00", "is not a text"),
        ("image/png", b"text", "has the content type image/png"),
        ("Application/Octet-Stream; x=y", b"text", "has the content type Application/Octet-Stream; x=y"),
    ],
)
def test_an_answer_of_bytes_is_not_supported(content_type: str, body: bytes, text: str) -> None:
    with pytest.raises(UnsupportedAnswer, match=text):
        http_output(200, "OK", {"Content-Type": content_type}, body)
