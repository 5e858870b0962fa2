"""A deliberately naive model of environments that scale. It imports nothing of the core: sizes from a table of its own,
jobs put one by one where AWS's rules say, with no notion of time, passes or records."""

from __future__ import annotations

from dataclasses import dataclass, field

# What the tests' types have: vCPUs, and MiB less a 64th, the kernel's 47 and the agent's 32.
SIZES = {
    "c5.large": (2, 4096 - 64 - 79),
    "c5.xlarge": (4, 8192 - 128 - 79),
    "c5.2xlarge": (8, 16384 - 256 - 79),
    "r5.large": (2, 16384 - 256 - 79),
}


@dataclass(frozen=True)
class NaiveJob:
    vcpus: int
    memory_mib: int

    def times_on(self, vcpus: int, memory_mib: int) -> int:
        return min(vcpus // self.vcpus, memory_mib // self.memory_mib)


@dataclass
class NaiveEnvironment:
    types: tuple[str, ...]
    least: int
    most: int
    is_strict: bool  # BEST_FIT on On-Demand: never passes maxvCpus
    waits: bool = False  # BEST_FIT: for the type that it prefers, whatever the host could give instead
    has: list[str] = field(default_factory=list)

    @property
    def vcpus(self) -> int:
        return sum(SIZES[one][0] for one in self.has)

    def may_add(self, kind: str) -> bool:
        return self.vcpus < self.most and not (self.is_strict and self.vcpus + SIZES[kind][0] > self.most)

    def kept(self) -> int:
        """How many instances of its only type minvCpus needs, and may have."""
        assert len(self.types) == 1
        count, size = 0, SIZES[self.types[0]][0]
        while count * size < self.least and not (self.is_strict and (count + 1) * size > self.most):
            count += 1
        return count


@dataclass
class NaiveHost:
    vcpus: int
    memory_mib: int

    def holds(self, kinds: list[str]) -> bool:
        return (
            sum(SIZES[one][0] for one in kinds) <= self.vcpus and sum(SIZES[one][1] for one in kinds) <= self.memory_mib
        )


def could_ever_run(job: NaiveJob, environment: NaiveEnvironment, host: NaiveHost, reserved: list[str]) -> bool:
    """Whether one of its types, alone on what others leave of the host, holds the job."""
    return any(host.holds([*reserved, kind]) for kind in _types_for(job, environment, host))


def runs_once_alone(job: NaiveJob, environment: NaiveEnvironment, host: NaiveHost, reserved: list[str]) -> bool:
    """The same, whichever type its strategy prefers: one that waits must find room for every type that could be it."""
    holds = [host.holds([*reserved, kind]) for kind in _types_for(job, environment, host)]
    return bool(holds) and (all(holds) if environment.waits else any(holds))


def _types_for(job: NaiveJob, environment: NaiveEnvironment, host: NaiveHost) -> list[str]:
    """Its types that hold the job, of those that it may have and the whole host could give."""
    return [
        kind
        for kind in environment.types
        if job.vcpus <= environment.most
        and job.times_on(*SIZES[kind]) > 0
        and not (environment.is_strict and SIZES[kind][0] > environment.most)
        and host.holds([kind])
    ]


def spread(job: NaiveJob, count: int, environments: list[NaiveEnvironment], host: NaiveHost) -> int:
    """`count` jobs of one shape, put one after another into environments of one type each: the first one that has room,
    or may grow. Adds to what they have; returns how many found a place. A job that none of them could ever launch an
    instance for is told so, even if one that is larger than maxvCpus stands there."""
    if not any(could_ever_run(job, environment, host, []) for environment in environments):
        return 0
    rooms = [[job.times_on(*SIZES[kind]) for kind in one.has] for one in environments]
    for done in range(count):
        for environment, free in zip(environments, rooms, strict=True):
            kind = environment.types[0]
            if any(free):
                free[next(at for at, left in enumerate(free) if left)] -= 1
                break
            everything = [name for one in environments for name in one.has]
            fits = job.times_on(*SIZES[kind]) > 0 and job.vcpus <= environment.most
            if fits and environment.may_add(kind) and host.holds([*everything, kind]):
                environment.has.append(kind)
                free.append(job.times_on(*SIZES[kind]) - 1)
                break
        else:
            return done
    return count
