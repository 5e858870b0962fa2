"""Facts: what has happened, for consumers. Their form, their kinds, and the cursor of a consumer.

Facts are part of `Changes`: those that a durable consumer asks for are stored in the transaction of what they report,
and delivered after it. A fact that no consumer asks for is never made. Each room registers the kinds that it makes.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

_TYPES: dict[str, type[Fact]] = {}  # by tag


class Fact(Struct, frozen=True, array_like=True):
    """Something that has happened. `at_ms`: when it was decided."""

    at_ms: int


Kind = TypeVar("Kind", bound=type[Fact])


def register(kind: Kind) -> Kind:
    """Class decorator: declares a kind of fact, named by its struct tag. Tags are stored: once released they never
    change, and new members come last and have defaults."""
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str), f"{kind.__name__} has no tag"
    assert _TYPES.setdefault(tag, kind) is kind, f"two kinds of facts have the tag {tag}"
    return kind


def kinds() -> dict[str, type[Fact]]:
    """Returns all registered kinds by their tags."""
    return dict(_TYPES)


class Cursor(Struct, frozen=True):
    """The position of a durable consumer of facts: `sequence` and all before is delivered to it, and of the next
    sequence the first `done` facts, ranges expanded. `kinds`: the tags of the facts that it asks for."""

    sequence: int
    done: int = 0
    kinds: tuple[str, ...] = ()
