"""The commands about consumable resources: writes of the API and questions, with the types of their answers."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.commands import Command
from batchyard.core.model.consumable_records import ConsumableResource, ConsumableType


class ConsumableState(Struct, frozen=True):
    """A consumable resource as it is now. `in_use`: what placed attempts hold, and ended ones consumed."""

    resource: ConsumableResource
    in_use: int

    @property
    def available(self) -> int:
        """What jobs may take now. The total can be lowered below what is in use."""
        return max(0, self.resource.total - self.in_use)


class CreateConsumableResource(Command[None], frozen=True):
    name: str
    type: ConsumableType
    total: int
    tags: dict[str, str]


class UpdateConsumableResource(Command[ConsumableState], frozen=True):
    """`operation`: SET, ADD or REMOVE `quantity`; empty: only the total is asked for."""

    name: str
    operation: str = ""
    quantity: int = 0
    client_token: str = ""


class DeleteConsumableResource(Command[None], frozen=True):
    name: str


class AskConsumableResource(Command[ConsumableState], frozen=True):
    name: str


class AskConsumableResources(Command[tuple[ConsumableState, ...]], frozen=True):
    """Asks for resources by name, after one and up to so many. `prefix`, in lower case, is that of a whole name, or of
    its beginning where `is_prefix`; empty: all."""

    after: str = ""
    limit: int = 0
    prefix: str = ""
    is_prefix: bool = True


class ConsumableJob(Struct, frozen=True):
    """An unfinished submission that takes a consumable resource, and how much of it."""

    key: int
    job_id: str
    quantity: int


class AskConsumableJobs(Command[tuple[ConsumableJob, ...]], frozen=True):
    """Asks for the unfinished submissions that take a resource, oldest first, with keys above `after`."""

    name: str
    after: int = 0
