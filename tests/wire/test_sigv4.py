"""Signatures, with botocore's signer as the oracle."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import string
from typing import Any
from unittest import mock
from urllib.parse import quote, unquote_to_bytes, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchyard.wire.messages import Request, WireError
from batchyard.wire.sigv4 import Authorization, format_timestamp, parse_authorization, sign, verify

NOW_MS = 1_790_000_000_123
ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SCOPE = {"region": "us-east-1", "service": "batch"}

segments = st.text(alphabet=string.ascii_letters + string.digits + "-_.~ :/%+é", min_size=1, max_size=8)
paths = st.lists(segments | st.sampled_from(["..", ".", ""]), max_size=4).map(
    lambda parts: "/" + "/".join(quote(part, safe="") for part in parts)
)
queries = st.lists(st.tuples(segments, segments), max_size=3).map(
    lambda pairs: "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)
)
header_values = st.text(alphabet=string.ascii_letters + "  ;=,é/", min_size=1, max_size=20)
header_sets = st.dictionaries(
    st.sampled_from(["Content-Type", "X-Amz-Target", "amz-sdk-invocation-id", "User-Agent", "Expect", "X-Other"]),
    header_values,
    max_size=4,
)
calls = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["POST", "GET", "DELETE"]),
        "host": st.sampled_from(["127.0.0.1:8470", "localhost", "example.com:443", "[::1]:8470"]),
        "path": paths,
        "query": queries,
        "headers": header_sets,
        "body": st.binary(max_size=80),
        "token": st.none() | st.just("a/session+token=="),
    }
)


def url_of(call: dict[str, Any]) -> str:
    return f"http://{call['host']}{call['path']}" + (f"?{call['query']}" if call["query"] else "")


def signed_by_botocore(call: dict[str, Any], secret_key: str = SECRET_KEY) -> dict[str, str]:
    request = AWSRequest(call["method"], url_of(call), headers=call["headers"], data=call["body"])
    moment = datetime.datetime.fromtimestamp(NOW_MS // 1000, datetime.UTC).replace(tzinfo=None)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        SigV4Auth(Credentials(ACCESS_KEY, secret_key, call["token"]), "batch", "us-east-1").add_auth(request)
    headers = {name: str(value) for name, value in request.headers.items()}
    parts = urlsplit(url_of(call))
    headers.setdefault("Host", parts.netloc.removesuffix(":443") if parts.scheme == "https" else parts.netloc)
    return headers


def received(call: dict[str, Any], headers: dict[str, str]) -> Request:
    """The request as an HTTP server hands it on: header bytes decoded as latin-1."""
    parts = urlsplit(url_of(call))
    decoded = {name.lower(): value.encode().decode("latin-1") for name, value in headers.items()}
    return Request(call["method"], parts.path.encode(), parts.query.encode(), decoded, call["body"])


def accepted(request: Request, now_ms: int = NOW_MS, secret_key: str = SECRET_KEY) -> bool:
    try:
        verify(request, parse_authorization(request.headers), secret_key, now_ms)
    except WireError as refused:
        return refused.status != 403
    return True


@settings(max_examples=200, deadline=None)
@given(call=calls)
def test_what_botocore_signs_is_accepted_and_ours_is_the_same(call: dict[str, Any]) -> None:
    theirs = signed_by_botocore(call)
    assert accepted(received(call, theirs))
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "session_token": call["token"]}
    ours = sign(call["method"], url_of(call), call["headers"], call["body"], **keys, **SCOPE, now_ms=NOW_MS)
    assert ours == theirs


@settings(max_examples=100, deadline=None)
@given(key=st.text(alphabet="ab/.~ %+é=", max_size=20), query=queries)
def test_paths_of_s3_are_signed_as_they_are_sent(key: str, query: str) -> None:
    url = f"http://127.0.0.1:9000/bucket/{quote(key, safe='/-_.~')}?{query}"
    request = AWSRequest("GET", url, data=b"")
    moment = datetime.datetime.fromtimestamp(NOW_MS // 1000, datetime.UTC).replace(tzinfo=None)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)
    digest = str(request.headers["X-Amz-Content-SHA256"])
    assert digest == hashlib.sha256(b"").hexdigest() or digest == "UNSIGNED-PAYLOAD"
    ours = sign(
        "GET",
        url,
        {"X-Amz-Content-SHA256": hashlib.sha256(b"").hexdigest()},
        b"",
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        session_token=None,
        region="us-east-1",
        service="s3",
        now_ms=NOW_MS,
    )
    assert ours["Authorization"] == request.headers["Authorization"]


@settings(max_examples=200, deadline=None)
@given(
    call=calls.map(lambda call: call | {"path": "/v1/tags/a%3Ab~c"}),
    where=st.sampled_from(["body", "path", "query", "header", "method"]),
    data=st.data(),
)
def test_any_flipped_byte_is_refused(call: dict[str, Any], where: str, data: st.DataObject) -> None:
    headers = signed_by_botocore(call)
    good = received(call, headers)
    method, path, query, values, body = good.method, good.raw_path, good.query, dict(good.headers), good.body

    def flipped(raw: bytes) -> bytes:
        at = data.draw(st.integers(0, len(raw) - 1))
        # Letters and digits only: a `/` more or a blank less may canonically be the same request.
        new = data.draw(st.sampled_from([c for c in b"abcXYZ019" if c != raw[at]]))
        return raw[:at] + bytes([new]) + raw[at + 1 :]

    if where == "header":
        authorization = parse_authorization(good.headers)
        name = data.draw(st.sampled_from([n for n in authorization.signed_headers if values[n].strip()]))
        values[name] = flipped(values[name].strip().encode("latin-1")).decode("latin-1")
    elif where == "method":
        method = "PUT"
    elif where == "path":
        path = path[:1] + flipped(path[1:])
    elif where == "query":
        query = flipped(query) if query else b"a=b"
    else:
        body = flipped(body) if body else b"x"
    changed = Request(method, path, query, values, body)
    # `%3a` and `%3A` are one byte in two spellings, and either is signed the same.
    assume(query == good.query or unquote_to_bytes(query) != unquote_to_bytes(good.query))
    assert not accepted(changed)


CALL: dict[str, Any] = {
    "method": "POST", "host": "127.0.0.1:8470", "path": "/v1/submitjob", "query": "",
    "headers": {"Content-Type": "application/json"}, "body": b'{"jobName":"a"}', "token": None,
}  # fmt: skip


def good_request(**headers: str) -> Request:
    request = received(CALL, signed_by_botocore(CALL))
    added = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(request.method, request.raw_path, request.query, {**request.headers, **added}, request.body)


def test_an_authorization_header_is_read() -> None:
    authorization = parse_authorization(good_request().headers)
    assert (authorization.access_key, authorization.region, authorization.service) == (ACCESS_KEY, "us-east-1", "batch")
    assert authorization.signed_headers == ("content-type", "host", "x-amz-date")
    assert authorization.signed_at_ms == NOW_MS // 1000 * 1000
    assert authorization.timestamp == format_timestamp(NOW_MS) == "20260921T141320Z"


@pytest.mark.parametrize(
    ("header", "code", "part"),
    [
        ("", "MissingAuthenticationTokenException", "Authorization"),
        ("Bearer abc", "IncompleteSignatureException", "AWS4-HMAC-SHA256"),
        ("AWS4-HMAC-SHA256", "IncompleteSignatureException", "'Credential'"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request", "IncompleteSignatureException", "'SignedHeaders'"),
        ("AWS4-HMAC-SHA256 Credential=A/20260921/r/s/aws4_request, SignedHeaders=host, Signature=xyz",
         "IncompleteSignatureException", "64 lower-case hexadecimal"),
        ("AWS4-HMAC-SHA256 Credential=A/20260921/r/aws4_request, SignedHeaders=host, Signature=" + "0" * 64,
         "IncompleteSignatureException", "exactly 5"),
        ("AWS4-HMAC-SHA256 Credential=A/20200101/r/s/aws4_request, SignedHeaders=host, Signature=" + "0" * 64,
         "IncompleteSignatureException", "20260921"),
    ],
)  # fmt: skip
def test_an_ill_formed_authorization_is_refused_by_its_part(header: str, code: str, part: str) -> None:
    with pytest.raises(WireError) as caught:
        parse_authorization({"authorization": header, "x-amz-date": "20260921T141320Z"})
    assert (caught.value.code, caught.value.status) == (code, 403)
    assert part in caught.value.message


@pytest.mark.parametrize(
    "date", ["", "yesterday", "20260921", "20261321T000000Z", "20260921T141320", "Mon, 99 Sep 2026 14:13:20 GMT"]
)
def test_a_request_needs_a_time(date: str) -> None:
    with pytest.raises(WireError, match="Date") as caught:
        parse_authorization({**good_request().headers, "x-amz-date": date})
    assert caught.value.code == "IncompleteSignatureException"


def test_the_date_header_serves_where_no_x_amz_date_is() -> None:
    headers = dict(good_request().headers)
    del headers["x-amz-date"]
    for date in ("Mon, 21 Sep 2026 14:13:20 GMT", "Mon, 21 Sep 2026 16:13:20 +0200", "Mon, 21 Sep 2026 14:13:20 -0000"):
        assert parse_authorization({**headers, "date": date}).signed_at_ms == NOW_MS // 1000 * 1000


def refused(request: Request, now_ms: int = NOW_MS, **changes: Any) -> str:
    authorization = parse_authorization(request.headers)
    values = {field: getattr(authorization, field) for field in authorization.__struct_fields__} | changes
    with pytest.raises(WireError) as caught:
        verify(request, Authorization(**values), SECRET_KEY, now_ms)
    assert (caught.value.code, caught.value.status) == ("InvalidSignatureException", 403)
    return caught.value.message


def test_a_signature_counts_for_five_minutes_either_way() -> None:
    signed_at_ms = NOW_MS // 1000 * 1000
    assert accepted(good_request(), signed_at_ms + 300_000)
    assert accepted(good_request(), signed_at_ms - 300_000)
    assert refused(good_request(), signed_at_ms + 300_001).startswith("Signature expired: 20260921T141320Z is earlier")
    assert refused(good_request(), signed_at_ms - 300_001).startswith("Signature not yet current")


def test_another_secret_is_refused_in_the_words_of_aws() -> None:
    assert not accepted(good_request(), secret_key="other")
    assert refused(good_request(), signature="0" * 64).startswith("The request signature we calculated does not match")


def test_what_decides_the_meaning_must_be_signed() -> None:
    assert "'Host' must be a 'SignedHeader'" in refused(good_request(), signed_headers=("x-amz-date",))
    assert refused(good_request(x_amz_target="Logs_20140328.X")).startswith("'x-amz-target' must be a 'SignedHeader'")
    assert "that the request does not have" in refused(good_request(), signed_headers=("host", "x-amz-date", "x-gone"))


@settings(max_examples=300, deadline=None)
@given(
    authorization=st.text(max_size=60) | st.text(max_size=40).map(lambda tail: "AWS4-HMAC-SHA256 " + tail),
    date=st.text(max_size=30) | st.from_regex(r"[0-9]{8}T[0-9]{6}Z", fullmatch=True),
)
def test_garbage_headers_are_refused(authorization: str, date: str) -> None:
    headers = {"authorization": authorization, "x-amz-date": date}
    with pytest.raises(WireError) as caught:
        parse_authorization(headers)
    assert caught.value.status == 403


@settings(max_examples=200, deadline=None)
@given(
    date=st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{1,5}( [0-9:]{1,8})? .*")
)
def test_garbage_dates_are_refused_or_read(date: str) -> None:
    headers = dict(good_request().headers)
    del headers["x-amz-date"]
    with contextlib.suppress(WireError):
        authorization = parse_authorization({**headers, "date": date})
        assert format_timestamp(authorization.signed_at_ms) == authorization.timestamp
