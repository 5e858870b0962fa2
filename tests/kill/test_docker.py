"""Jobs as containers, and everything dies: the server at random moments and between creating and starting, the daemon
once. Nothing is lost, nothing runs twice, and no container is left behind."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchyard.engines.docker.engine import MAX_STARTS_AT_ONCE
from tests.engines.dockerd import IMAGE, Dockerd, dockerd, own_dockerd
from tests.kill.traces import SCRIPT, read_traces
from tests.kill.yard import DEFINITION, Yard
from tests.waiting import until

__all__ = ["dockerd", "own_dockerd"]  # fixtures

RANDOM_KILLS = 3
SUBMITTERS = 2
PLANS = ("0", "0", "3 0", "1 2 0", "4")  # exit codes of a job's attempts
END_SECONDS = 180.0
LOST = "Host EC2"  # statusReason of an attempt that is lost
FAIL_POINTS = ("after-create-before-start", "after-start-before-report", "before-launch", "after-report-before-commit")
# Pids of other containers mean nothing: whether an earlier attempt lives is not looked at.
IN_CONTAINERS = SCRIPT.replace('if [ -s "$before" ]; then', "if false; then")


class ContainerYard(Yard):
    def register(self) -> None:
        container = {
            "image": IMAGE,
            "command": ["/bin/sh", "-c", IN_CONTAINERS],
            "environment": [{"name": "TRACES", "value": str(self.traces)}],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
            "volumes": [{"name": "traces", "host": {"sourcePath": str(self.traces)}}],
            "mountPoints": [{"sourceVolume": "traces", "containerPath": str(self.traces)}],
        }
        document = {"jobDefinitionName": DEFINITION, "type": "container", "containerProperties": container}
        self.call("RegisterJobDefinition", document)


class Submitters:
    """Threads that submit one job after the other, each as an SDK does, until they are told to stop."""

    def __init__(self, yard: Yard, seed: int) -> None:
        self.accepted: dict[str, str] = {}  # job id -> its plan
        self._yard = yard
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._submit, args=(seed + n, n)) for n in range(SUBMITTERS)]
        for thread in self._threads:
            thread.start()

    def _submit(self, seed: int, submitter: int) -> None:
        chance = random.Random(seed)
        number = 0
        while not self._stopping.wait(0.3):
            plan = chance.choice(PLANS)
            job_id = self._yard.submit(f"job-{submitter}-{number}", plan, nap=str(chance.choice((0, 0.2, 1))))
            self.accepted[job_id] = plan
            number += 1

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def yard(tmp_path: Path, own_dockerd: Dockerd) -> Iterator[ContainerYard]:
    yard = ContainerYard(tmp_path, "--engine", "docker")
    yard.variables = {"DOCKER_HOST": f"unix://{own_dockerd.socket_path}"}
    with yard:
        yard.register()
        yield yard


def test_nothing_is_lost_runs_twice_or_is_left_behind(
    yard: ContainerYard, own_dockerd: Dockerd, figures: list[str]
) -> None:
    seed = int(os.environ.get("BATCHYARD_KILL_SEED") or random.randrange(1 << 32))
    print(f"BATCHYARD_KILL_SEED={seed}")
    chance = random.Random(seed)
    submitters = Submitters(yard, seed)
    deaths = 0
    try:
        until(lambda: submitters.accepted, 30, "the first job")
        for _ in range(RANDOM_KILLS):
            ends = time.monotonic() + chance.uniform(0, 2)
            until(lambda ends=ends: time.monotonic() >= ends)  # type: ignore[misc]
            yard.kill()
            yard.start()
            deaths += 1
        own_dockerd.kill()
        own_dockerd.start()
        plain = dict(yard.variables)
        for point in FAIL_POINTS:
            yard.kill()
            yard.variables = plain | {"BATCHYARD_FAILPOINTS": f"{point}=crash@{chance.randint(1, 3)}"}
            yard.launch()
            yard.wait_for_death()
            deaths += 2
            yard.variables = plain
            yard.start()
    finally:
        submitters.stop()
    ids = sorted(submitters.accepted)
    jobs = ended(yard, ids)
    yard.check_store()
    traces = read_traces(yard.traces)
    faults = [fault for trace in traces.values() for fault in trace.faults()]
    lost = 0
    for job_id, plan in submitters.accepted.items():
        lost += sum(LOST in attempt["statusReason"] for attempt in jobs[job_id]["attempts"])
        codes = [attempt["container"].get("exitCode") for attempt in jobs[job_id]["attempts"]]
        planned = [int(code) for code in plan.split()]
        ran = [
            traces[job_id, number].code if (job_id, number) in traces else None for number in range(1, len(planned) + 1)
        ]
        reasons = [f"{one.get('statusReason')} {one['container'].get('reason')}" for one in jobs[job_id]["attempts"]]
        if not (len(codes) == len(planned) and all(map(is_told, codes, planned, ran, reasons))):
            faults.append(f"{job_id}: planned {planned}, said {codes}, ran {ran}; {reasons}")
    killed = f"{deaths} kills of the server, 1 of dockerd"
    figures.append(f"containers: {killed}, {len(ids)} jobs accepted, {len(faults)} faults")
    assert not faults, "\n".join(faults)
    assert lost <= 2 * MAX_STARTS_AT_ONCE, "one death of the daemon costs only what it was starting or ending"
    label = f"batchyard.store={(yard.data_dir / 'engine' / 'docker' / 'store-id').read_text()}"
    until(lambda: not own_dockerd.containers(label), 60, lambda: f"no container left: {own_dockerd.containers(label)}")


def is_told(said: int | None, planned: int, ran: int | None, reason: str) -> bool:
    """Whether what the service says of an attempt is what happened. A daemon that dies while it starts a container, or
    while one ends, knows no exit code of it afterwards: then the attempt has none, and failed to start or is lost."""
    if said is None:
        return ran in (None, planned) and ("daemon" in reason or LOST in reason)
    return said == ran == planned


def ended(yard: Yard, ids: list[str]) -> dict[str, dict[str, Any]]:
    jobs: dict[str, dict[str, Any]] = {}

    def all_ended() -> bool:
        jobs.update({job["jobId"]: job for job in yard.describe(ids)})
        return all(job["status"] in ("SUCCEEDED", "FAILED") for job in jobs.values())

    until(all_ended, END_SECONDS, lambda: f"the ends of {[j for j, d in jobs.items() if 'stoppedAt' not in d]}")
    return jobs
