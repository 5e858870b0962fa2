"""Submissions are refused while the disk is nearly full, and nothing else is."""

import asyncio
from typing import Any

import pytest

from batchyard.api.context import Call
from batchyard.core.model.refusal import Refused
from batchyard.server.http.disk_guard import LOOK_EVERY_MS, OTHERS, SUBMISSIONS, FreeSpace, guarded
from batchyard.server.settings.host import MIB
from batchyard.server.settings.table import BY_NAME
from batchyard.store.writer import SUBMIT_FREE_BYTES


def test_submissions_wait_for_space() -> None:
    free = [100 * MIB]
    now = [0]
    looks: list[int] = []

    def free_bytes() -> int:
        looks.append(now[0])
        return free[0]

    async def answer(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        return {"fine": True}

    keys = [*SUBMISSIONS, ("batch", "CancelJob")]
    handlers = guarded(dict.fromkeys(keys, answer), FreeSpace(free_bytes, 64, lambda: now[0]))

    def ask(service: str, operation: str) -> dict[str, Any]:
        return asyncio.run(handlers[service, operation](Call(operation), {}))

    assert all(ask(*key) == {"fine": True} for key in keys)
    free[0] = 63 * MIB
    now[0] += LOOK_EVERY_MS
    for key in SUBMISSIONS:
        with pytest.raises(Refused, match="its disk has 63 MiB free and needs 64") as refused:
            ask(*key)
        assert refused.value.code == "ServerException"
    assert ask("batch", "CancelJob") == {"fine": True}
    assert looks == [0, LOOK_EVERY_MS]
    free[0] = 64 * MIB
    now[0] += LOOK_EVERY_MS
    assert ask("batch", "SubmitJob") == {"fine": True}


@pytest.mark.parametrize(("key", "what"), sorted(OTHERS.items()))
def test_log_events_and_metrics_wait_for_space_too(key: tuple[str, str], what: str) -> None:
    async def answer(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        return {"fine": True}

    keys = [*SUBMISSIONS, key]
    for free_mib, is_fine in ((63, False), (64, True)):
        space = FreeSpace(lambda mib=free_mib: mib * MIB, 64, lambda: 0)  # type: ignore[misc]
        ask = guarded(dict.fromkeys(keys, answer), space)[key]
        if is_fine:
            assert asyncio.run(ask(Call(key[1]), {})) == {"fine": True}
        else:
            with pytest.raises(Refused, match=f"takes {what}: its disk has 63 MiB") as refused:
                asyncio.run(ask(Call(key[1]), {}))
            assert refused.value.code == "ServiceUnavailableException"


def test_the_limit_is_the_stores() -> None:
    assert BY_NAME["min_free_mib"].default * MIB == SUBMIT_FREE_BYTES
