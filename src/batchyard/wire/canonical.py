"""The canonical request of AWS Signature Version 4: the bytes that both sides hash.

Source: "Create a signed AWS API request" in the AWS IAM user guide.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
# One key per secret, day, region and service: a handful in use at a time.
SIGNING_KEY_CACHE_SIZE = 256
# Batch has about 50 paths; only those with an ARN in them vary.
PATH_CACHE_SIZE = 512


def canonical_request(
    method: str,
    raw_path: bytes,
    query: bytes,
    signed_headers: tuple[str, ...],
    header_values: list[str],
    body: bytes,
    *,
    is_path_as_sent: bool = False,
) -> bytes:
    """Returns the canonical request. header_values belong to signed_headers, decoded as latin-1 (as HTTP servers
    do). `is_path_as_sent`: for S3, which neither shortens a path nor encodes it once more."""
    lines = [f"{name}:{_trimmed(value)}" for name, value in zip(signed_headers, header_values, strict=True)]
    text = "\n".join(
        (
            method,
            raw_path.decode("latin-1") if is_path_as_sent else canonical_path(raw_path),
            canonical_query(query) if query else "",
            *lines,
            "",
            ";".join(signed_headers),
            hashlib.sha256(body).hexdigest(),
        )
    )
    # latin-1 returns the bytes that were sent; other text was never sent, and then no signature fits.
    return text.encode("latin-1", "replace")


def _trimmed(value: str) -> str:
    if value.isascii():
        return " ".join(value.split())
    # str.split would also split at the no-break space, which may be half of a UTF-8 character here.
    return b" ".join(value.encode("latin-1", "replace").split()).decode("latin-1")


@lru_cache(maxsize=PATH_CACHE_SIZE)
def canonical_path(raw_path: bytes) -> str:
    """Returns the path as sent, without empty and dot segments, percent-encoded once more (all services but S3)."""
    kept: list[bytes] = []
    for segment in raw_path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    ends_with_slash = bool(kept) and raw_path.endswith(b"/")
    return quote_from_bytes(b"/" + b"/".join(kept) + (b"/" if ends_with_slash else b""), safe="/~")


def canonical_query(query: bytes) -> str:
    """Returns the parameters in the canonical encoding, sorted by name, then value."""
    pairs = [pair.partition(b"=") for pair in query.split(b"&")]
    return "&".join(f"{name}={value}" for name, value in sorted((_encoded(k), _encoded(v)) for k, _, v in pairs))


def _encoded(raw: bytes) -> str:
    return quote_from_bytes(unquote_to_bytes(raw), safe="-_.~")


@lru_cache(maxsize=SIGNING_KEY_CACHE_SIZE)
def _keyed(secret_key: str, date: str, region: str, service: str) -> hmac.HMAC:
    """Returns an HMAC with the key of one day, region and service; callers copy it, which costs half as much as a
    new one."""
    key = ("AWS4" + secret_key).encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, digestmod="sha256")


def signature(secret_key: str, timestamp: str, region: str, service: str, canonical: bytes) -> str:
    """Returns the signature in hex. timestamp: `YYYYMMDDTHHMMSSZ`."""
    date = timestamp[:8]
    digest = hashlib.sha256(canonical).hexdigest()
    keyed = _keyed(secret_key, date, region, service).copy()
    keyed.update(f"{ALGORITHM}\n{timestamp}\n{date}/{region}/{service}/{TERMINATOR}\n{digest}".encode())
    return keyed.hexdigest()
