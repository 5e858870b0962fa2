"""The readers' threads shared among callers: one caller's slow queries take their own share, not the others'."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from batchyard.api import readers
from batchyard.api.readers import CALLER, Readers
from batchyard.core.model.records import Job
from batchyard.core.model.refusal import Refused

THREADS, OF_ONE = 3, 2
DEADLINE_SECONDS = 60


def ask(made: Readers, caller: str, query: Callable[[], Any]) -> asyncio.Task[Any]:
    async def asked() -> Any:
        CALLER.set(caller)
        return await made.run(query)

    return asyncio.create_task(asked())


def in_loop(test: Callable[[Readers], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await test(Readers(threads, OF_ONE))

    asyncio.run(run())


def test_one_callers_slow_queries_leave_others_a_thread() -> None:
    async def test(made: Readers) -> None:
        gate = threading.Event()
        slow = [ask(made, "one", lambda: gate.wait(DEADLINE_SECONDS)) for _ in range(10)]
        assert await ask(made, "other", lambda: "answered") == "answered"
        assert not any(task.done() for task in slow)
        gate.set()
        assert await asyncio.gather(*slow) == [True] * 10

    in_loop(test)


def test_a_callers_queries_run_in_their_order_and_at_most_so_many_at_once() -> None:
    async def test(made: Readers) -> None:
        lock, running, most, order = threading.Lock(), 0, 0, []

        def query(number: int) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
                order.append(number)
            with lock:
                running -= 1

        await asyncio.gather(*(ask(made, "one", lambda n=number: query(n)) for number in range(100)))
        assert most <= OF_ONE
        assert sorted(order) == list(range(100))
        assert made._turns == {}

    in_loop(test)


def test_too_many_waiting_queries_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_WAITING", 4)

    async def test(made: Readers) -> None:
        gate = threading.Event()
        tasks = [ask(made, "one", lambda: gate.wait(DEADLINE_SECONDS)) for _ in range(OF_ONE + 4 + 3)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Refused)]
        assert [refusal.code for refusal in refused] == ["TooManyRequestsException"] * 3
        assert done

    in_loop(test)


def test_who_leaves_while_it_waits_holds_nobody_up() -> None:
    async def test(made: Readers) -> None:
        gate = threading.Event()
        running = [ask(made, "one", lambda: gate.wait(DEADLINE_SECONDS)) for _ in range(OF_ONE)]
        left, stays = ask(made, "one", lambda: "left"), ask(made, "one", lambda: "stays")
        await asyncio.sleep(0)
        left.cancel()
        gate.set()
        assert await stays == "stays"
        await asyncio.gather(*running)
        assert made._turns == {}

    in_loop(test)


def test_a_damaged_record_is_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    async def test(made: Readers) -> None:
        with pytest.raises(Refused, match=r"A record in the store is damaged: .*`batchyard doctor` names it") as caught:
            await ask(made, "one", lambda: msgspec.json.decode(b'{"key":', type=Job))
        assert caught.value.code == "ServerException"
        assert "a record in the store is damaged" in caplog.text
        assert await ask(made, "one", lambda: "answered") == "answered", "its turn is over"

    in_loop(test)
