"""Which engine runs what, as functions of values; and Docker coming and going, with a daemon that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model.names import Account
from batchyard.core.model.records import Abilities, Instance
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.engines.base import StaleEpochError
from batchyard.engines.docker.sockets import Probe
from batchyard.loop import Busy, Stopped
from batchyard.server.admin.terminal import EXIT_USAGE, Failure
from batchyard.server.engines import default_environments, docker_watch
from batchyard.server.engines.choice import choose, wants_docker
from batchyard.server.engines.docker_watch import DockerWatch
from batchyard.server.engines.runtime import EngineSet
from batchyard.server.settings.config import Settings, load
from batchyard.server.settings.paths import paths_of

FOUND = Probe(Path("/run/docker.sock"), "Docker Engine", "20.10")
AWAY = "no daemon answers"


def settings(tmp_path: Path, engine: str = "auto") -> Settings:
    return load({"engine": engine, "data_dir": str(tmp_path / "data")}, {"HOME": str(tmp_path)})


def machine() -> Machine:
    made = Machine(Account("123456789012", "us-east-1"))
    abilities = {"process": Abilities(), "docker": Abilities(images=True)}
    made.handle(c.SetHost(Instance("i-1", Resources(2000, 4096)), abilities), 1)
    return made


@pytest.mark.parametrize(
    ("engine", "problem", "is_new", "name", "reason"),
    [
        ("auto", "", True, "docker", "auto: Docker Engine 20.10 answers at /run/docker.sock"),
        ("auto", AWAY, True, "process", f"auto: {AWAY}"),
        ("process", "", True, "process", "as told"),
        ("docker", "", True, "docker", "as told"),
        ("docker", AWAY, False, "docker", "as told"),
    ],
)
def test_the_choice(tmp_path: Path, engine: str, problem: str, is_new: bool, name: str, reason: str) -> None:
    choice = choose(settings(tmp_path, engine), FOUND, problem, is_new=is_new)
    assert (choice.name, choice.reason) == (name, reason)


def test_docker_asked_for_at_the_first_start_is_needed(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=f"--engine docker is not possible here: {AWAY}") as failure:
        choose(settings(tmp_path, "docker"), None, AWAY, is_new=True)
    assert failure.value.code == EXIT_USAGE


def start(made: Machine, **told: Any) -> list[str]:
    """Makes what is missing; the names of the environments."""
    for command in default_environments.missing(made.world, **told):
        made.handle(command, 2)
    return [f"{environment.name}: {environment.engine}" for environment in made.world.environments.values()]


@pytest.mark.parametrize(
    ("engine", "has_docker", "made", "kinds"),
    [
        ("docker", True, ["local: docker", "host: process"], ["containers", "processes"]),
        ("process", False, ["local: process", "host: process"], ["processes", "processes"]),
        (
            "process",
            True,
            ["local: process", "host: process", "containers: docker"],
            ["processes", "processes", "containers"],
        ),
    ],
)
def test_what_a_first_start_makes(engine: str, has_docker: bool, made: list[str], kinds: list[str]) -> None:
    world = machine()
    assert start(world, is_new=True, engine=engine, has_docker=has_docker) == made
    assert [kind for _, kind in default_environments.kinds_of_queues(world.world)] == kinds
    assert default_environments.missing(world.world, is_new=False, engine=engine, has_docker=has_docker) == []


def test_later_starts_change_nothing_that_is_there() -> None:
    yard = machine()
    start(yard, is_new=True, engine="process", has_docker=False)
    assert start(yard, is_new=False, engine="docker", has_docker=False) == ["local: process", "host: process"]
    found = start(yard, is_new=False, engine="docker", has_docker=True)
    assert found == ["local: process", "host: process", "containers: docker"]
    reverse = machine()
    start(reverse, is_new=True, engine="docker", has_docker=True)
    assert start(reverse, is_new=False, engine="process", has_docker=False) == ["local: docker", "host: process"]


def test_a_name_that_somebody_took_is_left_alone() -> None:
    yard = machine()
    yard.handle(c.CreateComputeEnvironment("host", "u", "UNMANAGED", "ENABLED", "docker", {}), 1)
    assert start(yard, is_new=False, engine="process", has_docker=True) == ["host: docker"]


def test_docker_is_left_alone_where_nobody_needs_it(tmp_path: Path) -> None:
    yard = machine()
    start(yard, is_new=True, engine="process", has_docker=False)
    told = settings(tmp_path, "process")
    assert not wants_docker(told, yard.world.environments.values())
    assert wants_docker(settings(tmp_path), yard.world.environments.values())
    start(yard, is_new=False, engine="process", has_docker=True)
    assert wants_docker(told, yard.world.environments.values())


# -- coming and going --


class PlayedEngine:
    def __init__(self, problems: list[Exception]) -> None:
        self.problems = problems
        self.is_up = True
        self.is_quiet = True
        self.closed: list[bool] = []
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def failed(self) -> None:
        await asyncio.shield(self.failure)

    async def close(self, *, kill: bool) -> None:
        self.closed.append(kill)


class Play:
    """A watch whose probes and starts the test decides; `told` has each problem that was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found = FOUND
        self.problems: list[Exception] = []
        self.engines: list[PlayedEngine] = []
        self.told: list[str] = []
        monkeypatch.setattr(docker_watch, "LOOK_SECONDS", 0)
        monkeypatch.setattr(docker_watch, "probe", self._probe)
        self.watch = DockerWatch({}, self._make, self._start, self._tell)

    async def _probe(self, environ: object) -> Probe:
        return self.found

    def _make(self, path: Path) -> Any:
        self.engines.append(PlayedEngine(self.problems))
        return self.engines[-1]

    async def _start(self, engine: Any) -> None:
        if self.problems:
            raise self.problems.pop(0)

    async def _tell(self) -> None:
        self.told.append(self.watch.problem)

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError(f"never came true; told {self.told}")


def play(monkeypatch: pytest.MonkeyPatch, scenario: Callable[[Play, asyncio.Task[None]], Any]) -> None:
    async def run() -> None:
        made = Play(monkeypatch)
        running = asyncio.create_task(made.watch.run())
        try:
            await scenario(made, running)
        finally:
            running.cancel()
            await asyncio.wait({running})
            await made.watch.close(kill=False)

    asyncio.run(run())


def test_each_change_is_told_once_and_the_first_look_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(made: Play, running: asyncio.Task[None]) -> None:
        made.found = Probe(None, problem=AWAY)
        await made.until(made.watch.looked.is_set)
        assert (made.watch.problem, made.told, made.watch.engine) == (AWAY, [], None)
        made.found = FOUND
        await made.until(lambda: made.told == [""])
        made.engines[0].is_up = False
        await made.until(lambda: len(made.told) == 2)
        assert made.told[1] == "the daemon at /run/docker.sock does not answer any more"
        made.engines[0].is_up = True
        await made.until(lambda: len(made.told) == 3)
        assert (made.told[2], len(made.engines)) == ("", 1)

    play(monkeypatch, scenario)


def test_a_start_that_fails_is_tried_again_with_a_new_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(made: Play, running: asyncio.Task[None]) -> None:
        made.problems = [OSError("cut off"), TimeoutError()]
        await made.until(lambda: made.watch.engine is not None)
        assert len(made.engines) == 3
        assert made.told == [docker_watch.NOT_YET, ""]

    play(monkeypatch, scenario)


def test_a_later_server_ends_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(made: Play, running: asyncio.Task[None]) -> None:
        made.problems = [StaleEpochError("a later server was here")]
        await made.until(running.done)
        with pytest.raises(Failure, match="a later server was here"):
            running.result()

    play(monkeypatch, scenario)


def test_an_engine_that_fails_ends_the_server_with_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(made: Play, running: asyncio.Task[None]) -> None:
        await made.until(lambda: made.watch.engine is not None)
        made.engines[0].failure.set_exception(AssertionError("the story"))
        await made.until(running.done)
        with pytest.raises(Failure, match="The docker engine is gone: the story"):
            running.result()

    play(monkeypatch, scenario)


def test_a_full_inbox_or_a_taken_name_keeps_nobody_from_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = settings(tmp_path)
    engines = EngineSet(told, paths_of(told.data_dir, told.work_dir, {}), {}, machine())
    monkeypatch.setattr("batchyard.server.engines.runtime.BUSY_SECONDS", 0)
    answers: list[Exception | None] = [Busy(), Busy(), None, Refused("Object already exists"), Stopped()]
    asked: list[c.Command[object]] = []

    async def ask(command: c.Command[object]) -> None:
        asked.append(command)
        answer = answers.pop(0) if answers else None
        if answer is not None:
            raise answer

    asyncio.run(engines._send_changed_commands(ask))
    assert [type(command).__name__ for command in asked] == [
        *["SetAway"] * 3,
        "CreateComputeEnvironment",
        "CreateJobQueue",
    ]
