"""A server's claim on a database: one atomic statement, so that no two servers ever have the same epoch."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, bindparam, select, update

from batchyard.store.dialects import upsert
from batchyard.store.errors import StoreMismatch
from batchyard.store.tables import meta


class Claim(Struct, frozen=True):
    """The result of a claim: an `epoch` higher than that of every claim before, and the counters from which the
    writer continues."""

    epoch: int
    next_key: int
    last_time_ms: int


CLAIM = (
    update(meta)
    .where(meta.c.account_id == bindparam("account"), meta.c.region == bindparam("place"))
    .values(epoch=meta.c.epoch + 1, schema_version=bindparam("version"))
    .returning(meta.c.epoch, meta.c.next_key, meta.c.last_time_ms)
)


def claim(connection: Connection, database: str, account_id: str, region: str, schema_version: int) -> Claim:
    """Claims a database whose tables are of `schema_version`, in the caller's transaction or in one of its own.

    `database`: its name for people. Raises StoreMismatch when it belongs to another account or region."""
    first = {"id": 1, "schema_version": schema_version, "epoch": 0, "last_time_ms": 0, "next_key": 1}
    connection.execute(upsert(meta, (), connection.dialect), first | {"account_id": account_id, "region": region})
    row = connection.execute(CLAIM, {"account": account_id, "place": region, "version": schema_version}).one_or_none()
    if row is None:
        owner = connection.execute(select(meta.c.account_id, meta.c.region)).one()
        raise StoreMismatch(
            f"The database {database} belongs to account {owner.account_id} in {owner.region}, not to account "
            f"{account_id} in {region}. Start with that account and region, or choose another data directory."
        )
    return Claim(*row)
