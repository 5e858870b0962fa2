"""Every pair of transition and fail point that can occur: die there, start again, and everything ends right.

The pairs that were reached are the table of docs/durability.md, which this test holds (BATCHYARD_WRITE_TABLE=1 writes
it).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchyard import failpoints
from tests.engines.test_process_upgrade import MOMENTS
from tests.kill.traces import read_traces
from tests.kill.verdict import FINAL, HOST_ENDED
from tests.kill.yard import Yard
from tests.waiting import until

DOCUMENT = Path(__file__).parents[2] / "docs" / "durability.md"
BEGIN, END = "<!-- the table: made by tests/kill/test_failpoints.py -->\n", "<!-- end of the table -->\n"

# RUNNABLE again is not among them: a retry takes the room that its own attempt just left.
BATCH = (
    "submitted", "array submitted", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "stop asked", "SUCCEEDED",
    "STARTING again", "RUNNING again", "FAILED", "FAILED without an attempt", "array SUCCEEDED",
    "array FAILED",
)  # fmt: skip
# What a report brings about; starting again is the scheduler's, and comes after all reports of the batch.
REPORTED = ("RUNNING", "SUCCEEDED", "RUNNABLE again", "RUNNING again", "FAILED", "array SUCCEEDED", "array FAILED")
PAIRS: dict[str, tuple[str, ...]] = {
    "before-commit": BATCH,
    "after-commit-before-answer": BATCH,
    "before-launch": ("STARTING", "STARTING again"),
    "after-report-before-commit": REPORTED,
    "after-spawn-before-journal": ("STARTING", "STARTING again"),
    "after-exit-before-report": ("exit 0, not on record", "exit not 0, not on record", "exit 0", "exit not 0"),
    "during-adoption": ("RUNNING", "STARTING"),
}
IN_THE_SUPERVISOR = ("after-spawn-before-journal", "after-exit-before-report", "during-adoption")
ROUNDS = 8  # of the workload, until a pair is reached


class Walk:
    """One data directory through many deaths, each at another pair."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.hits = yard.directory / "hits"
        self.accepted: dict[str, list[int]] = {}  # id -> the planned exit codes
        self.sizes: dict[str, int] = {}
        self.unanswered: list[tuple[dict[str, Any], str, list[int], int]] = []
        self.count = 0

    def arm(self, point: str, transition: str) -> None:
        text = f"{point}[{transition}]=crash@1"
        if point == "during-adoption" and transition == "STARTING":
            text = f"after-spawn-before-journal=crash@1;{text}"  # leaves an intent without a process on record
        self.yard.variables = {failpoints.VARIABLE: text, failpoints.HITS_VARIABLE: str(self.hits)}

    def reached(self) -> set[tuple[str, str]]:
        lines = self.hits.read_text().splitlines() if self.hits.exists() else []
        return {(point, transition) for point, transition, _ in (line.split("\t") for line in lines)}

    def submit(self, plan: str = "0", nap: str = "0", size: int = 0, after: str = "") -> str:
        """Its id; empty when no answer came."""
        self.count += 1
        document = self.yard.submission(f"walk-{self.count}", plan, nap, size, after)
        invocation = f"walk-{self.count}"
        answer = self.yard.try_call("SubmitJob", document, invocation)
        codes = [int(code) for code in plan.split()]
        if answer is None:
            self.unanswered.append((document, invocation, codes, size))
            return ""
        self.accepted[answer["jobId"]], self.sizes[answer["jobId"]] = codes, size
        return str(answer["jobId"])

    def ask_again(self) -> None:
        """What got no answer, under the same invocation ids: no more than one job of each."""
        for document, invocation, codes, size in self.unanswered:
            answer = self.yard.try_call("SubmitJob", document, invocation)
            self.accepted[answer["jobId"]], self.sizes[answer["jobId"]] = codes, size
        assert len(self.accepted) == len(self.sizes), "two submissions, one job"
        listing = {"jobQueue": "default", "filters": [{"name": "JOB_NAME", "values": ["walk-*"]}], "maxResults": 1000}
        page = self.yard.call("ListJobs", listing)
        names = [job["jobName"] for job in page["jobSummaryList"]]
        assert len(set(names)) == len(names), "one submission, two jobs"

    def work(self) -> None:
        """Submissions that bring about every transition."""
        stopped = self.submit(nap="2")
        if stopped:
            self.accepted.pop(stopped)
            self.sizes.pop(stopped)
            until(lambda: not self._is_waiting(stopped), 60, "the job that is to be stopped")
            self.yard.try_call("TerminateJob", {"jobId": stopped, "reason": "enough"})
        first = self.submit(nap="0.1")
        if first:
            self.submit(after=first)
            failing = self.submit("7")
            if failing:
                self.submit(after=failing)
        self.submit("7 0")
        self.submit("3 3")
        self.submit(size=2)
        self.submit("5", size=2)
        for _ in range(4):
            self.submit("4 0", nap="0.05")  # more than fit: some wait for their turn, and again after a retry

    def die_at(self, point: str, transition: str) -> None:
        pair = (point, transition)
        self.arm(point, transition)
        if point in IN_THE_SUPERVISOR:
            self._die_in_the_supervisor(pair)
        else:
            self._die_in_the_server(pair)
        assert pair in self.reached(), f"{pair} was not reached; {self.yard.said()[-1000:]}"

    def _die_in_the_server(self, pair: tuple[str, str]) -> None:
        self.yard.launch()
        until(lambda: self.yard.process.poll() is not None or self.yard.serves(), 30, "the server")
        for _ in range(ROUNDS):
            if self.yard.process.poll() is not None:
                break
            self.work()
            until(lambda: self.yard.process.poll() is not None or self._quiet(), describe=lambda: f"{pair}")
        assert self.yard.process.poll() is not None, f"{pair} never comes"
        self.yard.wait_for_death()
        self.yard.check_store()

    def _die_in_the_supervisor(self, pair: tuple[str, str]) -> None:
        """The supervisor of an earlier server is not armed: its successor is."""
        self.yard.start()
        running = self.submit(nap=str(self.yard.directory / "gate")) if pair == ("during-adoption", "RUNNING") else ""
        if running:
            until(lambda: self.yard.status(running) == "RUNNING")
        self.yard.kill_supervisor()
        for _ in range(ROUNDS):
            if pair in self.reached():
                break
            if not running:
                self.work()
            until(lambda: pair in self.reached() or (not running and self._quiet()), describe=lambda: f"{pair}")
        (self.yard.directory / "gate").touch()
        self.yard.kill()

    def _is_waiting(self, job_id: str) -> bool:
        found = self.yard.try_call("DescribeJobs", {"jobs": [job_id]}, timeout=5)
        return found is not None and found["jobs"][0]["status"] in ("SUBMITTED", "RUNNABLE")

    def _quiet(self) -> bool:
        """All that was accepted has ended."""
        try:
            found = self.yard.try_call("DescribeJobs", {"jobs": list(self.accepted)[-100:]}, timeout=5)
        except AssertionError:
            return False
        return found is not None and all(job["status"] in FINAL for job in found["jobs"])

    def judge(self) -> int:
        """Everything accepted ended as planned, or was lost with its supervisor: so many attempts."""
        ids = list(self.accepted)
        until(lambda: all(job["status"] in FINAL for job in self.yard.describe(ids)), 60, "the end of all jobs")
        jobs = self.yard.describe(ids)
        assert len(jobs) == len(ids), "accepted, and unknown now"
        jobs = [job for job in jobs if not self.sizes[job["jobId"]]]
        jobs += self.yard.describe([f"{job_id}:{i}" for job_id, size in self.sizes.items() for i in range(size)])
        traces = read_traces(self.yard.traces)
        faults = [fault for trace in traces.values() for fault in trace.faults()]
        lost = 0
        for job in jobs:
            plan = self.accepted[job["jobId"].partition(":")[0]]
            for number, attempt in enumerate(job["attempts"], 1):
                code = attempt["container"].get("exitCode")
                if code is None and attempt["statusReason"].startswith(HOST_ENDED):
                    lost += 1
                elif (trace := traces.get((job["jobId"], number))) is None or not code == trace.code == plan[
                    number - 1
                ]:
                    faults.append(f"{job['jobId']}.{number} ended with {code}, planned {plan}, {trace}")
            if not job["attempts"] and not job.get("dependsOn"):
                faults.append(f"{job['jobId']} never ran: {job.get('statusReason')}")
        assert not faults, "\n".join(faults)
        return lost


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    yard = Yard(tmp_path, "--vcpus", "3")
    with yard:
        yard.register()
        yard.kill()
        yield Walk(yard)


@pytest.mark.parametrize("point", list(PAIRS))
def test_a_death_at_each_place_loses_nothing_and_repeats_nothing(walk: Walk, point: str, figures: list[str]) -> None:
    for transition in PAIRS[point]:
        walk.die_at(point, transition)
    walk.yard.variables = {}
    walk.yard.start()
    walk.ask_again()
    lost = walk.judge()
    figures.append(
        f"{point}: died with {len(PAIRS[point])} transitions in flight; {len(walk.accepted)} jobs accepted, "
        f"lost 0, ran twice 0, attempts reported lost {lost}"
    )
    if point not in IN_THE_SUPERVISOR:
        assert lost == 0, "jobs outlive the server"


def table() -> str:
    """Rows: transitions; columns: fail points."""
    rows = list(dict.fromkeys(transition for transitions in PAIRS.values() for transition in transitions))
    lines = [
        "| in flight | " + " | ".join(f"`{point}`" for point in PAIRS) + " |",
        "|---" * (len(PAIRS) + 1) + "|",
    ]
    lines += [f"| {row} | " + " | ".join("died" if row in PAIRS[p] else "" for p in PAIRS) + " |" for row in rows]
    lines.append("")
    lines.append(f"`during-upgrade`: died with {', '.join(MOMENTS)}.")
    return "\n".join(lines) + "\n"


def test_the_document_shows_the_pairs_that_are_walked() -> None:
    text = DOCUMENT.read_text()
    wanted = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: BEGIN + table() + END, text, flags=re.DOTALL)
    if os.environ.get("BATCHYARD_WRITE_TABLE"):
        DOCUMENT.write_text(wanted)
    of_containers = {"after-create-before-start", "after-start-before-report"}  # tests/engines/test_docker_crashes.py
    assert set(PAIRS) | {"during-upgrade"} | of_containers == set(failpoints.POINTS)
    assert text == wanted, "run this test with BATCHYARD_WRITE_TABLE=1 to write the table"
