"""Queries of the messages that are on their way to targets outside."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from batchyard.core.model.deliveries import DeliveryState, Message
from batchyard.store import codec
from batchyard.store.tables import deliveries


def states(connection: Connection) -> list[DeliveryState]:
    """Returns what memory has of all deliveries, by sequence."""
    rows = connection.execute(select(deliveries.c.state).order_by(deliveries.c.sequence))
    return [codec.decode_delivery_state(state) for (state,) in rows]


def messages(connection: Connection, sequences: Sequence[int]) -> dict[int, Message]:
    """Returns the messages of these deliveries, without those that are gone."""
    wanted = select(deliveries.c.sequence, deliveries.c.message).where(deliveries.c.sequence.in_(sequences))
    return {sequence: codec.decode_message(message) for sequence, message in connection.execute(wanted)}
