"""Removing what the nodes of an attempt shared: by the attempt's end and by the reaper, beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from batchyard.core.model.gang import Gang
from batchyard.engines.docker.containers import ATTEMPT
from batchyard.engines.docker.daemon import Daemon
from batchyard.engines.docker.gangs import Gangs, network_name
from batchyard.engines.gang_directories import GangDirectories

FIRST, SECOND = "0" * 31 + "1", "0" * 31 + "2"


class Networks:
    """A daemon that has networks alone. `asked`: called when they are listed."""

    def __init__(self, *attempt_ids: str, asked: Callable[[], object] = lambda: None) -> None:
        self.names = {network_name(attempt_id): attempt_id for attempt_id in attempt_ids}
        self.asked = asked
        self.api = self

    async def json(self, method: str, path: str, query: object = None, body: object = None) -> Any:
        if method == "GET":
            self.asked()
            return [{"Name": name, "Labels": {ATTEMPT: attempt_id}} for name, attempt_id in self.names.items()]
        self.names.pop(path.removeprefix("/networks/"), None)
        return {}


def gangs_of(networks: Networks, directory: Path) -> tuple[Gangs, GangDirectories]:
    directories = GangDirectories(directory)
    for attempt_id in networks.names.values():
        directories.make(attempt_id, Gang(0, ("198.18.0.2", "198.18.0.3"), (1, 1)), None)
    return Gangs(cast(Daemon, networks), directories), directories


def test_what_an_attempt_shared_is_removed_once_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two removals of one directory beside each other would find it half removed, and fail."""
    gangs, directories = gangs_of(Networks(FIRST), tmp_path / "gangs")
    inside = 0

    async def check() -> None:
        nonlocal inside
        may_go_on = asyncio.Event()

        async def to_thread(work: Callable[..., object], *arguments: object, **members: object) -> object:
            nonlocal inside
            inside += 1
            await may_go_on.wait()
            inside -= 1
            return work(*arguments, **members)

        monkeypatch.setattr(asyncio, "to_thread", to_thread)
        removals = [asyncio.ensure_future(gangs.remove(FIRST)) for _ in range(2)]
        for _ in range(5):  # so that both have come as far as they can
            await asyncio.sleep(0)
        assert inside == 1
        may_go_on.set()
        await asyncio.gather(*removals)

    asyncio.run(check())
    assert not directories.nodes_directory(FIRST).exists()


def test_the_reaper_goes_on_when_one_directory_can_not_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = Networks(FIRST, SECOND)
    gangs, directories = gangs_of(networks, tmp_path / "gangs")
    remove = directories.remove

    def refuse_first(attempt_id: str, *, with_scratch: bool) -> None:
        if attempt_id == FIRST:
            raise PermissionError(attempt_id)
        remove(attempt_id, with_scratch=with_scratch)

    monkeypatch.setattr(directories, "remove", refuse_first)
    asyncio.run(gangs.reap("me", lambda: ()))
    assert list(networks.names.values()) == [FIRST]
    assert not directories.nodes_directory(SECOND).exists()


def test_an_attempt_that_begins_while_networks_are_listed_keeps_its_own(tmp_path: Path) -> None:
    alive: list[str] = []
    networks = Networks(FIRST, SECOND, asked=lambda: alive.append(SECOND))
    gangs, directories = gangs_of(networks, tmp_path / "gangs")
    asyncio.run(gangs.reap("me", lambda: alive))
    assert list(networks.names.values()) == [SECOND]
    assert directories.nodes_directory(SECOND).exists()
    assert not directories.nodes_directory(FIRST).exists()
