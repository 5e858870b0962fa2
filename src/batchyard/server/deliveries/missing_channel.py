"""Gives up messages that nothing sends yet, so that they are listed as failed."""

from __future__ import annotations

from batchyard.core.model.deliveries import Message
from batchyard.server.deliveries.sender import Outcome


class MissingChannel:
    """A channel (server.deliveries.sender) of which nothing arrives."""

    async def send(self, message: Message) -> Outcome:
        return Outcome("NO_RESOURCE", f"{message.channel} targets are not served by this version.", is_final=True)
