"""What is remembered of a submission, so that its repetition makes no second job: its key, and a digest of the request.

Both stand in one text, `KEY~DIGEST`, which is how they are stored; without a digest it is the key alone."""

from __future__ import annotations

import re

from msgspec import Struct

_WITH_DIGEST = re.compile(r"(?P<key>.*)~(?P<digest>[0-9a-f]{32})", re.DOTALL)


class Remembered(Struct, frozen=True):
    """The job that a submission made. `request_digest`: of its request; empty: not known."""

    job_id: str
    request_digest: str


def stored_key(key: str, request_digest: str) -> str:
    return f"{key}~{request_digest}" if key and request_digest else key


def split_stored_key(text: str) -> tuple[str, str]:
    """Returns the key and the digest."""
    found = _WITH_DIGEST.fullmatch(text)
    return (found["key"], found["digest"]) if found else (text, "")
