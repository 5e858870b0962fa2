"""What happened in a simulation, by column: a million jobs are eight megabytes a column."""

from __future__ import annotations

from array import array

from msgspec import Struct

NEVER = -1


class InstanceLife(Struct):
    """An instance of a MANAGED environment. Times are from the beginning; `ended_ms`: NEVER: it was there at the end.
    `held_milli_vcpu_ms`: of its vCPUs, by jobs."""

    instance_id: str
    instance_type: str
    environment: str
    is_spot: bool
    milli_vcpus: int
    memory_mib: int
    gpus: int
    launched_ms: int
    ready_ms: int = NEVER
    ended_ms: int = NEVER
    is_interrupted: bool = False
    held_milli_vcpu_ms: int = 0


class Sample(Struct, frozen=True):
    """The mean of a stretch of time that begins at `at_ms`: vCPUs there, held, and jobs that wait."""

    at_ms: int
    capacity_milli_vcpus: float
    held_milli_vcpus: float
    waiting: float


class Outcome:
    """Columns by job, a child of an array being one: NEVER where something did not happen. `place`: of the submission
    in the workload."""

    def __init__(self) -> None:
        self.place = array("q")
        self.start_ms = array("q")  # of the first attempt
        self.end_ms = array("q")  # of the last
        self.has_failed = bytearray()  # by its timeout
        self.instances: dict[str, InstanceLife] = {}
        self.samples: list[Sample] = []
        self.interrupted_attempts = 0
        self.interrupted_milli_vcpu_ms = 0
        self.held_milli_vcpu_ms = 0
        self.held_mib_ms = 0
        self.held_gpu_ms = 0
        self.capacity_milli_vcpu_ms = 0
        self.free_while_waiting_ms = 0  # milli-vCPU x ms that were free while jobs waited
        self.capacity_while_waiting_ms = 0
        self.host_milli_vcpus = 0  # of UNMANAGED environments
        self.now_ms = 0
        self.is_complete = False
        self.waits_for: tuple[str, int] | None = None  # the reason of the first job that can never start, and how many

    def add_jobs(self, place: int, count: int) -> int:
        """Adds the rows of a submission. Returns the first."""
        first = len(self.place)
        self.place.extend([place] * count)
        self.start_ms.extend([NEVER] * count)
        self.end_ms.extend([NEVER] * count)
        self.has_failed.extend(bytes(count))
        return first


class Timeline:
    """Adds up amounts over time, and keeps means of at most MAX_SAMPLES stretches of equal length: twice as long when
    there are too many."""

    MAX_SAMPLES = 2000  # a plot has less points; halved when it is full

    def __init__(self) -> None:
        self._width_ms = 1000
        self._sums: list[list[float]] = []  # capacity x ms, held x ms, waiting x ms

    def add(self, from_ms: int, to_ms: int, capacity: int, held: int, waiting: int) -> None:
        """Adds a stretch in which nothing changed."""
        while to_ms > self._width_ms * self.MAX_SAMPLES:
            self._halve()
        at = from_ms
        while at < to_ms:
            place = at // self._width_ms
            end = min(to_ms, (place + 1) * self._width_ms)
            while len(self._sums) <= place:
                self._sums.append([0.0, 0.0, 0.0])
            sums, length = self._sums[place], end - at
            sums[0] += capacity * length
            sums[1] += held * length
            sums[2] += waiting * length
            at = end

    def _halve(self) -> None:
        self._width_ms *= 2
        if len(self._sums) % 2:
            self._sums.append([0.0, 0.0, 0.0])
        pairs = zip(self._sums[::2], self._sums[1::2], strict=True)
        self._sums = [[a + b for a, b in zip(one, two, strict=True)] for one, two in pairs]

    def samples(self) -> list[Sample]:
        width = self._width_ms
        return [Sample(n * width, *(value / width for value in sums)) for n, sums in enumerate(self._sums)]
