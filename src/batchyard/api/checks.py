"""Checks of a request's shape that several operations share: names, enums, tags, list limits, numbers.

The core checks what depends on its state (whether a thing exists, whether it may change).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from batchyard.core.model.refusal import Refused
from batchyard.core.model.text import quoted as quoted  # part of this module's vocabulary

NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
JOB_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,127}")
SHARE_IDENTIFIER = re.compile(r"[a-zA-Z0-9_-]{1,255}")

# API: TagrisTagsMap, TagKey, TagValue.
MAX_TAGS = 50
MAX_TAG_KEY_LENGTH = 128
MAX_TAG_VALUE_LENGTH = 256
RESERVED_TAG_PREFIX = "aws:"

MAX_TOKEN_LENGTH = 64  # API: ClientRequestToken
MAX_DESCRIBE_NAMES = 100  # names or ids in one Describe call (API: DescribeJobsRequest and its likes)
KIB = 1024
NUL_IN_JSON = b"\\u0000"


def require(condition: object, message: str) -> None:
    """Refuses the request with `message` unless `condition` holds."""
    if not condition:
        raise Refused(message)


def check_name(name: str, subject: str) -> None:
    """Checks a name. `subject` as AWS spells it in the refusal: Compute Environment, Job Queue, Job definition."""
    require(NAME.fullmatch(name), f"{subject} name should match a valid pattern.")


def check_tags(tags: dict[str, str]) -> None:
    """Checks number, lengths and reserved prefix of tags (user guide: using-tags)."""
    if len(tags) > MAX_TAGS:
        raise Refused(f"tags: Member must have length less than or equal to {MAX_TAGS}, got {len(tags)}.")
    for key, value in tags.items():
        check_tag_key(key)
        if len(value) > MAX_TAG_VALUE_LENGTH:
            raise Refused(
                f"The value of tag {key} must have at most {MAX_TAG_VALUE_LENGTH} characters, got {len(value)}."
            )
        if key.lower().startswith(RESERVED_TAG_PREFIX):
            raise Refused(f"Tag key {key} must not start with {RESERVED_TAG_PREFIX}: this prefix is reserved.")


def new_resource(request: dict[str, Any], member: str, subject: str) -> tuple[str, dict[str, str]]:
    """Returns the name, which is in `member`, and the tags of a resource that a request makes. `subject`: as for
    check_name."""
    name, tags = request[member], request.get("tags", {})
    check_name(name, subject)
    check_tags(tags)
    return name, tags


def check_tag_key(key: str) -> None:
    if not 1 <= len(key) <= MAX_TAG_KEY_LENGTH:
        raise Refused(f"Tag key {quoted(key)!r} must have 1 to {MAX_TAG_KEY_LENGTH} characters, got {len(key)}.")


def client_token_of(request: dict[str, Any]) -> str:
    """Returns the clientToken of a request, checked; empty: it has none."""
    token: str = request.get("clientToken", "")
    require(
        len(token) <= MAX_TOKEN_LENGTH,
        f"clientToken must have at most {MAX_TOKEN_LENGTH} characters, got {len(token)}.",
    )
    return token


def check_describe_count(names: Sequence[str], member: str) -> None:
    count = len(names)
    require(count <= MAX_DESCRIBE_NAMES, f"{member} must hold at most {MAX_DESCRIBE_NAMES} entries, got {count}.")


def check_names_alone(request: dict[str, Any], member: str) -> None:
    """Refuses a Describe by names with paging members (observed on AWS: ComputeEnvironments and MaxResults cannot
    both be set). An empty list, text or number counts as absent, since clients that fill every member send those."""
    if request.get(member):
        for other in ("maxResults", "nextToken"):
            require(not request.get(other), f"{capital(member)} and {capital(other)} cannot both be set")


def capital(member: str) -> str:
    """Returns a member's name as AWS's refusals spell it."""
    return member[0].upper() + member[1:]


def one_filter(filters: Sequence[dict[str, Any]], served: Sequence[str]) -> tuple[str, str]:
    """Returns name and value of the one filter of a list; two empty texts without one. AWS takes one value for a
    filter."""
    if not filters:
        return "", ""
    require(len(filters) == 1, f"Only one filter can be used at a time, got {len(filters)}.")
    name, values = filters[0].get("name", ""), filters[0].get("values", [])
    require(name in served, f"Filter name must be one of [{', '.join(served)}], got {quoted(name)!r}.")
    require(values, f"Filter {name} needs a value.")
    require(len(values) == 1, "Filter cannot take more than one value.")
    return name, values[0]


def check_between(value: int | None, low: int, high: int, member: str) -> None:
    """Checks an integer that may be absent."""
    if value is not None and not low <= value <= high:
        raise Refused(f"{member} must be between {low} and {high}, got {value}.")


def check_size(size_bytes: int, max_kib: int, subject: str) -> None:
    """Checks the size of a document. `subject`: Job, Job definition."""
    if size_bytes > max_kib * KIB:
        raise Refused(f"{subject} size must be less than {max_kib} KiB, got {-(-size_bytes // KIB)} KiB")


def check_no_nul(value: Any, path: str) -> None:
    """Refuses NUL characters, which end a text for the operating system: no program, path or variable can contain
    one."""
    if NUL_IN_JSON in msgspec.json.encode(value):  # checks all of it at once; the walk finds the path for the refusal
        _find_nul(value, path)


def _find_nul(value: Any, path: str) -> None:
    if isinstance(value, str):
        require("\0" not in value, f"{path} must not hold a NUL character.")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _find_nul(name, f"A name in {path}")
            _find_nul(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _find_nul(inner, f"{path}[{index}]")


def without(request: dict[str, Any], *members: str) -> dict[str, Any]:
    """Returns the request without some members: what is kept as a document, where those are fields."""
    return {member: value for member, value in request.items() if member not in members}


def has_duplicates(values: Iterable[object]) -> bool:
    seen = list(values)
    return len(set(seen)) != len(seen)
