"""Calls that an execution no longer waits for, kept until what they began has been ended."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.documents import register
from batchyard.workflows.commands import AbandonCall
from batchyard.workflows.resources import parse_resource


class AbandonedCall(Struct, frozen=True):
    """`target`: the job or execution that the call began."""

    key: str
    resource_arn: str
    target: str

    @property
    def effect(self) -> AbandonCall:
        return AbandonCall(key=self.key, resource=parse_resource(self.resource_arn), target=self.target)


ABANDONED_CALL = register("abandoned-call", AbandonedCall)
