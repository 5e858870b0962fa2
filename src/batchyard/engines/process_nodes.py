"""Nodes of multi-node jobs as processes of this host: the directories that the nodes of an attempt share, and what is
added to the launch of each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.gang import Gang
from batchyard.engines.base import Launch
from batchyard.engines.gang_directories import GangDirectories, agent_command, variables
from batchyard.engines.start_failures import CannotStart
from batchyard.engines.supervisor.protocol import LaunchItem
from batchyard.engines.supervisor.spawner import identity_of

DIRECTORY = ".gangs"  # in the work directory; the supervisor's sweep leaves it alone
FAILED_KEPT_SECONDS = 7 * 24 * 3600.0  # the supervisor's default, for scratch directories of other jobs
ROUTES = Path("/proc/net/route")  # a line each: interface, destination, gateway, ..., mask as the eighth (proc(5))
ANY_ADDRESS = "00000000"
log = logging.getLogger(__name__)


def outgoing_interface(routes: Path = ROUTES) -> str:
    """Returns the name of the interface with the default route of IPv4; empty: there is none."""
    try:
        lines = routes.read_text().splitlines()[1:]
    except OSError:
        return ""
    fields = [line.split() for line in lines]
    return next((found[0] for found in fields if len(found) > 7 and found[1] == found[7] == ANY_ADDRESS), "")


class ProcessNodes:
    """`allow_root`: jobs may name root as their user. `kept_seconds`: how long the files of failed attempts
    stay; None: as long as those of other jobs by default."""

    def __init__(self, work_dir: Path, *, allow_root: bool, kept_seconds: float | None = None) -> None:
        self._kept_seconds = FAILED_KEPT_SECONDS if kept_seconds is None else kept_seconds
        self._directories = GangDirectories(work_dir / DIRECTORY)
        self._allow_root = allow_root
        self._failed: set[str] = set()  # attempts whose main node failed, and whose other nodes are not accounted for
        self._loop: asyncio.AbstractEventLoop | None = None
        self._removals: list[asyncio.Future[None]] = []

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def with_node(self, item: LaunchItem, launch: Launch, gang: Gang) -> LaunchItem:
        """Returns the item of a node: it runs beside its agent in a directory that all nodes share. The variables about
        the other nodes are weaker than the attempt's own, and than the definition's."""
        attempt_id, node = launch.attempt_id, launch.attempt_node.node
        nodes = str(self._directories.nodes_directory(attempt_id))
        taken = {name for name, _ in (*launch.task.environment, *item.environment)}
        offered = variables(
            gang,
            node,
            nodes,
            is_shared_host=True,
            interface=outgoing_interface(),
            gpu_count=len(launch.device_ids),
        )
        weaker = tuple((name, value) for name, value in offered.items() if name not in taken)
        try:
            self._directories.make(attempt_id, gang, self._owner_of(launch.task.user))
        except OSError as error:
            log.warning("the nodes of attempt %s have no directory in common: %s", attempt_id, error)
        return replace(
            item,
            environment=(*weaker, *item.environment),
            directory="" if launch.task.working_directory else str(self._directories.scratch_directory(attempt_id)),
            prefix=agent_command(nodes, node),
        )

    def _owner_of(self, user: str) -> tuple[int, int] | None:
        """Returns user and group of a job's processes; None: our own, or one that can't be used, as the supervisor
        reports."""
        try:
            identity = identity_of(user, allow_root=self._allow_root) if user else None
        except CannotStart:
            return None
        return None if identity is None else (identity.uid, identity.gid)

    def ended(self, attempt_node: AttemptNode, gang: Gang, exit_code: int | None) -> None:
        """Handles the final report of a node."""
        if attempt_node.node == gang.main_node and exit_code != 0:
            self._failed.add(attempt_node.attempt_id)
        self._directories.node_ended(attempt_node.attempt_id, attempt_node.node)

    def forget(self, attempt_id: str, alive: Collection[str]) -> None:
        """Removes the directories of an attempt whose last node is acknowledged. The scratch directory of one whose
        main node failed is kept for a while; those of attempts that failed long ago are removed. `alive`: the ids of
        the attempts that have nodes left."""
        has_failed = attempt_id in self._failed
        self._failed.discard(attempt_id)

        def work() -> None:
            self._directories.remove(attempt_id, with_scratch=not has_failed)
            self._directories.sweep(alive, self._kept_seconds)

        self._in_thread(work)

    def sweep(self, alive: Collection[str]) -> None:
        """Removes what was left long ago of attempts that are not alive."""
        self._in_thread(partial(self._directories.sweep, alive, self._kept_seconds))

    def _in_thread(self, work: Callable[[], None]) -> None:
        """Does work on directories, which may be large, beside the event loop. What it leaves is swept later."""

        def reported() -> None:
            try:
                work()
            except OSError as error:
                log.warning("directories of multi-node jobs stay for now: %s", error)

        self._removals = [one for one in self._removals if not one.done()]
        assert self._loop is not None, "work before start"
        self._removals.append(self._loop.run_in_executor(None, reported))

    async def close(self) -> None:
        if self._removals:
            await asyncio.wait(self._removals)
