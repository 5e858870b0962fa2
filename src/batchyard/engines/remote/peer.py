"""What a server knows of one joined host: the attempts on it, what is still to be sent, and its lease."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import TaskSpec
from batchyard.core.model.reports import Lost, Report, Started
from batchyard.engines.base import Launch, Recovery
from batchyard.engines.remote.leases import GrantedLease
from batchyard.engines.remote.messages import Commands, Recover, Stop, without_task

HOST_LOST = "The host was not heard of for longer than its lease: nothing that it ran lives any more."


class LiveAttempt:
    """A node of an attempt, from its launch or recovery to its acknowledgement."""

    __slots__ = ("grace_seconds", "is_lost", "is_sent", "known_started", "launch", "may_launch")

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.may_launch = True
        self.known_started = False
        self.is_sent = False  # else it has never left this process: it can't have run
        self.is_lost = False  # reported as lost, and not to be run or asked about any more
        self.grace_seconds: float | None = None  # a stop was asked


class Peer:
    """One host by its instance id, whether it is connected or not. `log_bytes`: returns how much of a task's log has
    come."""

    def __init__(self, instance_id: str, lease: GrantedLease, log_bytes: Callable[[str], int]) -> None:
        self.instance_id = instance_id
        self.lease = lease
        self.boot_id = ""
        self.is_connected = False
        self.is_given_up = False  # its lease was over, and it has not been connected since
        self.live: dict[str, LiveAttempt] = {}  # by task id
        self._log_bytes = log_bytes
        self._launch: list[Launch] = []
        self._stop: list[Stop] = []
        self._acknowledge: list[AttemptNode] = []

    # -- what the server wants --

    def launch(self, launch: Launch) -> None:
        self.live.setdefault(launch.task_id, LiveAttempt(launch))
        self._launch.append(launch)

    def stop(self, attempt_node: AttemptNode, grace_seconds: float) -> None:
        known = self.live.get(attempt_node.task_id)
        if known is not None:
            known.grace_seconds = grace_seconds
        self._stop.append(Stop(attempt_node, grace_seconds))

    def acknowledge(self, attempt_node: AttemptNode) -> None:
        self.live.pop(attempt_node.task_id, None)
        self._acknowledge.append(attempt_node)

    def recover(self, recovery: Recovery) -> None:
        """Adds an attempt of an earlier server, which has sent it or may have."""
        live = self.live.setdefault(recovery.launch.task_id, LiveAttempt(recovery.launch))
        live.may_launch = recovery.may_launch
        live.known_started = live.known_started or recovery.known_started
        live.is_sent = True

    # -- what is to be sent --

    def reconnect(self) -> Commands:
        """Returns the first message of a new connection: it asks about everything that may be alive there, since
        messages sent before may be lost with the connection. Launches that were never sent follow."""
        self._launch = [one.launch for one in self.live.values() if not (one.is_sent or one.is_lost)]
        known = [one for one in self.live.values() if one.is_sent and not one.is_lost]
        self._stop = [
            Stop(one.launch.attempt_node, one.grace_seconds)
            for one in self.live.values()
            if one.grace_seconds is not None and not one.is_lost
        ]
        self._acknowledge.clear()  # what was not acknowledged is reported again
        tasks: dict[int, TaskSpec] = {}
        recover = tuple(
            Recover(
                _sent(one.launch, tasks),
                one.may_launch and not one.known_started,
                one.known_started,
                self._log_bytes(task_id),
            )
            for one in known
            for task_id in (one.launch.task_id,)
        )
        return self._take(tasks, recover)

    def take(self) -> Commands | None:
        """Returns what is to be sent to a connected host; None: nothing."""
        if not (self._launch or self._stop or self._acknowledge):
            return None
        return self._take({}, None)

    def _take(self, tasks: dict[int, TaskSpec], recover: tuple[Recover, ...] | None) -> Commands:
        launches, stops, acknowledged = self._launch, self._stop, self._acknowledge
        self._launch, self._stop, self._acknowledge = [], [], []
        for launch in launches:
            if launch.task_id in self.live:
                self.live[launch.task_id].is_sent = True
        return Commands(
            tasks=tasks,
            recover=recover,
            launch=tuple(_sent(launch, tasks) for launch in launches),
            stop=tuple(stops),
            acknowledge=tuple(acknowledged),
        )

    # -- what happens there --

    def note(self, reports: Iterable[Report]) -> None:
        for report in reports:
            live = self.live.get(report.task_id)
            if live is not None and isinstance(report, Started):
                live.known_started = True

    def lose(self, now_ms: int) -> Sequence[Lost]:
        """Gives up everything on the host, whose lease is over. Returns the reports of it."""
        lost: list[Lost] = []
        for live in self.live.values():
            if not live.is_lost:
                live.is_lost = True
                node = live.launch.attempt_node
                lost.append(Lost(node.attempt_id, now_ms, HOST_LOST, node=node.node))
        self._launch.clear()
        self._stop.clear()
        return lost


def _sent(launch: Launch, tasks: dict[int, TaskSpec]) -> Launch:
    tasks.setdefault(launch.spec_key, launch.task)
    return without_task(launch)
