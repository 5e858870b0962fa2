"""AWS Signature Version 4: reads, verifies and makes the `Authorization` header.

Presigned URLs (the signature in the query string) and the asymmetric variant are not implemented. Time is an
argument everywhere. Refusals carry the codes of AWS's common errors, HTTP 403.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from batchyard.wire.canonical import ALGORITHM, TERMINATOR, canonical_request, signature
from batchyard.wire.messages import Request, WireError

# AWS's own tolerance between a signature's time and the service's clock.
MAX_SKEW_SECONDS = 300
# Headers that proxies and HTTP clients may add or change after signing; SDKs leave them out too.
UNSIGNABLE_HEADERS = frozenset(
    {
        "authorization",
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    }
)
# Requests of one second share their timestamp; a busy server sees a few seconds' worth at once.
TIMESTAMP_CACHE_SIZE = 256
MAX_QUOTED_LENGTH = 64

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)

_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}
S3 = "s3"  # the service whose paths are signed as they are sent


class Authorization(msgspec.Struct, frozen=True):
    """A well-formed `Authorization` header with the time of its signature (`YYYYMMDDTHHMMSSZ` and milliseconds)."""

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    signed_at_ms: int


def parse_authorization(headers: Mapping[str, str]) -> Authorization:
    """Parses the SigV4 credentials of a request; headers by lower-case name.

    Raises WireError 403: MissingAuthenticationTokenException without the header, IncompleteSignatureException
    where a part is missing or ill-formed.
    """
    header = headers.get("authorization")
    if not header:
        raise WireError(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token: sign the request with AWS Signature Version 4 (the Authorization header).",
            403,
        )
    algorithm, _, rest = header.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise _incomplete(f"Authorization must begin with '{ALGORITHM}', got {algorithm[:MAX_QUOTED_LENGTH]!r}.")
    parts: dict[str, str] = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        parts[name] = value
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not parts.get(name):
            raise _incomplete(f"Authorization header requires '{name}' parameter.")
    credential = parts["Credential"].split("/")
    if len(credential) != 5 or not all(credential) or credential[4] != TERMINATOR:
        raise _incomplete(
            f"Credential must have exactly 5 slash-delimited elements, keyid/date/region/service/{TERMINATOR}, "
            f"got {parts['Credential'][:MAX_QUOTED_LENGTH]!r}."
        )
    if not _SIGNATURE.fullmatch(parts["Signature"]):
        raise _incomplete("Signature must be 64 lower-case hexadecimal digits.")
    timestamp, signed_at_ms = _signing_time(headers)
    access_key, date, region, service, _ = credential
    if date != timestamp[:8]:
        raise _incomplete(
            f"Date in Credential scope must be that of the request: {timestamp[:8]}, got {date[:MAX_QUOTED_LENGTH]!r}."
        )
    signed_headers = tuple(parts["SignedHeaders"].lower().split(";"))
    return Authorization(access_key, date, region, service, signed_headers, parts["Signature"], timestamp, signed_at_ms)


def verify(
    request: Request,
    authorization: Authorization,
    secret_key: str,
    now_ms: int,
    max_skew_seconds: int = MAX_SKEW_SECONDS,
) -> None:
    """Returns if the holder of secret_key signed exactly this request at about this time.

    The signature covers method, path, query, body, `host`, every `x-amz-*` header and what else the signer chose.
    Raises WireError 403 InvalidSignatureException.
    """
    skew_ms = now_ms - authorization.signed_at_ms
    if abs(skew_ms) > max_skew_seconds * 1000:
        verb, relation = ("expired", "earlier") if skew_ms > 0 else ("not yet current", "later")
        raise _invalid(
            f"Signature {verb}: {authorization.timestamp} is {relation} than {format_timestamp(now_ms)} "
            f"by more than {max_skew_seconds} s; set the clock of the caller."
        )
    signed = authorization.signed_headers
    if "host" not in signed:
        raise _invalid("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    headers = request.headers
    for name in headers:
        if name.startswith("x-amz-") and name not in signed:
            raise _invalid(f"{name[:MAX_QUOTED_LENGTH]!r} must be a 'SignedHeader' in the AWS Authorization.")
    try:
        values = [headers[name] for name in signed]
    except KeyError:
        absent = next(name for name in signed if name not in headers)
        raise _invalid(f"{absent[:MAX_QUOTED_LENGTH]!r} is a 'SignedHeader' that the request does not have.") from None
    canonical = canonical_request(request.method, request.raw_path, request.query, signed, values, request.body)
    expected = signature(secret_key, authorization.timestamp, authorization.region, authorization.service, canonical)
    if not hmac.compare_digest(expected, authorization.signature):
        raise _invalid(MISMATCH)


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    access_key: str,
    secret_key: str,
    session_token: str | None,
    region: str,
    service: str,
    now_ms: int,
) -> dict[str, str]:
    """Returns the headers to send: those given (any case), with Host, X-Amz-Date, X-Amz-Security-Token and
    Authorization.

    url: absolute, path and query percent-encoded as they will be sent.
    """
    parts = urlsplit(url)
    timestamp = format_timestamp(now_ms)
    added = {"host": "Host", "x-amz-date": "X-Amz-Date", "authorization": "Authorization", "date": "Date"}
    sent = {name: value for name, value in headers.items() if name.lower() not in added}
    sent["Host"] = next((value for name, value in headers.items() if name.lower() == "host"), _host(url))
    sent["X-Amz-Date"] = timestamp
    if session_token:
        sent = {name: value for name, value in sent.items() if name.lower() != "x-amz-security-token"}
        sent["X-Amz-Security-Token"] = session_token
    to_sign = {n.lower(): v.encode().decode("latin-1") for n, v in sent.items() if n.lower() not in UNSIGNABLE_HEADERS}
    names = tuple(sorted(to_sign))
    canonical = canonical_request(
        method,
        parts.path.encode(),
        parts.query.encode(),
        names,
        [to_sign[name] for name in names],
        body,
        is_path_as_sent=service == S3,
    )
    made = signature(secret_key, timestamp, region, service, canonical)
    scope = f"{access_key}/{timestamp[:8]}/{region}/{service}/{TERMINATOR}"
    sent["Authorization"] = f"{ALGORITHM} Credential={scope}, SignedHeaders={';'.join(names)}, Signature={made}"
    return sent


def format_timestamp(now_ms: int) -> str:
    """Formats milliseconds since 1970 as `YYYYMMDDTHHMMSSZ`."""
    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


def _signing_time(headers: Mapping[str, str]) -> tuple[str, int]:
    text = headers.get("x-amz-date") or headers.get("date")
    if text is None:
        raise _incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    return _read_time(text)


@lru_cache(maxsize=TIMESTAMP_CACHE_SIZE)
def _read_time(text: str) -> tuple[str, int]:
    try:
        if _TIMESTAMP.fullmatch(text):
            moment = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        else:
            moment = parsedate_to_datetime(text)
            # The zone "-0000" is parsed as none: RFC 5322 means UTC by it.
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _incomplete(
            f"Date must be in ISO-8601 'basic format' (YYYYMMDDTHHMMSSZ), got {text[:MAX_QUOTED_LENGTH]!r}."
        ) from None
    return moment.strftime("%Y%m%dT%H%M%SZ"), int(moment.timestamp()) * 1000


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port is not None and parts.port != _DEFAULT_PORTS.get(parts.scheme):
        host += f":{parts.port}"
    return host


def _incomplete(message: str) -> WireError:
    return WireError("IncompleteSignatureException", message, 403)


def _invalid(message: str) -> WireError:
    return WireError("InvalidSignatureException", message, 403)
