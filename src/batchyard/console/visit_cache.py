"""What executions on screens did, as it was read: a page that looks again reads what is new alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator

from batchyard.analysis.execution_paths import Answer, Asked, read_visits
from batchyard.analysis.state_visits import Visits

MAX_EXECUTIONS = 16  # that people look at now; a long history is some 20 MB


class VisitCache:
    """The visits of the executions that were looked at last. An execution that was deleted and started anew under its
    name is another one: it is known by when it started, too."""

    def __init__(self) -> None:
        self._visits: OrderedDict[tuple[str, float], Visits] = OrderedDict()

    def read(self, arn: str, started_at: float) -> Generator[Asked, Answer, Visits]:
        """Returns the visits of an execution up to now."""
        key = arn, started_at
        visits = self._visits.setdefault(key, Visits())
        self._visits.move_to_end(key)
        while len(self._visits) > MAX_EXECUTIONS:
            self._visits.popitem(last=False)
        return (yield from read_visits(arn, visits))
