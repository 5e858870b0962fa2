"""The machine and the naive model agree on how everything ends, over thousands of random graphs, whatever the order in
which attempts end and the server crashes."""

from __future__ import annotations

import random

import pytest

from batchyard.core.model.records import Dependency, Status
from tests.core.driver import Driver
from tests.core.naive import NaiveJob, Verdicts

GRAPHS = 2_000
PARTS = 8
RULES = [[], [("3*", "EXIT")], [("1", "EXIT")], [("34", "RETRY"), ("3*", "EXIT")]]


def random_graph(choose: random.Random) -> list[NaiveJob]:
    jobs: list[NaiveJob] = []
    for number in range(choose.randint(1, 9)):
        job = NaiveJob(
            size=choose.choice([0, 0, 0, 2, 3, 3, 6]),
            after_any=choose.random() < 0.15,
            attempts=choose.randint(1, 3),
            rules=choose.choice(RULES),
            salt=choose.randrange(1000),
        )
        job.sequential = bool(job.size) and choose.random() < 0.3
        for other in choose.sample(range(number), min(number, choose.choice([0, 0, 1, 1, 2]))):
            size = jobs[other].size
            job.plain.append((other, choose.randrange(size) if size and choose.random() < 0.3 else None))
        alike = [n for n in range(number) if job.size and jobs[n].size == job.size]
        job.paired = choose.sample(alike, min(len(alike), choose.choice([0, 1, 1, 2])))
        jobs.append(job)
    return jobs


def submit(yard: Driver, job: NaiveJob, ids: list[str]) -> str:
    depends_on = [Dependency(ids[n] if child is None else f"{ids[n]}:{child}") for n, child in job.plain]
    depends_on += [Dependency(ids[n], "N_TO_N") for n in job.paired]
    if job.sequential:
        depends_on.append(Dependency(type="SEQUENTIAL"))
    return yard.submit(
        array_size=job.size,
        depends_on=depends_on,
        tags={"batchyard:after-any": "true"} if job.after_any else {},
        retry_strategy={
            "attempts": job.attempts,
            "evaluateOnExit": [{"onExitCode": code, "action": action} for code, action in job.rules],
        },
    )


def run_one(yard: Driver, jobs: list[NaiveJob], ids: list[str], choose: random.Random) -> bool:
    """Ends one placed attempt with the code its program gives. False when nothing is placed."""
    placed = yard.placed()
    if not placed:
        return False
    job_id = choose.choice(placed)
    uuid, _, index = job_id.partition(":")
    attempt = len(yard.job(job_id).past) + 1
    yard.exited(job_id, jobs[ids.index(uuid)].code(int(index or 0), attempt))
    return True


@pytest.mark.parametrize("part", range(PARTS))
def test_everything_ends_as_the_naive_model_says(part: int) -> None:
    for number in range(part, GRAPHS, PARTS):
        choose = random.Random(number)
        jobs = random_graph(choose)
        yard = Driver(vcpus=choose.choice([1, 2, 8]))
        ids: list[str] = []
        while len(ids) < len(jobs) or yard.placed():
            step = choose.random()
            if step < 0.4 and len(ids) < len(jobs):
                ids.append(submit(yard, jobs[len(ids)], ids))
            elif step < 0.43:
                yard.crash()
            elif not run_one(yard, jobs, ids, choose) and len(ids) == len(jobs):
                break
        verdicts = Verdicts(jobs)
        for at, job_id in enumerate(ids):
            wanted = Status.SUCCEEDED if verdicts.succeeds(at) else Status.FAILED
            assert yard.status(job_id) is wanted, f"graph {number}: job {at} is {yard.status(job_id)}, not {wanted}"
            for index in range(jobs[at].size):
                wanted = Status.SUCCEEDED if verdicts.children[at, index] else Status.FAILED
                found = yard.status(f"{job_id}:{index}")
                assert found is wanted, f"graph {number}: child {at}:{index} is {found}, not {wanted}"
