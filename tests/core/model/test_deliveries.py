"""What is kept of deliveries goes into rows and comes back."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.deliveries import DeliveryPolicy, DeliveryState, Message
from batchyard.deliveries.machine import FAILURE, FailedDelivery
from batchyard.store import codec


def test_a_delivery_is_stored_as_it_was() -> None:
    state = DeliveryState(1, "a", "k", 2, 3, DeliveryPolicy(4, 5), 6)
    assert codec.decode_delivery_state(codec.encode(state)) == state
    message = Message("a", "http", {"url": "u"}, "text", "token", "k", "/dead", "{}", DeliveryPolicy(1, 2))
    assert codec.decode_message(codec.encode(message)) == message
    record: Struct = FailedDelivery("a", "t", 1, 2, 3, "c", "e", "x")
    assert codec.decode_document(FAILURE, codec.encode(record)) == record
