"""Encrypts values of secrets and parameters for the store, and decrypts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from batchyard.api.checks import MAX_TAG_KEY_LENGTH, MAX_TAG_VALUE_LENGTH, MAX_TAGS, RESERVED_TAG_PREFIX
from batchyard.api.context import CipherError, Context
from batchyard.core.model.commands import SealedValue
from batchyard.core.model.refusal import Refused
from batchyard.core.secrets.document_kinds import PARAMETER, SECRET
from batchyard.events.api_destinations import CONNECTION
from batchyard.wire.messages import Document

STORED_PER_READ = 100  # records may have a MiB each: no more of them in one read


async def seal(
    context: Context, value: bytes, bound_to: str, value_id: str, code: str, *, is_binary: bool = False
) -> SealedValue:
    """Encrypts a value. Refused with `code` when the key file cannot be used."""

    def work() -> SealedValue:
        sealed = context.cipher.seal(value, bound_to, is_first=lambda: _nothing_is_sealed(context))
        digest = context.cipher.digest(bytes([is_binary]) + value, bound_to)
        return SealedValue(value_id, sealed, digest, is_binary)

    try:
        return await context.read(work)
    except CipherError as error:
        raise Refused(str(error), code) from error


def _nothing_is_sealed(context: Context) -> bool:
    """Whether no encrypted value is stored: secrets may have no value yet. For a reader's thread."""
    with_versions = any(record.versions for kind in (SECRET, PARAMETER) for record in every(context, kind))
    return not with_versions and not any(every(context, CONNECTION))


async def unseal(context: Context, sealed: bytes, bound_to: str, code: str) -> bytes:
    """Decrypts a value. Refused with `code` when it cannot be read."""
    try:
        return await context.read(context.cipher.open, sealed, bound_to)
    except CipherError as error:
        raise Refused(str(error), code) from error


def every(context: Context, kind: str) -> Iterator[Any]:
    """Yields all records of a kind by name. For a reader's thread."""
    cursor: str | None = None
    while True:
        found, cursor = context.reader.documents(kind, limit=STORED_PER_READ, after=cursor)
        yield from found
        if cursor is None:
            return


def tags_of(entries: list[Document], refuse: Callable[[str], Refused]) -> dict[str, str]:
    """Returns a list of Key and Value as a map; `refuse` makes a refusal from a sentence."""
    tags = {entry.get("Key", ""): entry.get("Value", "") for entry in entries}
    if len(tags) < len(entries):
        raise refuse("Tags must have different keys.")
    if len(tags) > MAX_TAGS:
        raise refuse(f"There must be at most {MAX_TAGS} tags, got {len(tags)}.")
    for key, value in tags.items():
        if not 1 <= len(key) <= MAX_TAG_KEY_LENGTH or len(value) > MAX_TAG_VALUE_LENGTH:
            raise refuse(
                f"A tag needs a key of 1 to {MAX_TAG_KEY_LENGTH} characters and a value of at most "
                f"{MAX_TAG_VALUE_LENGTH}."
            )
        if key.lower().startswith(RESERVED_TAG_PREFIX):
            raise refuse(f"Tag keys must not start with {RESERVED_TAG_PREFIX}: this prefix is reserved.")
    return tags


def tag_keys_of(keys: list[str], refuse: Callable[[str], Refused]) -> tuple[str, ...]:
    if len(keys) > MAX_TAGS or not all(1 <= len(key) <= MAX_TAG_KEY_LENGTH for key in keys):
        raise refuse(f"There must be at most {MAX_TAGS} tag keys, each of 1 to {MAX_TAG_KEY_LENGTH} characters.")
    return tuple(keys)


def tag_list(tags: dict[str, str]) -> list[Document]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def seconds(at_ms: int) -> float:
    """Returns a time as these services write it: seconds since 1970."""
    return at_ms / 1000
