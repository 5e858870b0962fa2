"""The parts of a server that are opened before its event loop runs."""

from __future__ import annotations

import socket

from msgspec import Struct

from batchyard.core.capacity.catalogue import Catalogue
from batchyard.core.capacity.prices import Prices
from batchyard.engines.base import Engine
from batchyard.loop import SteadyClock
from batchyard.server.access.access import Rules
from batchyard.server.access.keys import Key, KeyFile
from batchyard.server.settings.config import Settings
from batchyard.server.settings.paths import Paths
from batchyard.server.settings.s3 import S3
from batchyard.store.store import Store
from batchyard.store.writer import Writer


class Parts(Struct, frozen=True):
    """What was opened before the event loop runs."""

    settings: Settings
    paths: Paths
    rules: Rules
    keys: KeyFile
    operator: Key
    secret: bytes
    store: Store
    writer: Writer  # of it, and open
    clock: SteadyClock  # moved on by the store, before anything is decided, when it is behind
    listener: socket.socket
    address: str
    engines: dict[str, Engine]
    catalogue: Catalogue
    prices: Prices
    s3: S3 | None
    most_connections: tuple[int, int]  # in all, and of one caller
