"""The Docker engine: attempts are containers of this host's Docker (or Podman) daemon.

It runs in the server's process: the state that must outlive a server is kept by the daemon, whose containers are named
after their attempts, and by the journal (`journal.py`). `task_run.py` runs one attempt.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from batchyard.core.model.attempt_node import AttemptNode, parse_node
from batchyard.core.model.records import Abilities
from batchyard.engines.base import Launch, Recovery, ReportSink, StaleEpochError
from batchyard.engines.docker import execs
from batchyard.engines.docker.api import ApiError, DaemonUnreachable
from batchyard.engines.docker.containers import ATTEMPT, STORE, Placing
from batchyard.engines.docker.daemon import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, Daemon
from batchyard.engines.docker.entrypoint_check import EntrypointCheck
from batchyard.engines.docker.execs import CannotExec, ExecStream
from batchyard.engines.docker.gangs import STAYS, Gangs
from batchyard.engines.docker.gpus import access_of
from batchyard.engines.docker.images import Images
from batchyard.engines.docker.journal import DockerJournal
from batchyard.engines.docker.network import JobNetwork
from batchyard.engines.docker.storage import may_limit
from batchyard.engines.docker.task_run import EngineContext, Origin, TaskRun
from batchyard.engines.docker.usage import SAMPLE_SECONDS
from batchyard.engines.gang_directories import GangDirectories
from batchyard.engines.log_file import DEFAULT_LIMIT_BYTES

# With more starts at once Docker starts no more containers per second, only each of them later.
MAX_STARTS_AT_ONCE = 8
MAX_REMOVALS_AT_ONCE = 4
CONNECT_SECONDS = 15.0  # a daemon that restarts together with the server comes up within this
REAP_AGAIN_SECONDS = 5.0  # after the first time; a daemon carries out earlier requests within this
REAP_SECONDS = 600.0  # after every later time; it costs one small request
MAX_REMOVAL_TRIES = 8  # with growing pauses, about 10 s: what is left then is removed after the next start
GANGS = ".container-gangs"  # in the work directory: what the nodes of multi-node attempts share
log = logging.getLogger(__name__)


class DockerSettings(NamedTuple):
    """`log_limit_bytes`: the size limit of each container's log. `environ`: the environment in which the user's Docker
    configuration and credential helpers are found; None: this process's. `listen`: see JobNetwork."""

    log_limit_bytes: int = DEFAULT_LIMIT_BYTES
    environ: Mapping[str, str] | None = None
    listen: Callable[[str], None] | None = None


class DockerEngine:
    """Implements `batchyard.engines.base.Engine`. `state_dir`: contains the journal, in a directory of its own."""

    name = "docker"
    abilities = Abilities(
        images=True,
        needs_command=False,
        any_mount=True,
        privileged=True,
        tmpfs=True,
        read_only_root=True,
        container_devices=True,
        swap=True,
        shared_memory_size=True,
        multiple_containers=True,
        execute_command=True,
        networks=True,
        log_drivers=True,
    )

    def __init__(
        self,
        socket_path: Path,
        state_dir: Path,
        logs_dir: Path,
        work_dir: Path,
        settings: DockerSettings | None = None,
    ) -> None:
        self._settings = settings or DockerSettings()
        self._socket_path = socket_path
        self._logs_dir = logs_dir
        self._work_dir = work_dir
        self._journal = DockerJournal(state_dir / "docker")
        self._daemon = Daemon(socket_path, self._woken)
        environ = os.environ if self._settings.environ is None else self._settings.environ
        self._images = Images(self._daemon.api, environ)
        self._entrypoints = EntrypointCheck(self._daemon.api)
        self._network = JobNetwork(self._daemon, self._settings.listen)
        self._gangs = Gangs(self._daemon, GangDirectories(work_dir / GANGS, is_private=True))
        self._context: EngineContext | None = None
        self._report: ReportSink | None = None
        self._runs: dict[str, TaskRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._left: dict[str, list[str]] = {}  # attempts that ended here without volumes: their containers
        self._removals = 0
        self._removing = asyncio.Semaphore(MAX_REMOVALS_AT_ONCE)
        self._failure: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether every command is carried out: attempts run, and nothing is being created, stopped or removed."""
        return not self._removals and all(run.is_waiting for run in self._runs.values())

    @property
    def is_up(self) -> bool:
        """Whether the daemon answers now. Commands given meanwhile are carried out once it answers again."""
        return self._daemon.is_up

    # -- The engine's interface --

    async def start(self, epoch: int, report: ReportSink) -> None:
        """StaleEpochError: a later server has connected before. OSError, TimeoutError: why the daemon can't be
        reached."""
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._failure = self._loop.create_future()
        self._journal.open(epoch)
        try:
            await self._connect()
        except BaseException:
            await self.close(kill=False)
            raise
        info = await self._daemon.until_it_answers(lambda: self._daemon.api.json("GET", "/info"))
        placing = Placing(self._journal.store, epoch, self._settings.log_limit_bytes, may_limit(info), access_of(info))
        self._context = EngineContext(
            self._daemon,
            self._journal,
            self._images,
            self._entrypoints,
            self._network,
            self._gangs,
            placing,
            self._logs_dir,
            asyncio.Semaphore(MAX_STARTS_AT_ONCE),
            lambda one: report([one]),
        )
        report(list(self._journal.finals.values()))
        self._spawn(self._daemon.failed(), "docker connection")
        self._spawn(self._measure_for_ever(), "usage of containers")

    async def _connect(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        deadline = asyncio.get_running_loop().time() + CONNECT_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._daemon.connect(self._journal.store)
            except ApiError as error:
                raise OSError(f"{self._socket_path} does not serve Docker's API: {error.message}") from error
            except DaemonUnreachable as error:
                if asyncio.get_running_loop().time() + pause >= deadline:
                    raise OSError(f"no Docker daemon answered within {CONNECT_SECONDS:g} s: {error}") from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def failed(self) -> None:
        assert self._failure is not None, "this engine was not started"
        await asyncio.shield(self._failure)

    def launch(self, tasks: Sequence[Launch]) -> None:
        for launch in tasks:
            if not self._repeat(launch.task_id):
                self._begin(launch, Origin())

    def stop(self, attempt_node: AttemptNode, grace_seconds: float) -> None:
        run = self._runs.get(attempt_node.task_id)
        if run is not None:
            run.stop(grace_seconds)

    def acknowledge(self, attempt_nodes: Sequence[AttemptNode]) -> None:
        if self._is_stale():
            return
        for attempt_node in attempt_nodes:
            task_id = attempt_node.task_id
            if self._journal.acknowledge(task_id):
                self._removals += 1  # before the task runs: is_quiet must be False from here on
                self._spawn(self._remove(task_id), f"remove {task_id}")

    def recover(self, attempts: Sequence[Recovery]) -> None:
        if self._is_stale():
            return
        in_doubt = not self._journal.intact
        for recovery in attempts:
            if not self._repeat(recovery.launch.task_id):
                self._begin(recovery.launch, Origin(recovery.may_launch, recovery.known_started, in_doubt))
        self._journal.accounted()
        self._removals += 1
        self._spawn(self._reap_periodically(), "docker reaper")

    async def close(self, *, kill: bool) -> None:
        """Disconnects; containers run on. `kill` has no effect: the engine has no process of its own."""
        while self._tasks:  # also those that another one began while it was being cancelled
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.sleep(0)  # their done-callbacks take them out
        await self._images.close()
        if not self._runs:
            await self._network.remove()
        await self._daemon.close()
        self._journal.close()
        if self._failure is not None and not self._failure.done():
            self._failure.set_result(None)

    async def exec(self, task_id: str, command: Sequence[str], *, tty: bool = False, container: str = "") -> ExecStream:
        """Runs a command in a running container of an attempt; `container` may be left out where there is one.
        CannotExec: why not. DaemonUnreachable."""
        run = self._runs.get(task_id)
        if run is None:
            raise CannotExec("The job does not run here: only a RUNNING job's container takes another command.")
        names = [spec.name for spec in run.specs if not spec.is_pause]
        if not container and len(names) == 1:
            container = names[0]
        if container not in names:
            asked = f"has no container '{container}'" if container else "has several containers"
            raise CannotExec(f"The job {asked}: name one of {', '.join(names)}.")
        return await execs.begin(self._daemon.api, run.docker_name(container), command, tty=tty)

    # -- Attempts --

    def _repeat(self, task_id: str) -> bool:
        """Repeats the last report about an attempt. Returns False for an unknown attempt."""
        assert self._report is not None, "a command before start"
        final = self._journal.finals.get(task_id) or self._journal.acknowledged.get(task_id)
        if final is not None:
            self._report([final])
            return True
        run = self._runs.get(task_id)
        if run is not None and run.started is not None:
            self._report([run.started])
        return run is not None

    def _begin(self, launch: Launch, origin: Origin) -> None:
        assert self._context is not None, "a command before start"
        if self._is_stale():
            return
        run = self._runs[launch.task_id] = TaskRun(self._context, launch, origin)
        self._spawn(self._follow(run), f"attempt {launch.task_id}")

    async def _follow(self, run: TaskRun) -> None:
        try:
            final = await run.run_until_final()
        finally:
            await run.leave()  # the container may be gone, and its follower has not begun or has not noticed
        self._journal.ended(final)
        del self._runs[run.task_id]
        if run.launch.gang is not None:
            self._gangs.node_ended(run.launch.attempt_node)
        if not run.has_volumes():
            self._left[run.task_id] = run.left_behind()
        assert self._report is not None, "a report before start"
        self._report([final])

    async def _measure_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            for run in self._runs.values():
                for meter in run.meters.values():
                    meter.read()

    def _woken(self, task_id: str) -> None:
        """Wakes the run of an attempt; "": of every attempt."""
        if task_id:
            run = self._runs.get(task_id)
            if run is not None:
                run.wake()
            return
        self._spawn(self._daemon.until_it_answers(self._network.resume), "network of containers")
        for run in self._runs.values():
            run.wake()

    # -- Removing --

    async def _remove(self, task_id: str) -> None:
        """Removes the containers and volumes of an attempt whose end is committed."""
        try:
            async with self._removing:
                known = self._left.pop(task_id, None)
                await self._remove_all(f"{ATTEMPT}={task_id}", known)
                await self._remove_gang(parse_node(task_id)[0])
        finally:
            self._removals -= 1

    async def _remove_gang(self, attempt_id: str) -> None:
        """Removes what the nodes of an attempt shared, once the last of them is acknowledged."""
        alive = {*self._runs, *self._journal.finals}
        if self._gangs.is_gang(attempt_id) and not any(parse_node(one)[0] == attempt_id for one in alive):
            try:
                await self._daemon.until_it_answers(lambda: self._gangs.remove(attempt_id))
            except (ApiError, OSError) as error:  # the reaper tries again
                log.warning(STAYS, attempt_id, error)

    async def _reap_periodically(self) -> None:
        """Reaps periodically: a killed server may have left requests that the daemon carries out after the first
        time."""
        pause = REAP_AGAIN_SECONDS
        is_first = True
        while True:
            try:
                await self._reap()
            except ApiError as error:  # what is left is removed the next time
                log.warning("the Docker daemon does not say what containers there are: %s", error)
            self._removals -= is_first
            is_first = False
            await asyncio.sleep(pause)
            pause = REAP_SECONDS

    async def _reap(self) -> None:
        """Removes the containers of attempts that neither run nor wait for their acknowledgement."""
        own = f"{STORE}={self._journal.store}"
        found = await self._daemon.until_it_answers(lambda: self._containers(own))
        found += await self._daemon.until_it_answers(lambda: self._volumes(own))
        owners = {str((one.get("Labels") or {}).get(ATTEMPT, "")) for one in found}
        for task_id in sorted(owners):
            if task_id and task_id not in self._runs and task_id not in self._journal.finals:
                log.info("removing the containers of attempt %s, which is not known any more", task_id)
                await self._remove_all(f"{ATTEMPT}={task_id}")
        await self._daemon.until_it_answers(
            lambda: self._gangs.reap(self._journal.store, lambda: {*self._runs, *self._journal.finals})
        )

    async def _remove_all(self, label: str, known: list[str] | None = None) -> None:
        """Removes containers and volumes. `known`: the names of all its containers; None: all with the label."""
        pause = FIRST_PAUSE_SECONDS
        for _ in range(MAX_REMOVAL_TRIES):
            self._journal.check_epoch()
            try:
                await self._daemon.until_it_answers(lambda: self._try_to_remove(label, known))
                return
            except ApiError as error:
                log.warning("containers with label %s can't be removed yet: %s", label, error)
            await asyncio.sleep(pause)
            pause *= 2

    async def _try_to_remove(self, label: str, known: list[str] | None) -> None:
        if known is not None:
            for name in known:
                await self._remove_container(name)
            return
        own = f"{STORE}={self._journal.store}"
        for one in await self._containers(label, own):
            await self._remove_container(one["Id"])
        for one in await self._volumes(label, own):
            await self._delete(f"/volumes/{one['Name']}", {"force": "1"})

    async def _remove_container(self, name: str) -> None:
        await self._delete(f"/containers/{name}", {"force": "1", "v": "1"})

    async def _delete(self, path: str, query: dict[str, str]) -> None:
        try:
            await self._daemon.api.json("DELETE", path, query)
        except ApiError as error:
            if error.status != 404 and "already in progress" not in error.message:
                raise

    async def _containers(self, *labels: str) -> list[dict[str, Any]]:
        filters = msgspec.json.encode({"label": list(labels)}).decode()
        found: list[dict[str, Any]] = await self._daemon.api.json(
            "GET", "/containers/json", {"all": "1", "filters": filters}
        )
        return found

    async def _volumes(self, *labels: str) -> list[dict[str, Any]]:
        filters = msgspec.json.encode({"label": list(labels)}).decode()
        found = await self._daemon.api.json("GET", "/volumes", {"filters": filters})
        return found.get("Volumes") or []

    # -- Failure --

    def _is_stale(self) -> bool:
        try:
            self._journal.check_epoch()
        except StaleEpochError as error:
            self._fail(error)
            return True
        return False

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        assert self._loop is not None, "work before start"
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._is_done)

    def _is_done(self, task: asyncio.Task[None]) -> None:
        """Reports a fault of ours through `failed`: the server ends, and its successor goes on from what Docker
        shows."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())

    def _fail(self, error: BaseException | None) -> None:
        assert error is not None, "a failure without an error"
        assert self._failure is not None, "a failure before start"
        if not self._failure.done():
            self._failure.set_exception(error)
