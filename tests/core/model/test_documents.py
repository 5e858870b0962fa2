"""A kind of document belongs to one room, and holds one type of record."""

from __future__ import annotations

import pytest
from msgspec import Struct

from batchyard.core.model import documents
from batchyard.core.model.records import Instance
from batchyard.core.state.document_kinds import INSTANCE


class Toy(Struct, frozen=True):
    name: str


def test_a_kind_is_registered_once() -> None:
    kind = documents.register("toy-of-one-room", Toy)
    assert (kind, documents.record_type(kind)) == ("toy-of-one-room", Toy)
    assert documents.register("toy-of-one-room", Toy) == kind, "a module that is imported again"


def test_two_rooms_do_not_share_a_kind() -> None:
    with pytest.raises(AssertionError, match="two rooms keep documents of the kind instance: Instance and Toy"):
        documents.register(INSTANCE, Toy)
    assert documents.record_type(INSTANCE) is Instance


def test_a_kind_that_no_room_registered_is_not_known() -> None:
    assert not documents.is_registered("nothing")
    with pytest.raises(AssertionError, match="no room has registered documents of the kind nothing"):
        documents.record_type("nothing")
