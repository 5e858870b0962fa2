"""What the facts alone say of every job and child, held against the table of states."""

from __future__ import annotations

from collections.abc import Sequence

from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobStateChanged, expand
from batchyard.core.model.lifecycle import TABLE
from batchyard.core.model.records import Status

# A step of the table is the only way from a state to the next; none leads back to where it began.
STEPS = {(before, after) for (before, _), after in TABLE.items()}
assert all(before is not after for before, after in STEPS)


class FactLedger:
    def __init__(self) -> None:
        self.statuses: dict[str, Status] = {}  # by job id, children too
        self.paths: dict[str, list[Status]] = {}

    def take(self, facts: Sequence[Fact], *, are_delivered: bool = False) -> None:
        """A change that had no fact, or two, breaks the chain of steps."""
        for fact in facts if are_delivered else expand(facts):
            if not isinstance(fact, JobStateChanged):
                continue
            before, is_child = self.statuses.get(fact.job_id), bool(fact.stop)
            if before is None:
                assert fact.status is (Status.PENDING if is_child else Status.SUBMITTED), fact
            else:
                assert (before, fact.status) in STEPS, f"{before} -> {fact}"
            self.statuses[fact.job_id] = fact.status
            self.paths.setdefault(fact.job_id, []).append(fact.status)
