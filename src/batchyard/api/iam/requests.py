"""What the operations of IAM have in common: names, paths, tags, unique ids and pages (IAM API reference)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from batchyard.api.checks import MAX_TAG_KEY_LENGTH, MAX_TAG_VALUE_LENGTH, MAX_TAGS, RESERVED_TAG_PREFIX, quoted
from batchyard.api.context import Context
from batchyard.core.model.refusal import Refused
from batchyard.iam import commands as c
from batchyard.iam.records import DEFAULT_PATH, InstanceProfile, Role
from batchyard.wire.messages import Document

NAME = re.compile(r"[\w+=,.@-]+", re.ASCII)
PATH = re.compile(r"/|/[\x21-\x7e]+/")
TAG_TEXT = re.compile(r"[\w\s.:/=+\-@]*")  # API: tagKeyType, tagValueType
PRINTABLE = re.compile("[\t\n\r\x20-\x7e\xa1-\xff]*")  # API: roleDescriptionType; policies take no more either
MAX_PAGE = 1000  # API: maxItemsType
PAGE = 100  # what a request without MaxItems gets
ID_LETTERS = 17  # after the prefix (IAM user guide: Unique identifiers)
ROLE_ID_PREFIX, POLICY_ID_PREFIX, PROFILE_ID_PREFIX = "AROA", "ANPA", "AIPA"


def invalid(message: str) -> Refused:
    return Refused(message, "ValidationError")


def input_refused(message: str) -> Refused:
    return Refused(message, "InvalidInput")


def unique_id(prefix: str, text: str) -> str:
    """Returns an id of IAM's form that follows from `text`: the prefix says what it is of."""
    digest = hashlib.blake2b(text.encode(), person=b"role id").digest()
    return prefix + base64.b32encode(digest).decode()[:ID_LETTERS]


def name_in(request: Document, member: str) -> str:
    """Returns a name, which must be of IAM's form."""
    name: str = request[member]
    if not NAME.fullmatch(name):
        raise invalid(
            f"The specified value for {member[0].lower()}{member[1:]} is invalid. It must contain only alphanumeric "
            "characters and/or the following: +=,.@_-"
        )
    return name


def path_in(request: Document, member: str = "Path") -> str:
    path: str = request.get(member, DEFAULT_PATH)
    if not PATH.fullmatch(path):
        raise invalid(
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric "
            "characters and/or / characters."
        )
    return path


def text_in(request: Document, member: str) -> str:
    """Returns a text that is shown as it is given; empty where there is none."""
    text: str = request.get(member, "")
    if not PRINTABLE.fullmatch(text):
        raise invalid(
            f"The specified value for {member[0].lower()}{member[1:]} is invalid. It must contain only printable "
            "characters of Latin-1, tabs and line breaks."
        )
    return text


def check_choice(request: Document, member: str, choices: Sequence[str]) -> None:
    """Refuses a member that has a value and none of the choices."""
    value = request.get(member)
    if value is not None and value not in choices:
        raise invalid(
            f"1 validation error detected: Value '{quoted(value)}' at '{member[0].lower()}{member[1:]}' failed to "
            f"satisfy constraint: Member must satisfy enum value set: [{', '.join(choices)}]"
        )


def encoded(document: str) -> str:
    """Returns a policy as IAM's answers have it: URL-encoded (RFC 3986), whatever it looked like."""
    return quote(document, safe="")


def is_below(path: str, request: Document) -> bool:
    """Whether a path begins with the request's PathPrefix."""
    return path.startswith(request.get("PathPrefix", DEFAULT_PATH))


# -- tags --


def tags_in(request: Document) -> dict[str, str]:
    """Returns the tags of a request; their keys differ in more than case."""
    entries = request.get("Tags", [])
    tags = {entry["Key"]: entry["Value"] for entry in entries}
    if len({key.lower() for key in tags}) < len(entries):
        raise input_refused("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if len(tags) > MAX_TAGS:
        raise Refused(f"The number of tags has reached the maximum limit: {MAX_TAGS}.", "LimitExceeded")
    for key, value in tags.items():
        _check_tag_key(key)
        if len(value) > MAX_TAG_VALUE_LENGTH or not TAG_TEXT.fullmatch(value):
            raise invalid(
                f"The value of tag {key} must have at most {MAX_TAG_VALUE_LENGTH} characters: letters, digits, spaces "
                "and _ . : / = + - @"
            )
        if key.lower().startswith(RESERVED_TAG_PREFIX):
            raise input_refused(f"Tag keys must not start with {RESERVED_TAG_PREFIX}: this prefix is reserved.")
    return tags


def tag_keys_in(request: Document) -> tuple[str, ...]:
    keys = request["TagKeys"]
    for key in keys:
        _check_tag_key(key)
    return tuple(keys)


def _check_tag_key(key: str) -> None:
    if not 1 <= len(key) <= MAX_TAG_KEY_LENGTH or not TAG_TEXT.fullmatch(key):
        raise invalid(
            f"A tag key must have 1 to {MAX_TAG_KEY_LENGTH} characters: letters, digits, spaces and _ . : / = + - @"
        )


def tags_member(tags: dict[str, str]) -> Document:
    """Returns the Tags member of an answer; nothing without tags, as on AWS."""
    return {"Tags": tag_list(tags)} if tags else {}


def tag_list(tags: dict[str, str]) -> list[Document]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


# -- pages --


def page(request: Document, member: str, rows: Sequence[tuple[str, Any]]) -> Document:
    """Returns one page of `rows`, each with the text by which they are sorted."""
    limit = request.get("MaxItems", PAGE)
    if not 1 <= limit <= MAX_PAGE:
        bound = "greater than or equal to 1" if limit < 1 else f"less than or equal to {MAX_PAGE}"
        raise invalid(
            f"1 validation error detected: Value '{limit}' at 'maxItems' failed to satisfy constraint: Member must "
            f"have value {bound}"
        )
    after = request.get("Marker", "")
    left = [(name, row) for name, row in rows if name > after]
    answer = {member: [row for _, row in left[:limit]], "IsTruncated": len(left) > limit}
    return answer | ({"Marker": left[limit - 1][0]} if len(left) > limit else {})


# -- what there is --


async def find_role(context: Context, name: str) -> Role:
    role = await context.ask(c.AskRole(name))
    if role is None:
        raise Refused(f"The role with name {name} cannot be found.", "NoSuchEntity")
    return role


async def find_instance_profile(context: Context, name: str) -> InstanceProfile:
    for profile in await context.ask(c.AskInstanceProfiles()):
        if profile.name == name:
            return profile
    raise Refused(f"Instance Profile {name} cannot be found.", "NoSuchEntity")
