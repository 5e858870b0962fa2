"""A synthetic workload after Lublin and Feitelson (JPDC 63, 2003): sizes, run times and arrivals with a daily cycle,
as they were fitted to logs of parallel machines. Arrivals are scaled to the load that is asked for."""

from __future__ import annotations

import math
import random

from batchyard.planning.workload import MS, PlannedJob, Workload

# Their constants of the model without job types.
SERIAL, POWER_OF_TWO = 0.244, 0.576
LOW, MIDDLE, LOWER_CHANCE = 0.8, 4.5, 0.86  # of log2 of the size, in two stages
SHORT, LONG = (4.2, 0.94), (312.0, 0.03)  # shape and scale of ln of the run time: hyper-gamma
SLOPE, BASE = -0.0054, 0.78  # of the chance of a short one, by size
MAX_LN_RUN = 12.0
GAP = (10.2303 * 1.0225, 0.4871)  # of ln of the gap between arrivals at the busiest time, seconds
MAX_LN_GAP = 13.0
CYCLE = (8.1737, 3.9631)  # of the gamma distribution over the half hours of a day
HALF_HOURS, FIRST_HALF_HOUR, HALF_HOUR_SECONDS = 48, 11, 1800
MIB_CHOICES = ((512, 5), (1024, 8), (2048, 6), (4096, 3), (8192, 1))  # of a vCPU, with weights; not of the model
ROUND_LIMITS_SECONDS = (300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 43_200, 86_400, 172_800, 259_200)
SHARES = ("a", "b", "c", "d")


def lublin(jobs: int, vcpus: int, load: float, seed: int) -> Workload:
    """Makes `jobs` jobs whose work keeps `load` of `vcpus` busy, on average over the time of their arrival."""
    chance = random.Random(seed)
    largest = math.log2(max(vcpus, 2))
    weights = _cycle_weights()
    shapes = [_shape(chance, largest) for _ in range(jobs)]
    times = _arrivals(chance, jobs, weights)
    work = sum(size * run for size, run in shapes)
    span = max(times[-1] - times[0], 1.0)
    factor = work / (load * vcpus) / span
    mibs, chances = zip(*MIB_CHOICES, strict=True)
    found = []
    for at, (size, run) in zip(times, shapes, strict=True):
        limits = [limit for limit in ROUND_LIMITS_SECONDS if limit >= run]
        limit = chance.choice(limits[:4]) if limits else 0  # people ask for round times, longer than they need
        found.append(
            PlannedJob(
                submit_ms=round((at - times[0]) * factor * MS),
                runs_ms=(max(1, round(run * MS)),),
                milli_vcpus=size * 1000,
                memory_mib=size * chance.choices(mibs, chances)[0],
                share=chance.choice(SHARES),
                limit_ms=limit * MS,
                definition=f"size-{size}",
            )
        )
    source = f"generated after Lublin and Feitelson 2003: {jobs:,} jobs, load {load:g} of {vcpus:,} vCPUs, seed {seed}"
    return Workload(found, source, (), vcpus, vcpus * 4096)


def _shape(chance: random.Random, largest: float) -> tuple[int, float]:
    """Returns the vCPUs and the run time in seconds of a job."""
    if chance.random() <= SERIAL:
        size = 1
    else:
        middle = min(MIDDLE, max(largest - 1.5, LOW))
        exponent = chance.uniform(LOW, middle) if chance.random() <= LOWER_CHANCE else chance.uniform(middle, largest)
        if chance.random() * (1 - SERIAL) <= POWER_OF_TWO:
            exponent = round(exponent)
        size = max(1, min(round(2**exponent), round(2**largest)))
    short = min(1.0, max(0.0, SLOPE * size + BASE))
    while True:
        shape, scale = SHORT if chance.random() <= short else LONG
        exponent = chance.gammavariate(shape, scale)
        if exponent <= MAX_LN_RUN:
            return size, math.exp(exponent)


def _arrivals(chance: random.Random, jobs: int, weights: list[float]) -> list[float]:
    """Returns times in seconds: each gap is paid for in half hours, which count more or less by the time of day."""
    found: list[float] = []
    at, half_hour, left = 0.0, 16, 1.0  # from eight in the morning; `left`: the part of the half hour to come
    for _ in range(jobs):
        while True:
            exponent = chance.gammavariate(*GAP)
            if exponent <= MAX_LN_GAP:
                break
        points = math.exp(exponent) / HALF_HOUR_SECONDS
        while points > left * weights[half_hour]:
            points -= left * weights[half_hour]
            at += left * HALF_HOUR_SECONDS
            half_hour, left = (half_hour + 1) % HALF_HOURS, 1.0
        part = points / weights[half_hour]
        at += part * HALF_HOUR_SECONDS
        left -= part
        found.append(at)
    return found


def _cycle_weights() -> list[float]:
    """Returns the weights of the half hours of a day, 1 on average."""
    shape, scale = CYCLE
    weights = [0.0] * HALF_HOURS
    for i in range(FIRST_HALF_HOUR, FIRST_HALF_HOUR + HALF_HOURS):
        middle = max(i, 1e-9)
        log_density = (shape - 1) * math.log(middle) - middle / scale - math.lgamma(shape) - shape * math.log(scale)
        weights[(i - 1) % HALF_HOURS] = math.exp(log_density)
    mean = sum(weights) / HALF_HOURS
    return [max(weight / mean, 1e-3) for weight in weights]
