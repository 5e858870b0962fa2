"""Queries of the facts that wait for their consumers, and of each consumer's cursor."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from batchyard.core.model.fact_kinds import Cursor, Fact
from batchyard.store import codec
from batchyard.store.tables import fact_cursors, facts

_AFTER = (
    select(facts.c.sequence, facts.c.body)
    .where(facts.c.sequence > bindparam("after"))
    .order_by(facts.c.sequence)
    .limit(bindparam("most"))
)


def facts_after(connection: Connection, sequence: int, limit: int) -> list[tuple[int, list[Fact]]]:
    """Returns the facts of the next `limit` transactions that had any, each with its sequence, oldest first."""
    rows = connection.execute(_AFTER, {"after": sequence, "most": limit})
    return [(number, codec.decode_facts(body)) for number, body in rows]


def cursors(connection: Connection) -> dict[str, Cursor]:
    """Returns the cursors, by consumer."""
    rows = connection.execute(select(fact_cursors).order_by(fact_cursors.c.consumer))
    return {consumer: codec.decode_cursor(body) for consumer, body in rows}


def last_sequence(connection: Connection, known: dict[str, Cursor]) -> int:
    """Returns the highest sequence ever used, as far as any of the `known` cursors may have reached it; 0: none."""
    stored = connection.execute(select(func.max(facts.c.sequence))).scalar_one() or 0
    return max([stored, *(cursor.sequence for cursor in known.values())])
