"""The arguments and results of HTTP tasks, `http:invoke` (step functions spec 13; guide: call-https-apis)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")
REQUIRED = ("ApiEndpoint", "Method")
MEMBERS = (*REQUIRED, "Authentication", "InvocationConfig", "Headers", "QueryParameters", "RequestBody", "Transform")
URL_ENCODED = "URL_ENCODED"
ENCODINGS = ("NONE", URL_ENCODED)
ARRAY_FORMATS = ("INDICES", "REPEAT", "COMMAS", "BRACKETS")
FORM = "application/x-www-form-urlencoded"
JSON = "application/json;charset=UTF-8"
# What AWS refuses to be set (guide: call-https-apis).
RESERVED_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})
SUCCESS = range(200, 300)
UNSUPPORTED_TYPES = ("application/octet-stream", "image/", "video/", "audio/")


class HttpTask(Struct, frozen=True):
    """A request that a Task makes. `connection_arn`: of the connection that authorises it."""

    method: str
    url: str
    headers: dict[str, str]
    query: list[tuple[str, str]]
    body: str
    connection_arn: str


def static_http_faults(arguments: Any) -> Iterator[str]:
    """Yields what is wrong with a template of arguments, whose values are not known yet."""
    if isinstance(arguments, str):
        return
    given = arguments if isinstance(arguments, dict) else {}
    names = {key.removesuffix(".$") for key in given}
    yield from (f'The field "{name}" is not supported by Step Functions' for name in sorted(names - set(MEMBERS)))
    yield from (f"The field '{name}' is required but was missing" for name in REQUIRED if name not in names)
    if not names & {"Authentication", "InvocationConfig"}:
        yield "The field 'Authentication' is required but was missing"


def http_faults(arguments: Any) -> Iterator[str]:
    """Yields what is wrong with the arguments of a call."""
    if not isinstance(arguments, dict):
        yield "The value for the field '' must be a MAP"
        return
    yield from static_http_faults(arguments)
    for name in REQUIRED:
        if name in arguments and not isinstance(arguments[name], str):
            yield f"The value for the field '{name}' must be a STRING"
    if isinstance(arguments.get("Method"), str) and arguments["Method"] not in METHODS:
        yield f"The value of the field 'Method' must be one of {', '.join(METHODS)}"
    if not _connection(arguments):
        yield "The value of the field 'ConnectionArn' has an invalid format"
    headers = arguments.get("Headers") or {}
    if not isinstance(headers, dict) or not all(_is_header(name, value) for name, value in headers.items()):
        yield "The value of the field 'Headers' has an invalid format"
    query = arguments.get("QueryParameters") or {}
    if not isinstance(query, dict) or not all(_is_query(value) for value in query.values()):
        yield "The value of the field 'QueryParameters' has an invalid format"
    yield from _transform_faults(arguments.get("Transform") or {}, arguments.get("RequestBody"))


def _transform_faults(transform: Any, body: Any) -> Iterator[str]:
    options = transform.get("RequestEncodingOptions") or {} if isinstance(transform, dict) else None
    if not isinstance(options, dict) or transform.get("RequestBodyEncoding", "NONE") not in ENCODINGS:
        yield "The value of the field 'Transform' has an invalid format"
    elif options.get("ArrayFormat", "INDICES") not in ARRAY_FORMATS:
        yield "The value of the field 'ArrayFormat' has an invalid format"
    elif transform.get("RequestBodyEncoding") == URL_ENCODED and not isinstance(body, dict):
        yield "The value of the field 'RequestBody' has an invalid format"


def _connection(arguments: Mapping[str, Any]) -> str:
    for name in ("Authentication", "InvocationConfig"):
        found = arguments.get(name)
        arn = found.get("ConnectionArn") if isinstance(found, dict) else None
        if isinstance(arn, str) and ":connection/" in arn:
            return arn
    return ""


def _is_header(name: str, value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return name.lower() not in RESERVED_HEADERS and all(isinstance(one, str) for one in values)


def _is_query(value: Any) -> bool:
    return all(isinstance(one, str | int | float) for one in (value if isinstance(value, list) else [value]))


def http_task(arguments: dict[str, Any]) -> HttpTask:
    """Returns the request of arguments without faults."""
    headers = {
        name: ",".join(value) if isinstance(value, list) else value
        for name, value in (arguments.get("Headers") or {}).items()
    }
    body, transform = arguments.get("RequestBody"), arguments.get("Transform") or {}
    if transform.get("RequestBodyEncoding") == URL_ENCODED:
        options = transform.get("RequestEncodingOptions") or {}
        text = urlencode(list(_form(body, options.get("ArrayFormat", "INDICES"))))
        content_type = FORM
    else:
        text = "" if body is None else body if isinstance(body, str) else _compact(body)
        content_type = JSON
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = content_type
    query = [
        (name, _text(one))
        for name, value in (arguments.get("QueryParameters") or {}).items()
        for one in (value if isinstance(value, list) else [value])
    ]
    return HttpTask(arguments["Method"], arguments["ApiEndpoint"], headers, query, text, _connection(arguments))


def _form(body: Any, array_format: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in body.items():
        key = f"{prefix}[{name}]" if prefix else name
        if isinstance(value, dict):
            yield from _form(value, array_format, key)
        elif isinstance(value, list):
            if array_format == "COMMAS":
                yield key, ",".join(map(_text, value))
                continue
            for place, one in enumerate(value):
                yield {"INDICES": f"{key}[{place}]", "BRACKETS": f"{key}[]", "REPEAT": key}[array_format], _text(one)
        else:
            yield key, _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class UnsupportedAnswer(Exception):
    """An answer whose body no execution can have. The text says why."""


def http_output(status: int, reason: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Returns what an answer is to an execution. A body that is no JSON is a text. Raises UnsupportedAnswer for a body
    of bytes (guide: call-https-apis, unsupported responses)."""
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    if body and content_type.partition(";")[0].strip().lower().startswith(UNSUPPORTED_TYPES):
        raise UnsupportedAnswer(f"The response has the content type {content_type}, which HTTP tasks do not support.")
    return {
        "Headers": {name: [value] for name, value in headers.items()},
        "ResponseBody": _body(body),
        "StatusCode": status,
        "StatusText": reason,
    }


def _body(body: bytes) -> Any:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise UnsupportedAnswer("The response is not a text, which HTTP tasks do not support.") from error
    try:
        return json.loads(text) if text else ""
    except (ValueError, RecursionError):
        return text
