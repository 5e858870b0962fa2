"""The commands that a server gives its machine before the first request."""

from __future__ import annotations

import asyncio

from batchyard.core.model.commands import SetHost
from batchyard.core.model.records import Instance
from batchyard.core.state.check import assert_consistent
from batchyard.server.assembly import Assembly
from batchyard.server.operations_context import instance_id
from batchyard.server.parts import Parts
from batchyard.server.settings.host import Detected
from batchyard.server.stored_machines import blames_the_store


async def give_first_commands(parts: Parts, assembly: Assembly, host: Detected) -> None:
    """Gives the machine this host, its engines, and the environments that must exist. On the very first start all of
    it is one commit. Then the world is checked, where the settings require it."""
    instance = Instance(instance_id(parts.secret), host.resources, host.gpu_ids, launched_at_ms=host.booted_at_ms)
    engines = assembly.engines
    commands = [SetHost(instance, engines.abilities()), *engines.begin()]
    await asyncio.gather(*(assembly.loop.ask(command) for command in commands))
    if parts.settings.check_on_start:
        with blames_the_store(parts.writer):
            assert_consistent(assembly.machine.world)
