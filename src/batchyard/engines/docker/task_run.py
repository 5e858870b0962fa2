"""One attempt on Docker, from its launch or recovery to its final report.

A loop: look at what Docker shows, take the next step, wait for an event. Nothing is remembered that is not in Docker or
in the journal, so that another server can go on at any point.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchyard import failpoints
from batchyard.core.model.records import ContainerSpec, containers_of
from batchyard.core.model.reports import ContainerExit, Exited, Lost, NotStarted, Report, Started
from batchyard.engines.base import RECOVERED_SILENT, STOP_GRACE_SECONDS, Launch, log_path
from batchyard.engines.boot import boot_seconds
from batchyard.engines.container_group import grace_of
from batchyard.engines.docker import containers, gpus, plans
from batchyard.engines.docker.api import ApiError
from batchyard.engines.docker.containers import Placing, Seen, State
from batchyard.engines.docker.credentials import Credentials
from batchyard.engines.docker.daemon import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, Daemon
from batchyard.engines.docker.entrypoint_check import EntrypointCheck
from batchyard.engines.docker.gangs import Gangs, network_name
from batchyard.engines.docker.images import CannotPull, Images
from batchyard.engines.docker.journal import DockerJournal, Final
from batchyard.engines.docker.logs import ContainerLog
from batchyard.engines.docker.network import JobNetwork, NetworkProblem
from batchyard.engines.docker.path_containment import containment_problem
from batchyard.engines.docker.secret_files import archives_of
from batchyard.engines.docker.storage import REFUSAL
from batchyard.engines.docker.usage import STATS_SECONDS, Meter, ask_docker
from batchyard.engines.start_failures import (
    CANNOT_START,
    NOT_EXECUTABLE_EXIT_CODE,
    NOT_FOUND_EXIT_CODE,
    CannotStart,
)

CANNOT_INITIALIZE = "ResourceInitializationError"  # ECS's word for file systems that can't be mounted
CANNOT_CREATE = "CannotCreateContainerError"
# How long a name may be taken by a container that is not there yet, or not any more: the daemon makes and removes one
# within a second, and within this on a host that is badly loaded.
NAME_TAKEN_SECONDS = 60.0
PAUSE_NEEDED = (
    "The pause container, which holds what the pod's containers share, runs /bin/sh of the first one's image:"
)
PULL_ALWAYS, PULL_NEVER = "Always", "Never"  # API: EksContainer.imagePullPolicy
GONE = "The containers of the attempt were removed by somebody else, and its outcome with them."
DAMAGED = "The notes of the Docker engine are damaged, so that nobody can tell whether the attempt ran."
UNRECORDED_END = "The Docker daemon went down while a container of the attempt ended, and its exit code is unknown."
UNRECORDED_START = "The Docker daemon went down while the attempt may have been starting; whether it ran is unknown."
REBOOTED = "The host went down while the attempt ran, and its exit code is unknown."
# Events wake the run at once; this is for one that was lost.
LOOK_SECONDS = 30.0
# The exit code that containerd gives a container whose end it did not see.
MADE_UP_EXIT_CODE = 255
BOOT_SLACK_MS = 2000  # between the wall clock and the clock since boot
log = logging.getLogger(__name__)


class EngineContext(Struct):
    """The parts of an engine that all its runs share."""

    daemon: Daemon
    journal: DockerJournal
    images: Images
    entrypoints: EntrypointCheck
    network: JobNetwork
    gangs: Gangs
    placing: Placing
    logs_dir: Path
    starts: asyncio.Semaphore
    report: Callable[[Report], None]


class Stop(Struct, frozen=True):
    """A stop, asked for at this CLOCK_BOOTTIME."""

    at_seconds: float
    grace_seconds: float


class Origin(Struct, frozen=True):
    """The knowledge about an attempt that another server may have begun (see engines.base.Recovery)."""

    may_launch: bool = True
    known_started: bool = False
    in_doubt: bool = False  # the journal is damaged: an attempt that it does not mention may have run


class TaskRun:
    def __init__(self, context: EngineContext, launch: Launch, origin: Origin) -> None:
        self.launch = launch
        self.task_id, self.attempt_id, self.node = launch.task_id, launch.attempt_id, launch.attempt_node.node
        self.specs = containers_of(launch.task)
        self._anchor = containers.anchor_of(self.specs)  # made and started first: the others join its namespaces
        self._agent_place = containers.agent_place(self.specs)
        self.started: Started | None = None
        self.is_waiting = False  # there is nothing to do until an event or a stop
        self.stopping = asyncio.Event()
        self._context = context
        self._origin = origin
        self._wake = asyncio.Event()
        self._stops: list[Stop] = []
        self._sigtermed: set[str] = set()
        self._failure: CannotStart | None = None  # none of its containers can be started
        self._refused: dict[str, ContainerExit] = {}  # those that could not be started, though others may
        self._ending_at: float | None = None  # CLOCK_BOOTTIME when an essential container's end was seen
        self._logs: dict[str, ContainerLog] = {}
        self._found: dict[str, dict[str, Any]] = {}  # by container: what Docker showed last, if it exists and is ours
        self._sealed: set[str] = set()  # containers whose logs are complete
        self._tried: set[str] = set()  # containers whose start was asked for by this server
        self._is_known_from_before = self.task_id in context.journal.intents  # an earlier server may have asked
        self._has_agent = False  # of a node of a multi-node job: this server has started it
        self.meters: dict[str, Meter] = {}
        kept = context.journal.stops.get(self.task_id)
        if kept is not None and kept.boot_id == context.journal.boot_id:
            self._add_stop(Stop(kept.at_seconds, kept.grace_seconds))

    # -- From the engine --

    def wake(self) -> None:
        self._wake.set()

    def stop(self, grace_seconds: float) -> None:
        stop = Stop(boot_seconds(), grace_seconds)
        if all(stop.at_seconds + grace_seconds < known.at_seconds + known.grace_seconds for known in self._stops):
            self._add_stop(stop)
            self._context.journal.stop_asked(self.task_id, stop.at_seconds, grace_seconds)
        self._wake.set()

    def _add_stop(self, stop: Stop) -> None:
        self._stops.append(stop)
        self.stopping.set()

    def docker_name(self, container: str) -> str:
        return containers.container_name(self.launch.task, self.task_id, container)

    def left_behind(self) -> list[str]:
        """Returns Docker's names of its containers that were seen."""
        return [self.docker_name(name) for name in self._found]

    def has_volumes(self) -> bool:
        """Whether it has volumes that are removed with the attempt."""
        return any(not mount.source for spec in self.specs for mount in spec.mounts)

    async def leave(self) -> None:
        for file in self._logs.values():
            await file.leave()

    async def run_until_final(self) -> Final:
        """Runs the attempt until its final report. StaleEpochError: a later server has taken over."""
        try:
            return await self._steps()
        finally:
            for meter in self.meters.values():
                meter.close()

    async def _steps(self) -> Final:
        pause = FIRST_PAUSE_SECONDS
        while True:
            self._context.journal.check_epoch()
            self._wake.clear()
            try:
                final = await self._context.daemon.until_it_answers(self._step)
            except CannotStart as failure:
                self._failure = failure
                continue
            except ApiError as error:
                log.warning("attempt %s: the Docker daemon refused: %s", self.task_id, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
                continue
            pause = FIRST_PAUSE_SECONDS
            if final is not None:
                return final

    # -- One look, one thing to do --

    async def _step(self) -> Final | None:
        seen = await self._look()
        await self._measure(seen)
        if not any(one.has_started for one in seen.values()):
            final = await self._before_the_start(seen)
            if final is not None or any(one.state is State.ABSENT for one in seen.values()):
                return final
        if self.stopping.is_set() and not self._refused and not any(one.has_started for one in seen.values()):
            return None
        plan = plans.plan(self.specs, seen, self._refused, stopping=self.stopping.is_set(), now_ms=wall_ms())
        if plan.start:
            for name in sorted(plan.start, key=lambda name: name != self._anchor):
                await self._try_to_start(name)
            return None
        if plan.is_over and self._refused and not any(one.has_started for one in seen.values()):
            refused = next(iter(self._refused.values()))
            cause = refused.name if self.launch.task.containers else ""
            return NotStarted(self.attempt_id, wall_ms(), refused.reason, refused.exit_code, cause, node=self.node)
        if plan.is_over:
            return await self._end(seen, plan)
        if self.started is None and not plan.waits:
            self.started = Started(self.attempt_id, _started_at_ms(seen), node=self.node)
            self._context.report(self.started)
        if self.launch.gang is not None and not self._has_agent and seen[self._agent_place].state is State.RUNNING:
            self._has_agent = True
            await self._context.gangs.begin_agent(self.docker_name(self._agent_place), self.launch.attempt_node)
        for name, one in seen.items():
            if one.state is State.RUNNING:
                self._log_of(name, one).follow()
            elif one.state is State.EXITED:
                await self._seal(name, one)  # also while others run on
        await self._stop_due(plan)
        await self._wait(plan)
        return None

    async def _look(self) -> dict[str, Seen]:
        return {spec.name: await self._look_at(spec.name) for spec in self.specs}

    async def _look_at(self, name: str) -> Seen:
        try:
            found = await self._inspect(name)
        except ApiError as error:
            if error.status != 404:
                raise
            return Seen(name)
        if not self._is_ours(found):
            return Seen(name)
        self._found[name] = found
        return containers.seen_of(name, found)

    async def _measure(self, seen: Mapping[str, Seen]) -> None:
        for name, one in seen.items():
            if one.state is not State.RUNNING:
                continue
            meter = self.meters.setdefault(name, Meter())
            meter.open(one, asyncio.get_running_loop())
            meter.read()
            if meter.needs_asking:
                await ask_docker(self._context.daemon.api, self.docker_name(name), meter)

    def _is_ours(self, found: Mapping[str, Any]) -> bool:
        labels = found.get("Config", {}).get("Labels") or {}
        return bool(labels.get(containers.STORE) == self._context.placing.store)

    async def _inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._context.daemon.api.json("GET", f"/containers/{self.docker_name(name)}/json")
        return found

    async def _wait(self, plan: plans.Plan) -> None:
        """Waits for an event, a stop or a deadline."""
        due = [self._kill_at(spec) for spec in self.specs if spec.name in plan.stop]
        seconds = min([LOOK_SECONDS, *(max(0.0, at - boot_seconds()) for at in due if at is not None)])
        if any(meter.needs_asking for meter in self.meters.values()):
            seconds = min(seconds, STATS_SECONDS)
        if plan.due_ms:
            seconds = min(seconds, max(0.0, (plan.due_ms - wall_ms()) / 1000))
        self.is_waiting = not self._wake.is_set()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self.is_waiting = False

    # -- Before anything runs --

    async def _before_the_start(self, seen: Mapping[str, Seen]) -> Final | None:
        """Creates the containers. Returns a report where the attempt ends without a start; None: look again."""
        origin, now_ms = self._origin, wall_ms()
        absent = [spec for spec in self.specs if seen[spec.name].state is State.ABSENT]
        if origin.known_started or (absent and self.task_id in self._context.journal.intents):
            return Lost(self.attempt_id, now_ms, GONE, node=self.node)
        if absent and origin.in_doubt:
            return Lost(self.attempt_id, now_ms, DAMAGED, node=self.node)
        if self._failure is not None:
            cause = self._failure.container if self.launch.task.containers else ""
            return NotStarted(
                self.attempt_id, now_ms, self._failure.reason, self._failure.exit_code, cause, node=self.node
            )
        if not self._refused and (self.stopping.is_set() or not origin.may_launch):
            if not await self._discard(seen):
                return None
            return NotStarted(self.attempt_id, now_ms, RECOVERED_SILENT, node=self.node)
        if self.launch.problem:
            return NotStarted(self.attempt_id, now_ms, self.launch.problem, node=self.node)
        for one in seen.values():
            if one.error:  # a start that failed just before the server died
                raise _cannot_start(one.name, one.error, one.exit_code)
        for one in seen.values():
            if await self._may_have_run(one):
                return Lost(self.attempt_id, now_ms, UNRECORDED_START, node=self.node)
        for spec in sorted(absent, key=lambda spec: spec.name != self._anchor):
            if not await self._create(spec):
                return None  # a stop came: the next look decides
        return None

    async def _discard(self, seen: Mapping[str, Seen]) -> bool:
        """Removes the created containers, so that a start still under way can't find them. False: a start came
        first."""
        for one in seen.values():
            if one.state is State.CREATED:
                try:
                    await self._context.daemon.api.json("DELETE", f"/containers/{one.id}", {"v": "1"})
                except ApiError as error:
                    if error.status == 409:
                        return False
                    if error.status != 404:
                        raise
        return True

    async def _create(self, spec: ContainerSpec) -> bool:
        """False: a stop came first."""
        for mount in spec.mounts:
            problem = await asyncio.to_thread(containment_problem, mount.root, mount.source) if mount.root else ""
            if problem:
                raise CannotStart(f"{CANNOT_INITIALIZE}: {problem}.", spec.name)
        body = containers.create_request(self.launch, spec, self._context.placing)
        if self.launch.gang is not None:
            await self._context.gangs.prepare(self.launch, self._context.placing.store)
            body = self._context.gangs.with_node(body, self.launch, spec, tuple(self.specs))
        name, policy = self.docker_name(spec.name), spec.document.get("imagePullPolicy")
        was_pulled = policy == PULL_ALWAYS
        if was_pulled and not await self._pull(spec):
            return False
        name_due = time.monotonic() + NAME_TAKEN_SECONDS
        while True:
            self._context.journal.check_epoch()
            try:
                await self._context.daemon.api.json("POST", "/containers/create", {"name": name}, body)
                return True
            except ApiError as error:
                if error.status == 409 and (await self._look_at(spec.name)).state is not State.ABSENT:
                    return True  # made by an earlier launch of the same attempt
                if error.status == 409 and time.monotonic() < name_due:
                    # The name is taken by no container that can be seen: the daemon carries out the request of a server
                    # that died, or removes the one before.
                    if await self._is_stopped_within(FIRST_PAUSE_SECONDS):
                        return False
                    continue
                if REFUSAL in error.message and body["HostConfig"].pop("StorageOpt", None):
                    log.warning("attempt %s: its ephemeralStorage is not limited: %s", self.task_id, error.message)
                    continue
                if error.status != 404 or was_pulled or policy == PULL_NEVER:
                    reason = f"{CANNOT_CREATE}: Error response from daemon: {error.message}"
                    raise CannotStart(reason, spec.name) from error
            if not await self._pull(spec):
                return False
            was_pulled = True

    async def _is_stopped_within(self, seconds: float) -> bool:
        """Waits for a stop, at most so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        return self.stopping.is_set()

    async def _pull(self, spec: ContainerSpec) -> bool:
        """False: a stop came first."""
        own = [Credentials(user, word) for name, user, word in self.launch.registry_credentials if name == spec.name]
        pull = asyncio.ensure_future(self._context.images.pull(spec.image, own[0] if own else None))
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait([pull, stop], return_when=asyncio.FIRST_COMPLETED)
            if not pull.done():
                return False
            pull.result()
            return True
        except CannotPull as error:
            raise CannotStart(f"{error}{self._why_this_image(spec)}", spec.name) from error
        finally:
            stop.cancel()
            pull.cancel()
            await asyncio.wait([pull, stop])

    def _why_this_image(self, spec: ContainerSpec) -> str:
        """Returns what to add to a failed pull when the definition names another image; else nothing."""
        for name, image, why in self.launch.replaced_images:
            if name == spec.name:
                return f" ({spec.image} stands for the definition's {image}, by {why})"
        return ""

    async def _try_to_start(self, name: str) -> None:
        try:
            await self._start(name)
        except CannotStart as failure:
            is_pause = any(spec.name == name and spec.is_pause for spec in self.specs)
            reason = f"{PAUSE_NEEDED} {failure.reason}" if is_pause else failure.reason
            self._refused[name] = ContainerExit(name, failure.exit_code, reason=reason)

    async def _may_have_run(self, one: Seen) -> bool:
        """Whether a container that Docker shows as created may have been started before. A daemon that dies while it
        starts a container shows it as created afterwards, and would start it once more. Whether that daemon still lives
        is seen by its events, which no daemon remembers of the one before it."""
        if one.state is not State.CREATED or not (self._is_known_from_before or one.name in self._tried):
            return False
        return not await self._remembers(one, "create", since_seconds=1)

    async def _remembers(self, one: Seen, event: str, since_seconds: int) -> bool:
        """Whether the daemon still has an event of a container: it keeps the latest 256 of its own life."""
        filters = f'{{"container":["{one.id}"],"event":["{event}"]}}'
        now_ms = wall_ms()
        until = f"{now_ms // 1000}.{now_ms % 1000:03d}000000"
        query = {"since": str(since_seconds), "until": until, "filters": filters}
        return bool(await self._context.daemon.api.bytes("GET", "/events", query))

    async def _start(self, name: str) -> None:
        """Starts a container. CannotStart: why not. Everything else shows at the next look."""
        found = self._found[name]
        if await self._may_have_run(containers.seen_of(name, found)):
            raise CannotStart(UNRECORDED_START, name)
        async with self._context.starts:
            problem = await self._context.entrypoints.problem(self.docker_name(name), found)
            if problem is not None and found.get("HostConfig", {}).get("Init"):
                raise CannotStart(f"{CANNOT_START}: Error response from daemon: {problem[0]}", name, problem[1])
            await self._join_network(name, found)
            await self._bring_files(name)
            await self._context.journal.intend(self.task_id)
            self._context.journal.check_epoch()
            if self.stopping.is_set():
                return
            failpoints.reach("after-create-before-start")
            self._tried.add(name)
            try:
                await self._context.daemon.api.json("POST", f"/containers/{self.docker_name(name)}/start")
            except ApiError as error:
                if error.status == 404 and "No such container" in error.message:
                    return
                raise _cannot_start(name, error.message, (await self._look_at(name)).exit_code) from error
            failpoints.reach("after-start-before-report")

    async def _join_network(self, name: str, found: Mapping[str, Any]) -> None:
        """Gives a container on Docker's bridge, or on the network of its gang, a second interface, by which it reaches
        the service."""
        own = network_name(self.attempt_id) if self.launch.gang is not None else containers.BRIDGE
        if found.get("HostConfig", {}).get("NetworkMode") not in (containers.BRIDGE, own):
            return
        try:
            await self._context.network.join(self.docker_name(name))
        except NetworkProblem as problem:
            raise CannotStart(f"{CANNOT_START}: {problem}.", name) from problem

    async def _bring_files(self, name: str) -> None:
        """Writes its secrets into the volumes that are for them. Doing it again changes nothing."""
        for directory, archive in archives_of(self.launch, name).items():
            path = f"/containers/{self.docker_name(name)}/archive"
            try:
                await self._context.daemon.api.bytes("PUT", path, {"path": directory}, archive)
            except ApiError as error:
                raise CannotStart(f"{CANNOT_INITIALIZE}: the secrets in {directory}: {error.message}", name) from error

    # -- Ending --

    def _kill_at(self, spec: ContainerSpec) -> float | None:
        """Returns the CLOCK_BOOTTIME of its SIGKILL. A stop without grace overrules the container's own timeout."""
        due = [stop.at_seconds + grace_of(spec, stop.grace_seconds) for stop in self._stops]
        if self._ending_at is not None:
            due.append(self._ending_at + grace_of(spec, STOP_GRACE_SECONDS))
        return min(due, default=None)

    async def _stop_due(self, plan: plans.Plan) -> None:
        if plan.stop and not self._stops and self._ending_at is None:
            # Counted from the end itself, so that a server that starts meanwhile does not begin the grace anew.
            since_ms = min(plan.ends_since_ms or wall_ms(), wall_ms())
            self._ending_at = boot_seconds() - (wall_ms() - since_ms) / 1000
        for spec in self.specs:
            if spec.name not in plan.stop:
                continue
            kill_at = self._kill_at(spec)
            if kill_at is not None and kill_at <= boot_seconds():
                await self._signal(spec.name, "SIGKILL")
            elif spec.name not in self._sigtermed:
                await self._signal(spec.name, "SIGTERM")
                self._sigtermed.add(spec.name)

    async def _signal(self, name: str, signal: str) -> None:
        self._context.journal.check_epoch()
        try:
            await self._context.daemon.api.json(
                "POST", f"/containers/{self.docker_name(name)}/kill", {"signal": signal}
            )
        except ApiError as error:
            if error.status not in (404, 409):  # it ended meanwhile
                raise

    async def _end(self, seen: Mapping[str, Seen], plan: plans.Plan) -> Final:
        """Completes the logs, and returns the report."""
        for name, one in seen.items():
            if one.has_started or name in self._logs:
                await self._seal(name, one)
        if any(one.state is State.ABSENT for one in seen.values()):
            started_at_ms = self.started.at_ms if self.started is not None else 0
            return Lost(self.attempt_id, wall_ms(), GONE, started_at_ms, node=self.node)
        if any(self._ended_with_host(one) for one in seen.values()):
            return Lost(self.attempt_id, wall_ms(), REBOOTED, _started_at_ms(seen), node=self.node)
        for one in seen.values():
            if await self._is_made_up(one):
                return Lost(self.attempt_id, wall_ms(), UNRECORDED_END, _started_at_ms(seen), node=self.node)
        exits = tuple(self._exit_of(seen[spec.name], plan) for spec in self.specs)
        if self.started is None:
            self.started = Started(self.attempt_id, _started_at_ms(seen), node=self.node)
            self._context.report(self.started)
        stopped_at_ms = max(one.finished_at_ms for one in seen.values())
        return Exited(
            self.attempt_id, self.started.at_ms, max(stopped_at_ms, self.started.at_ms), exits, node=self.node
        )

    def _ended_with_host(self, seen: Seen) -> bool:
        """Whether the container was ended by the host's own end: after it Docker makes up a code and an end time."""
        intent = self._context.journal.intents.get(self.task_id)
        if intent is None or intent.boot_id == self._context.journal.boot_id or seen.state is not State.EXITED:
            return False
        booted_at_ms = wall_ms() - int(boot_seconds() * 1000)
        return not seen.finished_at_ms or seen.finished_at_ms >= booted_at_ms - BOOT_SLACK_MS

    async def _is_made_up(self, one: Seen) -> bool:
        """Whether Docker made up the exit code. A daemon that dies between a container's end and the record of it shows
        0 and no end time afterwards, or what containerd makes up. A program may exit so too, but then there is an
        event."""
        if one.state is not State.EXITED or (not one.has_no_end and one.exit_code != MADE_UP_EXIT_CODE):
            return False
        if one.has_no_end:
            return True
        return not await self._remembers(one, "die", since_seconds=one.started_at_ms // 1000)

    def _exit_of(self, one: Seen, plan: plans.Plan) -> ContainerExit:
        if one.state is State.EXITED:
            meter = self.meters.get(one.name) or Meter()
            return ContainerExit(
                one.name,
                one.exit_code,
                one.signal,
                one.out_of_memory,
                meter.peak_memory_mib,
                meter.cpu_ms,
                stopped_at_ms=one.finished_at_ms,
            )
        return self._refused.get(one.name) or ContainerExit(one.name, reason=plan.reasons[one.name])

    async def _seal(self, name: str, one: Seen) -> None:
        if name not in self._sealed:
            await self._log_of(name, one).seal()
            self._sealed.add(name)

    def _log_of(self, name: str, one: Seen) -> ContainerLog:
        if name not in self._logs:
            self._logs[name] = ContainerLog(
                self._context.daemon,
                self.docker_name(name),
                log_path(self._context.logs_dir, self.task_id, name),
                self._context.placing.log_limit_bytes,
                one.started_at_ms,
                self._context.journal.check_epoch,
            )
        return self._logs[name]


def _started_at_ms(seen: Mapping[str, Seen]) -> int:
    """Returns the start of the last container: waiting for one another belongs to STARTING."""
    return max(one.started_at_ms for one in seen.values())


def _cannot_start(name: str, message: str, exit_code: int) -> CannotStart:
    known = exit_code if exit_code in (NOT_FOUND_EXIT_CODE, NOT_EXECUTABLE_EXIT_CODE) else None
    return CannotStart(f"{CANNOT_START}: Error response from daemon: {gpus.explained(message)}", name, known)


def wall_ms() -> int:
    return int(time.time() * 1000)
