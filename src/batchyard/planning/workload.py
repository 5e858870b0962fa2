"""Jobs of a trace: what is submitted when, what it asks for, and how long it runs."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

MS = 1000
ITSELF = -1


class PlannedJob(Struct, frozen=True):
    """One submission. `submit_ms`: from the beginning of the trace. `runs_ms`: how long it runs, on the instance types
    it was measured on; of an array, by child. `limit_ms`: its timeout; 0: none. `milli_vcpus`, `memory_mib`, `gpus`: of
    each child, or of each node. `depends_on`: (place in the workload, type) of jobs that it waits for; the place is
    ITSELF for an array whose children run one after the other."""

    submit_ms: int
    runs_ms: tuple[int, ...]
    milli_vcpus: int
    memory_mib: int
    gpus: int = 0
    nodes: int = 1
    queue: str = "default"
    share: str = ""
    priority: int = 0
    limit_ms: int = 0
    definition: str = ""
    depends_on: tuple[tuple[int, str], ...] = ()

    @property
    def size(self) -> int:
        """How many children it has; 1: it is no array."""
        return len(self.runs_ms)


class Workload(Struct, frozen=True):
    """`jobs`: by submission. `notes`: sentences on what was left out or changed while it was read. `vcpus`: what the
    trace's own machine had; 0: it does not say so. `source`: one line for the report."""

    jobs: Sequence[PlannedJob]
    source: str
    notes: tuple[str, ...] = ()
    vcpus: int = 0
    memory_mib: int = 0

    @property
    def children(self) -> int:
        """How many jobs run: each child of an array is one."""
        return sum(job.size for job in self.jobs)


class TraceError(Exception):
    """A trace that cannot be read: a sentence for the user."""
