"""Checks the order and the times of the durable statuses of environments and queues."""

from __future__ import annotations

from batchyard.core.model.records import Environment, Health, Queue
from batchyard.simulator.attempt_ledger import ViolationError
from batchyard.store import codec
from batchyard.store.codec import Rows

NEXT = {
    None: (Health.CREATING, Health.VALID),  # VALID at once: what the service makes for itself
    Health.CREATING: (Health.CREATING, Health.VALID),
    Health.UPDATING: (Health.UPDATING, Health.VALID),
    Health.VALID: (Health.VALID, Health.UPDATING, Health.DELETING),
    Health.DELETING: (Health.DELETING,),
}


class SettlingOracle:
    """Checks each status. `settle_ms` 0: only deletions have a transient status."""

    def __init__(self, settle_ms: int) -> None:
        self.settle_ms = settle_ms
        self._known: dict[tuple[str, str], tuple[Health, int]] = {}  # (kind, name) -> its status, and since when

    def before_durable(self, rows: Rows, now_ms: int) -> None:
        records: list[tuple[str, Environment | Queue]] = [
            *(("environment", codec.decode_environment(row[-1])) for row in rows.environments),
            *(("queue", codec.decode_queue(row[-1])) for row in rows.queues),
        ]
        for kind, record in records:
            self._check(kind, record.name, record.status, now_ms)
        for kind, gone in (("environment", rows.deleted_environments), ("queue", rows.deleted_queues)):
            for (name,) in gone:
                status, since_ms = self._known.pop((kind, name), (Health.DELETING, now_ms))
                is_known = status is Health.DELETING
                if self.settle_ms and not (is_known and now_ms - since_ms >= self.settle_ms):
                    raise ViolationError(f"the {kind} {name} is gone at {now_ms}, and was {status} since {since_ms}")

    def _check(self, kind: str, name: str, status: Health, now_ms: int) -> None:
        old, since_ms = self._known.get((kind, name), (None, now_ms))
        self._known[kind, name] = status, now_ms if old is not status else since_ms
        if not self.settle_ms:
            if status not in (Health.VALID, Health.DELETING):
                raise ViolationError(f"the {kind} {name} is {status}, and changes take no time")
            return
        if status not in NEXT[old]:
            raise ViolationError(f"the {kind} {name} was {old} and is {status}")
        if old in (Health.CREATING, Health.UPDATING) and status is Health.VALID and now_ms - since_ms < self.settle_ms:
            raise ViolationError(f"the {kind} {name} is {status} at {now_ms}, and was {old} since {since_ms}")

    def is_leaving(self, kind: str, name: str) -> bool:
        return self._known.get((kind, name), (None, 0))[0] is Health.DELETING

    def check_end(self) -> None:
        """Checks the statuses after a long time without events."""
        left = {place: status for place, (status, _) in self._known.items() if status is not Health.VALID}
        if left:
            raise ViolationError(f"these never settle: {left}")
