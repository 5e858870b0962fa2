"""Kinds of documents: small named records that need no table of their own. Each room registers those that it keeps."""

from __future__ import annotations

from msgspec import Struct

_RECORDS: dict[str, type[Struct]] = {}  # by kind


def register(kind: str, record: type[Struct]) -> str:
    """Declares that documents of `kind` hold a `record`, and returns `kind`, to be the room's constant for it.

    To be called while modules are imported. `kind` is stored: once released it never changes."""
    known = _RECORDS.setdefault(kind, record)
    assert known is record, f"two rooms keep documents of the kind {kind}: {known.__name__} and {record.__name__}"
    return kind


def is_registered(kind: str) -> bool:
    return kind in _RECORDS


def record_type(kind: str) -> type[Struct]:
    """Returns what documents of a registered `kind` hold."""
    assert kind in _RECORDS, f"no room has registered documents of the kind {kind}"
    return _RECORDS[kind]
