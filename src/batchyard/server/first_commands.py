"""The commands that a server gives its machine before the first request."""

from __future__ import annotations

import asyncio
from typing import Any

from batchyard.core.model.commands import Command, SetHost
from batchyard.core.model.records import JOINED_PROVIDER, Instance
from batchyard.core.model.resources import Resources
from batchyard.core.state.check import assert_consistent
from batchyard.server.assembly import Assembly
from batchyard.server.operations_context import instance_id
from batchyard.server.parts import Parts
from batchyard.server.settings.host import Detected
from batchyard.server.stored_machines import blames_the_store

# Of the provider of joined hosts, which has nothing itself: its instances bring what they have.
JOINED_MACHINE = "i-00000000000000000"


async def give_first_commands(parts: Parts, assembly: Assembly, host: Detected) -> None:
    """Gives the machine this host, its engines, and the environments that must exist. On the very first start all of
    it is one commit. Then the world is checked, where the settings require it."""
    instance = Instance(instance_id(parts.secret), host.resources, host.gpu_ids, launched_at_ms=host.booted_at_ms)
    engines = assembly.engines
    abilities = engines.abilities()
    commands: list[Command[Any]] = [SetHost(instance, abilities)]
    if parts.hosts is not None:
        nothing = Instance(JOINED_MACHINE, Resources(), provider=JOINED_PROVIDER)
        commands.append(SetHost(nothing, abilities, JOINED_PROVIDER))
    commands += engines.begin()
    await asyncio.gather(*(assembly.loop.ask(command) for command in commands))
    if parts.settings.check_on_start:
        with blames_the_store(parts.writer):
            assert_consistent(assembly.machine.world)
