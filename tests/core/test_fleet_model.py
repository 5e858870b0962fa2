"""Environments that scale against a second, naive model: random small fleets with boots that take no time."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchyard.core.model.records import Instance, InstanceState, Status
from tests.core.driver import Driver
from tests.core.naive_fleet import SIZES, NaiveEnvironment, NaiveHost, NaiveJob, could_ever_run, runs_once_alone, spread

IDLE_MS = 30_000
SHAPES = st.builds(NaiveJob, st.sampled_from([1, 1, 2, 3, 4, 8]), st.sampled_from([100, 1000, 5000, 14000]))
HOSTS = st.builds(NaiveHost, st.sampled_from([8, 13, 32]), st.sampled_from([20_000, 64_000]))
STRATEGIES = st.sampled_from(["BEST_FIT", "BEST_FIT_PROGRESSIVE"])
KINDS = st.sampled_from(["EC2", "SPOT"])
RANDOM = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Drawn = tuple[NaiveEnvironment, str, str]


@st.composite
def environments(draw: st.DrawFn, of_one_type: bool) -> Drawn:
    """With its kind and its strategy. minvCpus only where there is one type: else many fleets would do."""
    kind, strategy = draw(KINDS), draw(STRATEGIES)
    names = st.lists(st.sampled_from(sorted(SIZES)), min_size=1, max_size=1 if of_one_type else 3, unique=True)
    types = tuple(draw(names))
    most = draw(st.sampled_from([2, 3, 4, 8, 11]))
    least = draw(st.sampled_from([0, 0, 1, 2, 4])) if len(types) == 1 else 0
    return drawn_of(types, min(least, most), most, kind, strategy)


def drawn_of(types: tuple[str, ...], least: int, most: int, kind: str, strategy: str) -> Drawn:
    waits = strategy == "BEST_FIT"
    return NaiveEnvironment(types, least, most, waits and kind == "EC2", waits), kind, strategy


class Yard:
    """The driver with one queue over the environments; whatever is launched is ready, whatever ends is gone."""

    def __init__(self, host: NaiveHost, drawn: list[Drawn]) -> None:
        self.driver = Driver(vcpus=host.vcpus, memory_mib=host.memory_mib)
        self.names = [f"fleet-{number}" for number in range(len(drawn))]
        for name, (one, kind, strategy) in zip(self.names, drawn, strict=True):
            members: dict[str, Any] = {"minvCpus": one.least, "allocationStrategy": strategy}
            self.driver.fleet(name, *one.types, most=one.most, kind=kind, **members)
        self.driver.queue("all", *self.names)
        self.settle()

    def settle(self) -> None:
        while self.driver.launching or self.driver.terminated:
            self.driver.booted(*self.driver.launching)
            self.driver.gone()

    def submit(self, job: NaiveJob, **members: Any) -> str:
        asked = [{"type": "VCPU", "value": str(job.vcpus)}, {"type": "MEMORY", "value": str(job.memory_mib)}]
        job_id = self.driver.submit(queue="all", overrides={"resourceRequirements": asked}, **members)
        self.settle()
        return job_id

    def instances(self) -> list[Instance]:
        return [one for name in self.names for one in self.driver.instances(name)]

    def types(self, name: str) -> list[str]:
        return sorted(one.instance_type for one in self.driver.instances(name))

    def finish(self, job_id: str) -> None:
        self.driver.exited(job_id)
        self.settle()

    def rest(self) -> None:
        """Until nothing more happens by itself."""
        for _ in range(3):
            self.driver.tick(IDLE_MS)
            self.settle()


@RANDOM
@given(HOSTS, st.lists(environments(of_one_type=True), min_size=1, max_size=3), SHAPES, st.integers(1, 40))
def test_an_array_gets_exactly_the_instances_that_it_needs(
    host: NaiveHost, drawn: list[Drawn], shape: NaiveJob, count: int
) -> None:
    naive = [one for one, _, _ in drawn]
    for one in naive:
        one.has = [one.types[0]] * one.kept()
    everything = [name for one in naive for name in one.has]
    if not host.holds(everything):
        return  # whose minvCpus are kept is then a matter of order
    yard = Yard(host, drawn)
    assert [yard.types(name) for name in yard.names] == [one.has for one in naive], "minvCpus, and nothing more"
    placed = spread(shape, count, naive, host)
    yard.submit(shape, **({"array_size": count} if count > 1 else {}))
    assert len(yard.driver.placed()) == placed
    assert [yard.types(name) for name in yard.names] == [one.has for one in naive]
    for job_id in yard.driver.placed():
        yard.finish(job_id)
    while yard.driver.placed():
        for job_id in yard.driver.placed():
            yard.finish(job_id)
    yard.rest()
    assert [len(yard.types(name)) for name in yard.names] == [one.kept() for one in naive]


@RANDOM
@example(  # what minvCpus leave of the host is too little for the types below maxvCpus, and enough for one above
    NaiveHost(8, 20_000),
    [
        drawn_of(("c5.large",), 1, 2, "EC2", "BEST_FIT"),
        drawn_of(("c5.2xlarge", "c5.xlarge", "r5.large"), 0, 2, "EC2", "BEST_FIT_PROGRESSIVE"),
    ],
    [(NaiveJob(1, 5000), 0, 0)],
)
@example(  # BEST_FIT waits for the cheaper r5.large there, and never takes the c5.xlarge
    NaiveHost(8, 20_000),
    [
        drawn_of(("c5.large",), 1, 2, "EC2", "BEST_FIT"),
        drawn_of(("c5.xlarge", "r5.large"), 0, 4, "EC2", "BEST_FIT"),
    ],
    [(NaiveJob(1, 5000), 0, 0)],
)
@given(
    HOSTS,
    st.lists(environments(of_one_type=False), min_size=1, max_size=3),
    st.lists(st.tuples(SHAPES, st.integers(0, 5), st.integers(0, 40_000)), min_size=1, max_size=14),
)
def test_random_jobs_all_run_and_nothing_is_launched_in_vain(
    host: NaiveHost, drawn: list[Drawn], steps: list[tuple[NaiveJob, int, int]]
) -> None:
    naive = [one for one, _, _ in drawn]
    reserved = [one.types[0] for one in naive for _ in range(one.kept() if one.least else 0)]
    if not host.holds(reserved):
        return
    yard = Yard(host, drawn)
    shapes: dict[str, NaiveJob] = {}
    for shape, finished, pause_ms in steps:
        before = {one.instance_id for one in yard.instances()}
        job_id = yard.submit(shape)
        shapes[job_id] = shape
        new = [one for one in yard.instances() if one.instance_id not in before]
        attempt = yard.driver.job(job_id).attempt
        assert len(new) <= 1, f"one job, and {new} were launched"
        if new:
            assert attempt is not None, "what was launched for it is its own"
            assert attempt.main.instance_id == new[0].instance_id, "none is launched while one that is there would do"
        check(yard, naive, shapes)
        for placed in yard.driver.placed()[:finished]:
            yard.finish(placed)
        yard.driver.tick(pause_ms)
        yard.settle()
        check(yard, naive, shapes)
    run_out(yard)
    others = [[o.types[0] for o in naive if o is not one for _ in range(o.kept() if o.least else 0)] for one in naive]
    for job_id, shape in shapes.items():
        left = list(zip(naive, others, strict=True))
        ever = any(runs_once_alone(shape, one, host, rest) for one, rest in left)
        # Larger than maxvCpus, it may still find room on an instance that passes them for others; and BEST_FIT may or
        # may not prefer a type that the others leave room for.
        may = any(shape.vcpus > one.most and not one.is_strict for one in naive)
        may = may or any(could_ever_run(shape, one, host, rest) for one, rest in left)
        status = yard.driver.status(job_id)
        assert status is (Status.SUCCEEDED if ever else Status.RUNNABLE) or (may and not ever), f"{shape}: {status}"
        if status is Status.RUNNABLE and any(could_ever_run(shape, one, host, []) for one in naive):
            break  # it waits at the head for what others' minvCpus keep, and everybody behind it with it
    assert Counter(one.environment for one in yard.instances()) == Counter(
        {name: one.kept() for name, one in zip(yard.names, naive, strict=True) if one.least and one.kept()}
    )


def check(yard: Yard, naive: list[NaiveEnvironment], shapes: dict[str, NaiveJob]) -> None:
    """Everything that runs fits where it is; an environment passes maxvCpus by the last of its instances at most."""
    on: dict[str, list[NaiveJob]] = {}
    for job_id in yard.driver.placed():
        attempt = yard.driver.job(job_id).attempt
        assert attempt is not None
        on.setdefault(attempt.main.instance_id, []).append(shapes[job_id])
    for one in yard.instances():
        vcpus, memory_mib = SIZES[one.instance_type]
        jobs = on.pop(one.instance_id, [])
        assert one.state is InstanceState.READY
        assert sum(j.vcpus for j in jobs) <= vcpus, f"{jobs} on {one}"
        assert sum(j.memory_mib for j in jobs) <= memory_mib, f"{jobs} on {one}"
    assert not on, f"jobs run on instances that are not there: {on}"
    for name, environment in zip(yard.names, naive, strict=True):
        sizes = [SIZES[kind][0] for kind in yard.types(name)]
        assert sum(sizes) - max(sizes, default=0) < environment.most
        assert not environment.is_strict or sum(sizes) <= environment.most


def run_out(yard: Yard) -> None:
    """Everything that runs ends, again and again, with time for what is idle to make room."""
    for _ in range(40):
        for job_id in yard.driver.placed():
            yard.finish(job_id)
        yard.rest()
        if not yard.driver.placed():
            return
    raise AssertionError("it never comes to an end")


def test_the_naive_model_says_what_the_guide_says() -> None:
    """Beyond the first environment's maxvCpus the second one is used, and BEST_FIT stays below it."""
    first = NaiveEnvironment(("c5.xlarge",), 0, 6, is_strict=False)
    second = NaiveEnvironment(("c5.large",), 2, 5, is_strict=True)
    assert spread(NaiveJob(1, 100), 20, [first, second], NaiveHost(32, 64_000)) == 12
    assert (first.has, second.has) == (["c5.xlarge"] * 2, ["c5.large"] * 2)
    assert second.kept() == 1
    assert not could_ever_run(NaiveJob(1, 4000), second, NaiveHost(32, 64_000), [])
