"""The unfinished jobs and the indexes over them: arrays, dependencies, ids, and what is remembered of finished ones."""

from __future__ import annotations

from collections import deque

from batchyard.core.model import names
from batchyard.core.model.records import Job, JobSpec, Status
from batchyard.core.state.arrays import ArrayProgress


class Jobs(dict[int, Job]):
    """Unfinished rows by key, with the indexes over them. The `array` member of a parent's row is as of the last batch;
    `arrays` has the present progress."""

    __slots__ = (
        "arrays",
        "by_id",
        "dependents",
        "finished",
        "finished_order",
        "followers",
        "next_key",
        "parents",
        "sources",
        "specs",
        "tags",
        "touched_arrays",
        "unmet",
    )

    def __init__(self) -> None:
        super().__init__()
        self.specs: dict[int, JobSpec] = {}  # unfinished top-level jobs
        self.arrays: dict[int, ArrayProgress] = {}  # unfinished and recently finished arrays
        self.touched_arrays: set[int] = set()  # arrays whose progress changed in this batch
        self.parents: dict[int, int] = {}  # key of a child's row -> key of its parent
        self.by_id: dict[str, int] = {}  # uuid -> key, unfinished and recently finished
        self.finished: dict[int, Status] = {}  # recently finished top-level jobs
        self.finished_order: deque[tuple[int, int, str]] = deque()  # (when to forget, key, uuid)
        self.dependents: dict[int, list[int]] = {}  # key waited for -> keys that wait
        self.unmet: dict[int, int] = {}  # key that waits -> number of unfinished dependencies
        self.followers: dict[int, list[int]] = {}  # array -> arrays that follow it N_TO_N
        self.sources: dict[int, tuple[int, ...]] = {}  # array -> the arrays it follows
        self.tags: dict[int, dict[str, str]] = {}  # tags of jobs, where they differ from the spec's
        self.next_key = 1

    def spec_of(self, key: int) -> JobSpec:
        """Returns the submission that a row belongs to: its own, or its parent's."""
        return self.specs[self.parents.get(key, key)]

    def index_of(self, key: int) -> int | None:
        """Returns the array index of a child's row; None for a job that is no child."""
        parent = self.parents.get(key)
        return None if parent is None else names.child_index(parent, key)

    def id_of(self, key: int) -> str:
        """Returns the job id of a row: `UUID`, or `UUID:INDEX`."""
        spec, index = self.spec_of(key), self.index_of(key)
        return spec.job_id if index is None else names.child_id(spec.job_id, index)

    def status_at(self, key: int, index: int | None) -> Status | None:
        """Returns the status of a known top-level job, or of a child: None while a child has no row and is not
        final."""
        if index is not None:
            final = self.arrays[key].final_status(index)
            if final is not None:
                return final
            row = self.get(names.child_key(key, index))
            return None if row is None else row.status
        if key in self.finished:
            return self.finished[key]
        return self[key].status

    def rows_of(self, parent_key: int) -> list[int]:
        """Returns the keys of an array's unfinished children that have a row, ascending."""
        return sorted(key for key, parent in self.parents.items() if parent == parent_key)

    def touch(self, parent_key: int) -> None:
        """Marks an array whose progress changed: its parent's record is written at the end of the batch."""
        self.touched_arrays.add(parent_key)

    def forget_finished(self, now_ms: int) -> None:
        """Removes what is remembered of finished jobs and is due to be forgotten."""
        while self.finished_order and self.finished_order[0][0] <= now_ms:
            _, key, uuid = self.finished_order.popleft()
            self.finished.pop(key, None)
            self.arrays.pop(key, None)
            self.tags.pop(key, None)
            self.by_id.pop(uuid, None)
