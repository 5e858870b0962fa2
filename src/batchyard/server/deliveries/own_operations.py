"""Performs operations of this service for rules and schedules: what a Batch job queue or a state machine is sent as a
target, and what a schedule's universal target names (observability spec 5.4, 7.3)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from uuid import NAMESPACE_URL, uuid5

from msgspec import convert, json

from batchyard.api import operations
from batchyard.api.context import Call, Context
from batchyard.api.services import SERVICES
from batchyard.core.model.deliveries import Message
from batchyard.core.model.refusal import Refused
from batchyard.events.target_kinds import BatchTarget, StateMachineTarget
from batchyard.loop import Busy, Stopped
from batchyard.schedules.target_kinds import OperationTarget
from batchyard.server.deliveries.sender import ARRIVED, Outcome
from batchyard.server.http.disk_guard import SUBMISSIONS, FreeSpace
from batchyard.wire.bodies import BodyReader
from batchyard.wire.documents import DocumentError
from batchyard.wire.messages import Document
from batchyard.wire.model import Shape
from batchyard.wire.pascal_case import with_model_names

SUBMIT, START = ("batch", "SubmitJob"), ("states", "StartExecution")
# What the input of a Batch job queue may say of the job; the rest of an event is no part of a request.
OF_THE_INPUT = (
    "Parameters", "ContainerOverrides", "NodeOverrides", "EcsPropertiesOverride", "EksPropertiesOverride", "Timeout",
    "DependsOn", "Tags", "PropagateTags", "ShareIdentifier", "SchedulingPriorityOverride",
    "ConsumableResourcePropertiesOverride",
)  # fmt: skip
REPEATED = ("ServerException", "ServiceException", "TooManyRequestsException", "InternalError", "Throttled")
MISSING = ("ResourceNotFoundException", "NotFound", "NotFoundException", "StateMachineDoesNotExist")
STARTED = "ExecutionAlreadyExists"  # an earlier try of the message has started it


class BatchChannel:
    """A channel (server.deliveries.sender): each message submits one job. Its id follows from the message's token, so
    that a message that is sent again after a crash finds its job."""

    def __init__(self, context: Context, space: FreeSpace) -> None:
        self._operations = OwnOperations(context, space)

    async def send(self, message: Message) -> Outcome:
        target = convert(message.target, BatchTarget)
        try:
            given = _object_of(message.body)
        except ValueError:
            given = {}
        document: Document = {name: given[name] for name in OF_THE_INPUT if name in given}
        document |= {"JobQueue": target.queue, "JobDefinition": target.definition, "JobName": target.name}
        if target.array_size:
            document["ArrayProperties"] = {"Size": target.array_size}
        if target.attempts:
            document["RetryStrategy"] = {"Attempts": target.attempts}
        return await self._operations.perform(SUBMIT, document, message)


class StateMachineChannel:
    """A channel (server.deliveries.sender): each message starts one execution of a STANDARD state machine. Its name
    follows from the message's token, so that a message that is sent again after a crash finds its execution."""

    def __init__(self, context: Context, space: FreeSpace) -> None:
        self._operations = OwnOperations(context, space)

    async def send(self, message: Message) -> Outcome:
        target = convert(message.target, StateMachineTarget)
        name = str(uuid5(NAMESPACE_URL, message.token))
        document: Document = {"StateMachineArn": target.arn, "Name": name, "Input": message.body}
        return await self._operations.perform(START, document, message)


class OperationChannel:
    """A channel (server.deliveries.sender): each message is a request of the operation that its target names."""

    def __init__(self, context: Context, space: FreeSpace) -> None:
        self._operations = OwnOperations(context, space)

    async def send(self, message: Message) -> Outcome:
        target = convert(message.target, OperationTarget)
        try:
            document = _object_of(message.body)
        except ValueError as error:
            return Outcome("INVALID_JSON", f"The input is no JSON object: {error}.", is_final=True)
        return await self._operations.perform((target.service, target.operation), document, message)


class OwnOperations:
    """Performs requests whose members are written as EventBridge and Scheduler write them (`JobName`)."""

    def __init__(self, context: Context, space: FreeSpace) -> None:
        self._context, self._space = context, space

    async def perform(self, operation: tuple[str, str], document: Document, message: Message) -> Outcome:
        service, name = operation
        numbers = itertools.count()
        context = replace(self._context, new_uuid=lambda: str(uuid5(NAMESPACE_URL, f"{message.token}/{next(numbers)}")))
        call = Call(name, principal=message.lane, caller=message.lane)
        try:
            if operation in SUBMISSIONS:
                if operation == SUBMIT and await self._is_submitted(message.token):
                    return ARRIVED
                self._space.check()
            if operation == START:
                self._space.check("no new executions")
            request = _reader(operation).read(json.encode(with_model_names(_shape(operation), document)))
            await operations.perform(context, SERVICES[service], name, call, request)
        except (Busy, Stopped):
            return Outcome("THROTTLING", "The service has too much to do.")
        except DocumentError as fault:
            return Outcome("INVALID_PARAMETER", fault.message, is_final=True)
        except Refused as refusal:
            if operation == START and refusal.code == STARTED:
                return ARRIVED
            code = "NO_RESOURCE" if refusal.code in MISSING else "INVALID_PARAMETER"
            if refusal.code in REPEATED:
                return Outcome("THROTTLING", refusal.message)
            return Outcome(code, f"{name}: {refusal.code}: {refusal.message}", is_final=True)
        return ARRIVED

    async def _is_submitted(self, token: str) -> bool:
        """Whether a message has its job already: its id is no other's, and one task at a time sends it."""
        job_id = str(uuid5(NAMESPACE_URL, f"{token}/0"))
        return bool(await self._context.read(self._context.reader.jobs, [job_id]))


def _object_of(body: str) -> Document:
    """Raises ValueError where it is no JSON object."""
    found = json.decode(body)
    if not isinstance(found, dict):
        raise ValueError("it is another JSON value")
    return found


def _shape(operation: tuple[str, str]) -> Shape:
    service, name = operation
    shape = SERVICES[service].model.operations[name].input
    assert shape is not None, f"{service}.{name} takes nothing"
    return shape


@cache
def _reader(operation: tuple[str, str]) -> BodyReader:
    return BodyReader(_shape(operation))
