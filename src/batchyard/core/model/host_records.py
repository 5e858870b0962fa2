"""The records of hosts that join: tokens that let them in, and what is known of each beside its Instance."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.resources import Resources


class HostFacts(Struct, frozen=True, omit_defaults=True):
    """What a host says of itself. `resources`: what jobs may use; `boot_id`: of its current boot."""

    name: str
    resources: Resources
    boot_id: str = ""
    version: str = ""
    gpu_ids: tuple[int, ...] = ()
    gpu_names: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    address: str = ""


class JoinToken(Struct, frozen=True):
    """Lets one host into an environment, once. `digest`: of its secret, which is nowhere kept."""

    token_id: str
    environment: str
    digest: str
    expires_at_ms: int


class JoinedHost(Struct, frozen=True, omit_defaults=True):
    """A host that has joined, by the id of its instance. `key_digest`: of the key that it proves itself with.
    `is_draining`: it takes no more jobs; `is_leaving`: it is forgotten once nothing runs on it."""

    instance_id: str
    environment: str
    key_digest: str
    facts: HostFacts
    joined_at_ms: int
    connected_at_ms: int = 0  # when it last connected
    is_draining: bool = False
    is_leaving: bool = False
