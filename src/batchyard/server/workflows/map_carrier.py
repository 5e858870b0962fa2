"""Takes the effects by which distributed Maps read items and write results, and carries them out beside the loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from batchyard.api.context import Context
from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import Execution, Frame, FramePhase
from batchyard.loop import Loop, Stopped
from batchyard.server.workflows.map_objects import MapObjects, MapObjectsFailed
from batchyard.store.execution_queries import ExecutionFilter
from batchyard.store.queries import Reader
from batchyard.workflows.commands import ItemsRead, ReadItems, ResultsWritten, WriteResults

MAP_EFFECTS = (ReadItems, WriteResults)
CHILDREN_PER_PAGE = 1_000
INCLUDED = {"Included": True}


class MapCarrier:
    """`carry_out` from the loop; `run` once, for as long as the service runs."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._due: asyncio.Queue[Effect] = asyncio.Queue()

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Takes effects; the handler of all types of MAP_EFFECTS."""
        for effect in effects:
            self._due.put_nowait(effect)

    async def run(self, context: Context, objects: MapObjects) -> None:
        """Carries out what was taken, also before. Cancelled, it drops what is under way: what was not reported is
        carried out again after the next start."""
        async with asyncio.TaskGroup() as running:
            while True:
                effect = await self._due.get()
                if isinstance(effect, ReadItems):
                    running.create_task(self._read(objects, effect))
                else:
                    assert isinstance(effect, WriteResults), f"nothing carries out {effect!r}"
                    running.create_task(self._write(context, objects, effect))

    async def _read(self, objects: MapObjects, effect: ReadItems) -> None:
        place: dict[str, Any] = _place(effect)
        try:
            report = ItemsRead(**place, items=await objects.read(effect.reader))
        except MapObjectsFailed as failure:
            report = ItemsRead(**place, error=failure.error, cause=str(failure))
        self._report(report)

    async def _write(self, context: Context, objects: MapObjects, effect: WriteResults) -> None:
        place: dict[str, Any] = _place(effect)
        results = await context.read(results_of, context.reader, effect)
        try:
            output = await objects.write(effect.writer, effect.map_run_arn, results)
        except MapObjectsFailed as failure:
            self._report(ResultsWritten(**place, error=failure.error, cause=str(failure)))
        else:
            self._report(ResultsWritten(**place, output=output))

    def _report(self, report: ItemsRead | ResultsWritten) -> None:
        with contextlib.suppress(Stopped):  # the service ends, and does this again after the next start
            self._loop.report(report)


def _place(effect: ReadItems | WriteResults) -> dict[str, int]:
    return {"execution_key": effect.execution_key, "frame_id": effect.frame_id, "event_id": effect.event_id}


def results_of(reader: Reader, effect: WriteResults) -> list[dict[str, Any]]:
    """Returns the children of a map run in the order of their items, as files of results have them. Children of the
    type EXPRESS are not stored: of them there is what their parent has kept."""
    children: list[Execution] = []
    cursor: str | None = None
    wanted = ExecutionFilter(effect.map_run_arn)
    while True:
        page, cursor = reader.executions(wanted, CHILDREN_PER_PAGE, cursor)
        for listed in page:
            found = reader.execution(listed.arn)
            assert found is not None, "it was listed"
            children.append(found)
        if cursor is None:
            break
    if children:
        return [_child(one) for one in sorted(children, key=lambda one: one.map_index)]
    frames, _ = reader.execution_state(effect.execution_key)
    own = [one for one in frames if one.parent == effect.frame_id and one.phase is FramePhase.ENDED]
    return [_kept(one) for one in sorted(own, key=lambda one: one.place)]


def _child(execution: Execution) -> dict[str, Any]:
    document: dict[str, Any] = {
        "ExecutionArn": execution.arn,
        "Input": execution.input,
        "InputDetails": INCLUDED,
        "Name": execution.name,
        "RedriveCount": execution.redrive_count,
        "StartDate": _date(execution.started_at_ms),
        "StateMachineArn": execution.machine_arn,
        "Status": execution.status.value,
    }
    if execution.stopped_at_ms:
        document["StopDate"] = _date(execution.stopped_at_ms)
    return document | _outcome(execution.output, execution.error, execution.cause)


def _kept(frame: Frame) -> dict[str, Any]:
    status = "FAILED" if frame.is_failed else "SUCCEEDED"
    return {"Status": status} | _outcome(frame.output, frame.error, frame.cause)


def _outcome(output: str | None, error: str | None, cause: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {} if output is None else {"Output": output, "OutputDetails": INCLUDED}
    return found | {name: text for name, text in (("Error", error), ("Cause", cause)) if text is not None}


def _date(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
