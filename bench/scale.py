"""What the core costs as instances and jobs grow in number, under simulated time (bench/simulated_yard.py).

`python -m bench.scale steps` measures single steps beside 10 to 10,000 instances: a pass with nothing to do, a
submission, a placement, an end, a launch, a boot report, a pass of a full environment. `python -m bench.scale jobs`
runs 10,000 and 100,000 jobs to their end. Both print microseconds of CPU and the exponent by a log-log fit: 0 is flat,
1 grows in proportion. `python -m bench.scale queues` measures a pass of 1,000 queues."""

from __future__ import annotations

import argparse
import gc
import math
import time
from collections.abc import Callable, Sequence
from functools import partial

from bench.simulated_yard import (
    BOOT_MS,
    FOREVER_MS,
    INSTANCE_VCPUS,
    SHAPES,
    TIMEOUTS_SECONDS,
    WHOLE,
    SimulatedYard,
)

INSTANCES = (10, 100, 1_000, 10_000)
JOBS = (10_000, 100_000)
ONE_HOST_VCPUS = 16_000
LOAD = 0.9
REPEATS = 50  # of a step: the median counts
MOST_SECONDS = 60.0  # of CPU for one row: after that it says how far it came
STEP_SECONDS = 5.0  # of CPU for the repetitions of one step


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Returns the slope of the line through the logarithms, by least squares. `points`: (size, cost)."""
    logs = [(math.log(size), math.log(cost)) for size, cost in points]
    mean_x, mean_y = sum(x for x, _ in logs) / len(logs), sum(y for _, y in logs) / len(logs)
    spread = sum((x - mean_x) ** 2 for x, _ in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread


def timed(action: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Returns the median of the CPU seconds that an action takes, each time after `before`."""
    taken: list[float] = []
    end = time.process_time() + STEP_SECONDS
    while len(taken) < REPEATS and (not taken or time.process_time() < end):
        before()
        start = time.process_time()
        action()
        taken.append(time.process_time() - start)
    return sorted(taken)[len(taken) // 2]


# -- single steps --


def idle_steps(instances: int) -> dict[str, float]:
    """Measures instances that are kept, on which nothing runs."""
    yard = SimulatedYard(instances)
    jobs = [yard.submission(SHAPES[0]) for _ in range(REPEATS)]
    return {
        "idle pass": timed(yard.finish_batch),
        "submission": timed(lambda: yard.do(jobs.pop())),
    }


def busy_steps(instances: int, timeout_seconds: int = 0) -> dict[str, float]:
    """Measures a place on the last of the instances, the others being full; then all of them full and jobs of eight
    shapes waiting. `timeout_seconds`: of all jobs; then only the latter."""
    yard = SimulatedYard(instances)
    for _ in range(instances - 1):
        yard.do(yard.submission(WHOLE, FOREVER_MS, timeout_seconds))
    yard.finish_batch()
    found: dict[str, float] = {}

    def submit(shape: tuple[int, int] = SHAPES[0], run_ms: int = 0) -> None:
        yard.do(yard.submission(shape, run_ms, timeout_seconds))

    def end() -> None:
        yard.run_until(yard.now_ms + 1000)

    end()

    def submit_after_end() -> None:
        end()
        submit()

    def place_first() -> None:
        submit()
        yard.finish_batch()

    if not timeout_seconds:
        found["placement"] = timed(yard.finish_batch, submit_after_end)
        found["end"] = timed(end, place_first)
        end()
    submit(WHOLE, FOREVER_MS)
    for shape in SHAPES * 10:
        submit(shape)
    yard.finish_batch()
    found["full, timeouts" if timeout_seconds else "full pass"] = timed(yard.finish_batch, submit)
    return found


def growing_steps(instances: int) -> dict[str, float]:
    """Measures one more instance, the others being full: its launch, and the report that it is ready with what is then
    placed there."""
    yard = SimulatedYard(instances, is_kept=False, spare=REPEATS * 2)
    for _ in range(instances):
        yard.do(yard.submission(WHOLE))
    yard.finish_batch()
    yard.run_until(yard.now_ms + BOOT_MS + 1000)
    found: dict[str, float] = {}

    def submit() -> None:
        yard.do(yard.submission(WHOLE))

    def submit_and_launch() -> None:
        submit()
        yard.finish_batch()

    def boot() -> None:
        yard.run_until(yard.now_ms + BOOT_MS)

    def submit_after_boot() -> None:
        boot()
        submit()

    found["launch"] = timed(yard.finish_batch, submit_after_boot)
    boot()
    found["boot"] = timed(boot, submit_and_launch)
    return found


def print_steps(sizes: Sequence[int]) -> None:
    print(f"{'µs of CPU':<14}" + "".join(f"{f'{size:,} inst.':>16}" for size in sizes) + f"{'exponent':>10}")
    for measure in (idle_steps, busy_steps, partial(busy_steps, timeout_seconds=TIMEOUTS_SECONDS[-1]), growing_steps):
        rows: dict[str, list[float]] = {}
        for size in sizes:
            gc.collect()
            for name, seconds in measure(size).items():
                rows.setdefault(name, []).append(seconds * 1e6)
        for name, costs in rows.items():
            slope = exponent(list(zip(sizes, costs, strict=True))) if len(sizes) > 1 else math.nan
            print(f"{name:<14}" + "".join(f"{cost:16,.1f}" for cost in costs) + f"{slope:10.2f}", flush=True)


# -- many queues --


def print_queues(sizes: Sequence[int], queues: int) -> None:
    """Measures a pass of many queues in front of full instances: all of them empty, then with one waiting job each, of
    eight shapes."""
    for size in sizes:
        yard = SimulatedYard(size)
        for number in range(queues):
            yard.add_queue(f"queue-{number}")
        for _ in range(size):
            yard.do(yard.submission(WHOLE))
        yard.finish_batch()
        empty = timed(yard.finish_batch)
        for number in range(queues):
            yard.do(yard.submission(SHAPES[number % len(SHAPES)], queue=f"queue-{number}"))
        yard.finish_batch()
        waiting = timed(yard.finish_batch)
        print(
            f"{queues:,} queues, {size:6,} full instances: {empty * 1e6:9,.0f} µs a pass without jobs, "
            f"{waiting * 1e6:9,.0f} µs with one waiting in each",
            flush=True,
        )


# -- jobs to their end --


def run_jobs(jobs: int, instances: int, given: argparse.Namespace) -> float | None:
    """Runs jobs that arrive at random, and prints a row. Returns microseconds of CPU a job; None: it took too long."""
    vcpus = instances * INSTANCE_VCPUS
    one_host = 0 if instances else ONE_HOST_VCPUS
    yard = SimulatedYard(instances, one_host, is_kept=not given.growing, step_ms=given.step_ms)
    yard.add_arrivals(jobs, given.load, vcpus or one_host, have_timeouts=given.timeouts)
    gc.collect()
    passes = yard.passes
    start = time.process_time()
    yard.run_to_the_end(jobs, given.seconds)
    taken = time.process_time() - start
    passes = yard.passes - passes
    what = f"{instances:,} instances{' at most' if given.growing else ''}" if instances else "one large host"
    each = taken / max(yard.ended, 1) * 1e6
    state = "" if yard.ended == jobs else f"   stopped: {yard.ended:,} ended, {yard.started:,} started"
    print(
        f"{jobs:9,} jobs  {what:<25} load {given.load:<4} step {given.step_ms:5} ms {taken:8.1f} s {each:10,.0f} µs a "
        f"job {passes:8,} passes{state}",
        flush=True,
    )
    return each if yard.ended == jobs else None


def print_jobs(given: argparse.Namespace) -> None:
    found: dict[int, list[tuple[float, float]]] = {}
    for jobs in given.jobs:
        for instances in given.instances:
            each = run_jobs(jobs, instances, given)
            if each is not None:
                found.setdefault(instances, []).append((jobs, each * jobs))
    for instances, points in found.items():
        if len(points) > 1:
            print(f"exponent over jobs, {instances or 'one host'}: {exponent(points):.2f}")
    for jobs in given.jobs:
        costs = [(n, cost) for n, points in found.items() for count, cost in points if count == jobs and n]
        if len(costs) > 1:
            print(f"exponent over instances, {jobs:,} jobs: {exponent(costs):.2f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.scale", description=__doc__)
    parser.add_argument("what", choices=("steps", "queues", "jobs"))
    parser.add_argument("--instances", type=int, nargs="+", help="how many instances; 0 (of jobs): one large host")
    parser.add_argument("--jobs", type=int, nargs="+", default=JOBS)
    parser.add_argument(
        "--load", type=float, default=LOAD, help="what arrives, as a part of what the instances could do"
    )
    parser.add_argument("--queues", type=int, default=1_000)
    parser.add_argument("--growing", action="store_true", help="launch instances as jobs ask for them")
    parser.add_argument("--timeouts", action="store_true", help="give every job a timeout")
    parser.add_argument("--step-ms", type=int, default=1000, help="what happens in one step is one batch")
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="of CPU for one row of jobs at most")
    given = parser.parse_args(arguments)
    if given.what == "steps":
        print_steps(given.instances or INSTANCES)
    elif given.what == "queues":
        print_queues(given.instances or INSTANCES[:-1], given.queues)
    else:
        given.instances = given.instances if given.instances is not None else (0, *INSTANCES[1:])
        print_jobs(given)


if __name__ == "__main__":
    main()
