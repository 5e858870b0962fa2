"""Carries out the calls of executions: each is one of our own operations, performed in process (step functions spec 13,
14).

What a call changes and the step of its execution are one transaction, so that a crash repeats neither. It is asked in
that transaction whether the execution still waits for the call: one that was stopped or timed out begins nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from batchyard.api import operations
from batchyard.api.context import Call, Context
from batchyard.api.integration_calls import request_id_of
from batchyard.api.integrations import (
    RUNTIME,
    CallError,
    Integration,
    argument_faults,
    error_of,
    find_integration,
    is_http,
    not_recognized,
    output_of,
    read_arguments,
)
from batchyard.api.services import SERVICES
from batchyard.core.model.refusal import Refused
from batchyard.loop import Busy, Loop, Stopped, Withdrawn
from batchyard.server.http.disk_guard import FreeSpace
from batchyard.server.workflows import continued_operation
from batchyard.server.workflows.continued_operation import BUSY_SECONDS, UNEXPECTED, ContinuedOperation, Outcome
from batchyard.server.workflows.http_calls import HttpCalls
from batchyard.server.workflows.managed_jobs import with_managed_environment
from batchyard.wire.messages import Document
from batchyard.workflows.commands import SUBMIT, CallAnswered, CallIntegration
from batchyard.workflows.resources import SYNC, SYNC_2

# They wait for others, up to minutes: they are not bounded as the other calls are, which such a call may wait for.
WAITING = frozenset({("states", "GetActivityTask"), ("states", "StartSyncExecution")})
SUBMIT_JOB, PUT_EVENTS = ("batch", "SubmitJob"), ("events", "PutEvents")
SPACE_SECONDS = 1.0  # between looks at a disk that is full
THROTTLED = "TooManyRequestsException"  # of queries that wait for threads
MAX_TRIES = 6
FIRST_PAUSE_SECONDS = 0.1  # doubled for each further try: 3 s in all, as long as the SDKs take about

logger = logging.getLogger("batchyard.workflows")
DefinitionOf = Callable[[str], Document | None]  # of a job definition's name or ARN, the document of an ACTIVE revision


class IntegrationCalls:
    """Calls integrations. `is_calling`: whether an execution still waits for a call; `space`: of the disk."""

    def __init__(
        self,
        loop: Loop,
        context: Context,
        space: FreeSpace,
        http: HttpCalls,
        definition_of: DefinitionOf,
        is_calling: Callable[[CallIntegration], bool],
    ) -> None:
        self._loop, self._context, self._space, self._http = loop, context, space, http
        self._definition_of, self._is_calling = definition_of, is_calling

    async def call(self, effect: CallIntegration) -> None:
        """Carries out one call, and reports its answer. A fault of ours fails the call: it would come again after each
        start."""
        try:
            await self._call(effect)
        except (Stopped, Withdrawn):
            raise
        except Exception:
            logger.exception("the call %s failed", effect.key)
            self._loop.report(answered(effect, CallError("States.TaskFailed", UNEXPECTED)))

    async def _call(self, effect: CallIntegration) -> None:
        if is_http(effect.resource):
            await self._invoke(effect)
            return
        integration = find_integration(effect.resource)
        if integration is None:
            self._loop.report(answered(effect, CallError("States.TaskFailed", not_recognized(effect.resource))))
            return
        request, faults = read_arguments(integration, effect.arguments)
        if faults:  # definitions and arguments were checked; this is for what was accepted by an earlier version
            self._loop.report(answered(effect, CallError(RUNTIME, ", ".join(faults))))
            return
        operation = integration.service, integration.operation
        if operation in WAITING:
            await self._wait_for(effect, integration, request)
            return
        await self._perform(effect, integration, self._completed(effect, integration, request))

    async def _invoke(self, effect: CallIntegration) -> None:
        faults = argument_faults(effect.resource, effect.arguments)
        output = CallError(RUNTIME, faults) if faults else await self._http.invoke(effect.arguments)
        self._loop.report(answered(effect, output))

    def is_bounded(self, effect: CallIntegration) -> bool:
        """Whether the call waits for nothing but the service itself."""
        if is_http(effect.resource):
            return False
        found = find_integration(effect.resource)
        return found is None or (found.service, found.operation) not in WAITING

    def _completed(self, effect: CallIntegration, integration: Integration, request: Document) -> Document:
        """Returns a request with what Step Functions adds."""
        operation = integration.service, integration.operation
        if operation == SUBMIT_JOB and effect.resource.pattern in (SYNC, SYNC_2):
            definition = self._definition_of(request["jobDefinition"])
            return request if definition is None else with_managed_environment(request, definition)
        if operation == PUT_EVENTS and integration.optimised is not None:
            own = [effect.machine_arn, effect.execution_arn]
            entries = [entry | {"Resources": [*entry.get("Resources", []), *own]} for entry in request["Entries"]]
            return request | {"Entries": entries}
        return request

    async def _perform(self, effect: CallIntegration, integration: Integration, request: Document) -> None:
        pauses = _pauses()
        while self._is_calling(effect):
            if (integration.service, integration.operation) == SUBMIT_JOB and not self._has_space():
                await asyncio.sleep(SPACE_SECONDS)
                continue
            pause = next(pauses, None)
            if await self._try(effect, integration, request, is_last=pause is None):
                return
            await asyncio.sleep(pause or 0.0)

    def _has_space(self) -> bool:
        try:
            self._space.check()
        except Refused:
            return False
        return True

    async def _try(self, effect: CallIntegration, integration: Integration, request: Document, is_last: bool) -> bool:
        """Performs the operation once. Returns whether its outcome was reported."""
        is_throttled = False

        def make_report(outcome: Outcome) -> CallAnswered | None:
            nonlocal is_throttled
            refusal = outcome.refusal
            is_throttled = refusal is not None and refusal.code == THROTTLED and not is_last
            return None if is_throttled else answer_of(effect, integration, outcome)

        made = self._operation(effect, integration, request, continued_operation.ask)
        operation = ContinuedOperation(made, make_report, lambda: self._is_calling(effect))
        report = await operation.run(self._loop)
        if report is not None:
            self._loop.report(report)
        return not is_throttled

    async def _wait_for(self, effect: CallIntegration, integration: Integration, request: Document) -> None:
        async def ask(command: Any) -> Any:
            while True:
                try:
                    return await self._loop.ask(command, only_if=lambda: self._is_calling(effect))
                except Busy:
                    await asyncio.sleep(BUSY_SECONDS)

        try:
            outcome = Outcome(document=await self._operation(effect, integration, request, ask))
        except Refused as refusal:
            outcome = Outcome(refusal=refusal)
        self._loop.report(answer_of(effect, integration, outcome))

    def _operation(
        self, effect: CallIntegration, integration: Integration, request: Document, ask: Any
    ) -> Coroutine[Any, Any, Document]:
        numbers = itertools.count()
        context = replace(
            self._context, ask=ask, new_uuid=lambda: str(uuid5(NAMESPACE_URL, f"{effect.key}/{next(numbers)}"))
        )
        call = Call(
            integration.operation,
            principal=effect.machine_role_arn,
            caller=effect.machine_arn,
            size_bytes=len(json.dumps(effect.arguments, separators=(",", ":"))),
        )
        return operations.perform(context, SERVICES[integration.service], integration.operation, call, request)


def _pauses() -> Iterator[float]:
    for number in range(MAX_TRIES - 1):
        yield FIRST_PAUSE_SECONDS * 2**number


def answer_of(effect: CallIntegration, integration: Integration, outcome: Outcome) -> CallAnswered:
    request_id, refusal = request_id_of(effect.key), outcome.refusal
    if refusal is not None:
        return answered(effect, error_of(integration, refusal.code, refusal.message, request_id))
    return answered(effect, output_of(integration, outcome.document, request_id))


def answered(effect: CallIntegration, output: Any | CallError) -> CallAnswered:
    """Returns the report of a call's output or error."""
    error = output if isinstance(output, CallError) else None
    stage = SUBMIT if error is not None and effect.resource.pattern and error.error != RUNTIME else ""
    return CallAnswered(
        execution_key=effect.execution_key,
        frame_id=effect.frame_id,
        event_id=effect.event_id,
        output=output if error is None else None,
        error=error.error if error is not None else None,
        cause=error.cause if error is not None else None,
        stage=stage,
    )
