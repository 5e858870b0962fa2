"""Everything that carries out effects of the machine of Step Functions, as one part of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from batchyard.api.context import Context
from batchyard.clock import wall_clock_ms
from batchyard.core.jobs.submission import active_definition
from batchyard.core.machine import Machine
from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import Execution
from batchyard.core.model.names import split_definition
from batchyard.loop import Loop
from batchyard.server.deliveries.http_client import HttpClient
from batchyard.server.http.disk_guard import FreeSpace
from batchyard.server.settings.s3 import S3
from batchyard.server.workflows.calls import IntegrationCalls
from batchyard.server.workflows.carrier import HANDLED, Carrier
from batchyard.server.workflows.history_logs import HistoryLogs
from batchyard.server.workflows.http_calls import HttpCalls
from batchyard.server.workflows.map_carrier import MAP_EFFECTS, MapCarrier
from batchyard.server.workflows.map_objects import MapObjects
from batchyard.server.workflows.object_storage import ObjectStorage
from batchyard.store.logs.log_writer import LogWriter
from batchyard.wire.messages import Document
from batchyard.workflows.commands import CallIntegration, LogHistory
from batchyard.workflows.machine import WorkflowsMachine


class WorkflowEffects:
    """`jobs` and `executions`: the machines; `s3`: the owner's, None: there is none. `run` once, for as long as the
    service runs."""

    def __init__(
        self, loop: Loop, jobs: Machine, executions: WorkflowsMachine, log_writer: LogWriter, s3: S3 | None = None
    ) -> None:
        self._loop, self._jobs, self._executions, self._s3 = loop, jobs, executions, s3
        self._carrier, self._logs, self._maps = Carrier(loop), HistoryLogs(log_writer), MapCarrier(loop)

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Takes effects of one type; the handler of those of `handlers`."""
        if isinstance(effects[0], LogHistory):
            self._logs.carry_out(effects)
        else:
            (self._maps if isinstance(effects[0], MAP_EFFECTS) else self._carrier).carry_out(effects)

    async def run(self, context: Context, space: FreeSpace, http: HttpClient) -> None:
        """Carries out what was taken, also before. Cancelled, it drops what is under way."""

        async def execution_of(arn: str) -> Execution | None:
            return await context.read(context.reader.execution, arn)

        http_calls = HttpCalls(http, context.cipher, self._loop.ask, context.account.region)
        context.http_tasks.send = http_calls.exchange
        calls = IntegrationCalls(self._loop, context, space, http_calls, self._definition, self._is_calling)
        s3_client = HttpClient((), lambda: False)  # the owner has named the only address it sends to
        storage = None
        if self._s3 is not None:
            storage = ObjectStorage(self._s3, context.account.region, s3_client, wall_clock_ms)
        try:
            async with asyncio.TaskGroup() as running:
                running.create_task(self._carrier.run(context, calls, execution_of))
                running.create_task(self._logs.run())
                running.create_task(self._maps.run(context, MapObjects(storage)))
        finally:
            await s3_client.close()

    def _definition(self, text: str) -> Document | None:
        found = active_definition(self._jobs.world, *split_definition(text))
        return None if found is None else found.document

    def _is_calling(self, effect: CallIntegration) -> bool:
        return self._executions.is_calling(effect.execution_key, effect.frame_id, effect.event_id)


def handlers(effects: Callable[[], WorkflowEffects]) -> Mapping[type[Effect], Callable[[Sequence[Effect]], None]]:
    """Returns the handlers of all effects that are carried out here. `effects`: is asked when the first comes."""
    return dict.fromkeys((*HANDLED, *MAP_EFFECTS, LogHistory), lambda found: effects().carry_out(found))
