"""The errors of the store. Each text is a sentence for the operator."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be opened or used."""


class StoreLocked(StoreError):
    """Another server holds this data directory."""


class StoreMismatch(StoreError):
    """The database belongs to another account or region, or was written by a newer version."""


class StoreDamaged(StoreError):
    """The database, or a backup of one, is not what was written, or was never ours."""


class CommitFailed(StoreError):
    """A transaction is not known to be durable. The writer takes no more: the process must end."""


class DiskFull(CommitFailed):
    """There was no space left for a transaction. Everything committed before it is safe."""


class StoreFenced(CommitFailed):
    """Another server has opened this database for writing since."""
