"""Admits hosts: by a token the first time, by their keys afterwards. An admission is committed before its answer."""

from __future__ import annotations

import hmac

from batchyard.api.context import Ask
from batchyard.core.model.commands import Command
from batchyard.core.model.host_commands import ConnectHost, JoinHost
from batchyard.core.model.records import JOINED_PROVIDER, Instance
from batchyard.core.model.refusal import Refused
from batchyard.core.state.world import World
from batchyard.engines.remote.listener import JoinRefused
from batchyard.engines.remote.messages import Join
from batchyard.loop import Busy, Stopped
from batchyard.server.hosts.tokens import TokenError, digest_of, parse_token, token_of_instance

MINORS_APART = 1  # versions of server and host may be so many minor versions apart


class HostAdmission:
    """Implements `engines.remote.listener.Admission`. `world`: for the keys of hosts, read in the loop's own thread;
    `secret`: of the data directory."""

    def __init__(self, ask: Ask, world: World, secret: bytes, version: str) -> None:
        self._ask = ask
        self._world = world
        self._secret = secret
        self._version = version

    async def admit(self, join: Join) -> str:
        problem = skew_problem(self._version, join.host.version)
        if problem:
            raise JoinRefused(problem)
        instance = self._world.instances.get(join.instance_id)
        if instance is not None and instance.environment and instance.provider != JOINED_PROVIDER:
            return self._admit_named(join)
        if join.token:
            try:
                token = parse_token(join.token)
            except TokenError as error:
                raise JoinRefused(str(error)) from error
            command: Command[Instance] = JoinHost(
                token.token_id, digest_of(token.secret), digest_of(join.key), join.host
            )
        else:
            command = ConnectHost(join.instance_id, digest_of(join.key), join.host)
        try:
            return (await self._ask(command)).instance_id
        except Refused as refused:
            raise JoinRefused(str(refused)) from refused
        except (Busy, Stopped) as error:
            raise JoinRefused("The server is busy, or ends.", is_final=False) from error

    def _admit_named(self, join: Join) -> str:
        """Admits a host that was an instance before it joined, such as a pilot: its key follows from its id."""
        if not self._has_named_key(join.instance_id, join.key):
            raise JoinRefused(f"This is not the key of the instance {join.instance_id}.")
        return join.instance_id

    def _has_named_key(self, instance_id: str, key: str) -> bool:
        expected = token_of_instance(instance_id, self._secret, "").secret
        return hmac.compare_digest(expected.encode(), key.encode())

    def has_key(self, instance_id: str, key: str) -> bool:
        host, instance = self._world.hosts.get(instance_id), self._world.instances.get(instance_id)
        if host is not None:
            return host.key_digest == digest_of(key)
        return instance is not None and bool(instance.environment) and self._has_named_key(instance_id, key)


def skew_problem(server: str, host: str) -> str:
    """Returns why a host of this version can't join a server of that one; empty when it can."""
    ours, theirs = _minor(server), _minor(host)
    if ours is None or theirs is None or (ours[0] == theirs[0] and abs(ours[1] - theirs[1]) <= MINORS_APART):
        return ""
    return (
        f"This host has batchyard {host}, and the server {server}: they may be one minor version apart. Install "
        f"batchyard {server} on the host."
    )


def _minor(version: str) -> tuple[int, int] | None:
    parts = version.split(".")
    if len(parts) < 2 or not (parts[0].isdigit() and parts[1].isdigit()):
        return None
    return int(parts[0]), int(parts[1])
