"""Everything that carries out effects of the machine of Step Functions, as one part of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from batchyard.api.context import Context
from batchyard.core.jobs.submission import active_definition
from batchyard.core.machine import Machine
from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import Execution
from batchyard.core.model.names import split_definition
from batchyard.loop import Loop
from batchyard.server.deliveries.http_client import HttpClient
from batchyard.server.http.disk_guard import FreeSpace
from batchyard.server.workflows.calls import IntegrationCalls
from batchyard.server.workflows.carrier import HANDLED, Carrier
from batchyard.server.workflows.history_logs import HistoryLogs
from batchyard.server.workflows.http_calls import HttpCalls
from batchyard.store.logs.log_writer import LogWriter
from batchyard.wire.messages import Document
from batchyard.workflows.commands import CallIntegration, LogHistory
from batchyard.workflows.machine import WorkflowsMachine


class WorkflowEffects:
    """`jobs` and `executions`: the machines. `run` once, for as long as the service runs."""

    def __init__(self, loop: Loop, jobs: Machine, executions: WorkflowsMachine, log_writer: LogWriter) -> None:
        self._loop, self._jobs, self._executions = loop, jobs, executions
        self._carrier, self._logs = Carrier(loop), HistoryLogs(log_writer)

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Takes effects of one type; the handler of those of `handlers`."""
        (self._logs if isinstance(effects[0], LogHistory) else self._carrier).carry_out(effects)

    async def run(self, context: Context, space: FreeSpace, http: HttpClient) -> None:
        """Carries out what was taken, also before. Cancelled, it drops what is under way."""

        async def execution_of(arn: str) -> Execution | None:
            return await context.read(context.reader.execution, arn)

        http_calls = HttpCalls(http, context.cipher, self._loop.ask, context.account.region)
        calls = IntegrationCalls(self._loop, context, space, http_calls, self._definition, self._is_calling)
        async with asyncio.TaskGroup() as running:
            running.create_task(self._carrier.run(context, calls, execution_of))
            running.create_task(self._logs.run())

    def _definition(self, text: str) -> Document | None:
        found = active_definition(self._jobs.world, *split_definition(text))
        return None if found is None else found.document

    def _is_calling(self, effect: CallIntegration) -> bool:
        return self._executions.is_calling(effect.execution_key, effect.frame_id, effect.event_id)


def handlers(effects: Callable[[], WorkflowEffects]) -> Mapping[type[Effect], Callable[[Sequence[Effect]], None]]:
    """Returns the handlers of all effects that are carried out here. `effects`: is asked when the first comes."""
    return dict.fromkeys((*HANDLED, LogHistory), lambda found: effects().carry_out(found))
