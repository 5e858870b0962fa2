"""What a joined host keeps on its disk: who it is, and its lease. Beside it is the journal of its supervisor; the two
belong together: a host without its key is another one, and has never run anything."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

FILE = "host.json"
LEASE_FILE = "lease.json"


class HostIdentity(Struct, frozen=True, omit_defaults=True):
    """`instance_id`: empty until it has joined. `fingerprint`: of the server's certificate. `epoch`: of the last server
    that was obeyed. `proxy_port`: where jobs reach the service."""

    instance_id: str
    key: str
    fingerprint: str
    epoch: int = 0
    proxy_port: int = 0


class _StoredLease(Struct, frozen=True):
    boot_id: str
    until_ms: int


class HostState:
    """`directory`: of one host and no other; it is made where it does not exist."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self) -> HostIdentity | None:
        """Returns who this host is; None: it has not joined yet. OSError, msgspec.MsgspecError: it can't be read."""
        try:
            return msgspec.json.decode((self.directory / FILE).read_bytes(), type=HostIdentity)
        except FileNotFoundError:
            return None

    def write(self, identity: HostIdentity) -> None:
        self._replace(FILE, msgspec.json.encode(identity), is_durable=True)

    def forget(self) -> None:
        """Forgets who this host is: the server has let it go."""
        (self.directory / FILE).unlink(missing_ok=True)

    def lease(self, boot_id: str) -> int:
        """Returns until when the last lease of this boot lasts; 0: there was none."""
        try:
            stored = msgspec.json.decode((self.directory / LEASE_FILE).read_bytes(), type=_StoredLease)
        except (OSError, msgspec.MsgspecError):  # a lease that can't be read counts as over
            return 0
        return stored.until_ms if stored.boot_id == boot_id else 0

    def write_lease(self, boot_id: str, until_ms: int) -> None:
        """Keeps a lease for an agent that takes over within this boot: it need not survive the machine."""
        self._replace(LEASE_FILE, msgspec.json.encode(_StoredLease(boot_id, until_ms)), is_durable=False)

    def _replace(self, name: str, data: bytes, *, is_durable: bool) -> None:
        temporary = self.directory / f"{name}.new"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, data)
            if is_durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        temporary.rename(self.directory / name)
