"""Commands about hosts that join an environment."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.commands import Command
from batchyard.core.model.host_records import HostFacts, JoinedHost, JoinToken
from batchyard.core.model.records import Instance
from batchyard.core.model.resources import Resources


class CreateJoinToken(Command[JoinToken], frozen=True):
    """Lets one host join an environment within `valid_ms`."""

    environment: str
    token_id: str
    digest: str
    valid_ms: int


class JoinHost(Command[Instance], frozen=True):
    """Uses up a token: the host is an instance of the token's environment from now on. A repetition with the same key
    has the same answer: the host may have missed the first one."""

    token_id: str
    digest: str
    key_digest: str
    facts: HostFacts


class ConnectHost(Command[Instance], frozen=True):
    """A host that has joined before proves itself with its key, and says what it has now."""

    instance_id: str
    key_digest: str
    facts: HostFacts


class DrainHost(Command[Instance], frozen=True):
    """The host takes no more jobs, or (`undo`) takes jobs again; those on it run on. `host`: its name or id."""

    host: str
    undo: bool = False


class ForgetHost(Command[Instance], frozen=True):
    """The host's jobs are stopped, and it leaves once they have ended. `host`: as DrainHost's."""

    host: str


class HostView(Struct, frozen=True):
    """`instance`: with its state; `free`: what jobs can still take of it."""

    host: JoinedHost
    instance: Instance
    free: Resources
    jobs_count: int


class AskHosts(Command[tuple[HostView, ...]], frozen=True):
    """Asks for the hosts that have joined, by environment and name."""
