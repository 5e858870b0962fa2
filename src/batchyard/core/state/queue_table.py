"""The job queues, and what is known besides their records: the waiting jobs, the head, the shares."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model import names
from batchyard.core.model.reasons import Reason
from batchyard.core.model.records import Queue, QueueHead, SchedulingPolicy
from batchyard.core.state.document_kinds import SCHEDULING_POLICY
from batchyard.core.state.fairshare import FairShare, ShareLedger
from batchyard.core.state.placement import Ahead
from batchyard.core.state.runnable import RunnableJobs


class BlockedHead(Struct, frozen=True):
    """The first job of a queue that finds no capacity. `code`: AWS's reason code, empty while it only waits its
    turn."""

    key: int
    index: int | None
    since_ms: int
    code: str = ""
    reason: str = ""  # its statusReason
    code_since_ms: int = 0  # since when it is stuck for that code


class ReportedBlocked(Struct, frozen=True):
    """The submission and reason code last reported as blocking a queue, and how often anything was reported."""

    key: int
    code: str
    count: int


class Queues(dict[str, Queue]):
    """Records by name, with the indexes over them. `forget` removes a queue from all of them."""

    __slots__ = (
        "ahead",
        "fair",
        "head_rows",
        "heads",
        "placed",
        "policies",
        "reported_blocked",
        "runnable",
        "shares",
        "stuck",
        "stuck_since",
        "touched_shares",
        "waiting",
    )

    def __init__(self) -> None:
        super().__init__()
        self.policies: dict[str, SchedulingPolicy] = {}
        self.fair: dict[str, FairShare] = {}  # scheduling policy -> parsed
        self.runnable: dict[str, RunnableJobs] = {}  # by queue
        self.waiting: set[str] = set()  # queues with jobs that could start now
        self.stuck: dict[str, dict[int, Reason]] = {}  # by queue: keys that nothing there can run, and why
        self.stuck_since: dict[int, int] = {}  # key of a job that is set aside -> since when
        self.placed: dict[str, int] = {}  # queue -> how many of its attempts are placed
        self.heads: dict[str, BlockedHead] = {}  # queue -> its first job, which finds no capacity
        self.ahead: dict[str, Ahead] = {}  # queue -> what heads of queues of higher priority wait for, in the last pass
        self.reported_blocked: dict[str, ReportedBlocked] = {}  # queue -> what was last reported there
        self.head_rows: dict[str, QueueHead] = {}  # queue -> what the store has of its head
        self.shares: dict[str, ShareLedger] = {}  # fair-share queue -> what its shares have used
        self.touched_shares: set[str] = set()  # queues whose shares changed in this batch

    def runnable_in(self, queue: str) -> RunnableJobs:
        """Returns the jobs of a queue that could start now."""
        found = self.runnable.get(queue)
        if found is None:
            found = self.runnable[queue] = RunnableJobs(queue, self.waiting)
        return found

    def has_timeouts(self) -> bool:
        """Whether a job with a timeout could start now in any queue."""
        return any(self.runnable[name].timed for name in self.waiting)

    def in_turn(self) -> list[Queue]:
        """Returns the queues with jobs that could start now, the highest priority first."""
        return sorted((self[name] for name in self.waiting), key=lambda queue: (-queue.priority, queue.name))

    def fair_share(self, queue: str) -> FairShare | None:
        """Returns how a queue is shared; None for a FIFO queue."""
        arn = self[queue].document.get("schedulingPolicyArn")
        return self.fair[names.resource_name(arn, SCHEDULING_POLICY)] if arn else None

    def forget(self, queue: str) -> None:
        """Removes a queue whose last job has ended, and everything that is known of it. A new one may take its name."""
        del self[queue]
        indexes: tuple[dict[str, object], ...] = (
            self.runnable, self.stuck, self.placed, self.heads, self.ahead, self.reported_blocked, self.head_rows,
            self.shares,
        )  # type: ignore[assignment]  # fmt: skip
        for index in indexes:
            index.pop(queue, None)
        self.touched_shares.discard(queue)
        self.waiting.discard(queue)
