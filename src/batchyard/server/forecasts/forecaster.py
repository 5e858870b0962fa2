"""Asks a worker process about the future of jobs."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence

import msgspec

from batchyard.analysis.forecasts import Forecasts
from batchyard.api.context import Ask
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.core.questions.inventory import AskHosts
from batchyard.server.forecasts.worker import Question
from batchyard.server.parts import Parts
from batchyard.server.stored_machines import limits_of

SECONDS = 1.5  # of futures: some hundred of them where a thousand jobs are unfinished
MOST_SECONDS = 120.0  # with a hundred thousand unfinished jobs the state alone takes some to load
MAX_WAITING = 8  # questions in line: each takes a processor for a second or two
WORKER = "batchyard.server.forecasts.worker"


class Forecaster:
    """One question at a time."""

    def __init__(self, parts: Parts, ask: Ask, now_ms: Callable[[], int]) -> None:
        self._parts, self._ask, self._now_ms = parts, ask, now_ms
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def __call__(self, job_ids: Sequence[str]) -> Forecasts:
        """Forecasts the starts of jobs. Raises Refused when there are too many questions."""
        if self._waiting >= MAX_WAITING:
            raise Refused(f"{MAX_WAITING} forecasts are being made: ask again in some seconds.", "ServerException")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._answer(job_ids)
        finally:
            self._waiting -= 1

    async def _answer(self, job_ids: Sequence[str]) -> Forecasts:
        settings = self._parts.settings
        question = Question(
            store_url=self._parts.paths.store_url,
            job_ids=list(job_ids),
            seconds=SECONDS,
            now_ms=self._now_ms(),
            account=Account(settings.account_id, settings.region),
            hosts=await self._ask(AskHosts()),
            prices=self._parts.prices,
            limits=limits_of(settings),
            boot_ms=round(settings.boot_seconds * 1000),
        )
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", WORKER, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        try:
            async with asyncio.timeout(MOST_SECONDS):
                found, errors = await process.communicate(msgspec.json.encode(question))
        except TimeoutError:
            raise Refused(f"The forecast took longer than {MOST_SECONDS:.0f} seconds.", "ServerException") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        assert process.returncode == 0, f"the forecast failed: {errors.decode(errors='replace')[-2000:]}"
        return msgspec.json.decode(found, type=Forecasts)
