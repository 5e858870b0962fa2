"""The leases of joined hosts, as state with deadlines: no clock is read here, and none is compared with another.

From afar it can't be proved that a task has ended: a cut cable leaves it alive. So a host may run tasks only for as
long as its lease lasts, and the server waits for longer than that before it runs them elsewhere.

A host sends pings, each with a number; the server answers each with a pong. The host counts its lease from the moment
it *sent* the ping that was answered, the server from the moment it *received* it, which is later. However long a
message takes, the host's lease so ends before the server's count of it. What is relied on: that the clocks of both
(CLOCK_BOOTTIME, which counts while a machine sleeps) advance at the same rate, within MARGIN_MS per lease; and that the
host ends its tasks within KILL_MS of the lease's end, or stands still, with its tasks, for as long as it does not.
"""

from __future__ import annotations

KILL_MS = 10_000  # supervisor.LEASE_KILL_SECONDS: from SIGTERM to SIGKILL
MARGIN_MS = 5_000  # for the kill itself, and for clocks that drift apart
SILENT_HEARTBEATS = 3  # without a frame for so many heartbeats, the connection counts as cut
MAX_UNANSWERED = 64  # pings: the oldest are forgotten


class HeldLease:
    """The host's side. `until_ms`: when it ends, by the host's CLOCK_BOOTTIME; 0: it was never given one."""

    def __init__(self, until_ms: int = 0) -> None:
        self.until_ms = until_ms
        self._sent: dict[int, int] = {}  # ping -> when it was sent
        self._number = 0

    def ping(self, now_ms: int) -> int:
        """Returns the number of a ping that is sent now, or later."""
        self._number += 1
        self._sent[self._number] = now_ms
        if len(self._sent) > MAX_UNANSWERED:
            del self._sent[next(iter(self._sent))]
        return self._number

    def pong(self, number: int, lease_ms: int) -> bool:
        """Handles the answer to a ping. Returns whether the lease lasts longer by it."""
        sent_ms = self._sent.pop(number, None)
        if sent_ms is None or sent_ms + lease_ms <= self.until_ms:
            return False
        self.until_ms = sent_ms + lease_ms
        return True

    def forget_pings(self) -> None:
        """Forgets what was sent over a connection that has ended: nothing that comes late renews the lease."""
        self._sent.clear()

    def is_over(self, now_ms: int) -> bool:
        return now_ms >= self.until_ms


class GrantedLease:
    """The server's side. `until_ms`: the host's lease has ended by then, by the server's CLOCK_BOOTTIME.

    A server that starts does not know what the one before it granted: it counts every lease from its start."""

    def __init__(self, now_ms: int, lease_ms: int) -> None:
        self.until_ms = now_ms + lease_ms

    def grant(self, now_ms: int, lease_ms: int) -> None:
        """Counts a ping that was received now and is about to be answered."""
        self.until_ms = max(self.until_ms, now_ms + lease_ms)

    @property
    def lost_at_ms(self) -> int:
        """The moment from which on nothing of the host's tasks lives."""
        return self.until_ms + KILL_MS + MARGIN_MS

    def is_lost(self, now_ms: int) -> bool:
        """Whether its tasks may be run elsewhere."""
        return now_ms >= self.lost_at_ms
