"""What became of everything that was accepted: the service's word held against the traces."""

from __future__ import annotations

import statistics
from typing import Any

from tests.kill.clients import Accepted, Clients
from tests.kill.traces import Trace, read_traces
from tests.kill.yard import Yard
from tests.waiting import until

END_SECONDS = 120.0
HOST_ENDED = "Host EC2"  # how the reason of a lost attempt begins
FINAL = ("SUCCEEDED", "FAILED")


class Verdict:
    """Figures of one run, and every fault with its story."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.faults: list[str] = []
        self.kills = 0
        self.accepted = self.attempts = self.lost = self.twice = self.reported_lost = self.unfinished = 0
        self.repeats = 0
        self.seconds_to_serve: list[float] = []

    def line(self) -> str:
        text = (
            f"{self.title}: {self.kills} kills, {self.accepted} jobs accepted ({self.repeats} requests repeated), "
            f"{self.attempts} attempts; lost {self.lost}, ran twice {self.twice}, reported lost {self.reported_lost}, "
            f"unfinished {self.unfinished}"
        )
        if self.seconds_to_serve:
            median, longest = statistics.median(self.seconds_to_serve), max(self.seconds_to_serve)
            text += f"; serves again after {median:.2f} s (median), {longest:.2f} s (max)"
        return text

    def judge(self, yard: Yard, clients: Clients) -> None:
        """Waits for the end of everything accepted, then compares."""
        ids = sorted(clients.accepted)
        self.accepted, self.repeats = len(ids), clients.repeats
        self._wait(yard, ids)
        jobs = {job["jobId"]: job for job in yard.describe(ids)}
        children = [f"{one.job_id}:{i}" for one in clients.accepted.values() for i in range(one.size)]
        jobs |= {job["jobId"]: job for job in yard.describe(children)}
        missing = [job_id for job_id in (*ids, *children) if job_id not in jobs]
        self.lost = len(missing)
        self.faults += [f"lost: {job_id}" for job_id in missing]
        self._judge_names(yard, clients)
        traces = read_traces(yard.traces)
        for trace in traces.values():
            found = trace.faults()
            self.twice += bool(found)
            self.faults += found
        for one in clients.accepted.values():
            for job_id in [f"{one.job_id}:{i}" for i in range(one.size)] or [one.job_id]:
                if job_id in jobs:
                    self._judge_job(one, jobs[job_id], traces, jobs.get(one.after))

    def _wait(self, yard: Yard, ids: list[str]) -> None:
        waiting = list(ids)

        def all_ended() -> bool:
            waiting[:] = [job["jobId"] for job in yard.describe(waiting) if job["status"] not in FINAL]
            return not waiting

        try:
            until(all_ended, END_SECONDS)
        except AssertionError:
            self.unfinished = len(waiting)
            self.faults += [f"unfinished: {job_id}" for job_id in waiting]

    def _judge_names(self, yard: Yard, clients: Clients) -> None:
        """One job at most for each submission, however often it was asked for."""
        seen: dict[str, int] = {}
        token = None
        while True:
            request: dict[str, Any] = {"jobQueue": "default", "filters": [{"name": "JOB_NAME", "values": ["job-*"]}]}
            page = yard.call("ListJobs", request | ({"nextToken": token} if token else {}))
            for job in page["jobSummaryList"]:
                seen[job["jobName"]] = seen.get(job["jobName"], 0) + 1
            token = page.get("nextToken")
            if not token:
                break
        assert len(seen) >= len(clients.accepted), "the listing lacks jobs that were accepted"
        doubled = [name for name, count in seen.items() if count > 1]
        self.twice += len(doubled)
        self.faults += [f"submitted once, and {seen[name]} jobs: {name}" for name in doubled]
        self.faults += [f"nobody submitted {name}" for name in seen if name not in clients.names]

    def _judge_job(
        self, one: Accepted, job: dict[str, Any], traces: dict[tuple[str, int], Trace], after: dict[str, Any] | None
    ) -> None:
        job_id, attempts = job["jobId"], job.get("attempts", [])
        self.attempts += len(attempts)
        succeeded = False
        for number, attempt in enumerate(attempts, 1):
            trace = traces.pop((job_id, number), None)
            code = attempt.get("container", {}).get("exitCode")
            if code is None and attempt.get("statusReason", "").startswith(HOST_ENDED):
                self.reported_lost += 1
                continue
            if trace is None or trace.code != code or code != one.plan[number - 1]:
                self.faults.append(f"{job_id}.{number} is said to have ended with {code}; planned {one.plan}; {trace}")
            succeeded = code == 0
        if after is not None and after["status"] == "FAILED":
            if job["status"] != "FAILED" or attempts:
                self.faults.append(f"{job_id} ran although {after['jobId']} failed")
        elif not attempts or (job["status"] == "SUCCEEDED") != succeeded:
            self.faults.append(f"{job_id} is {job['status']} after {attempts}")
        elif not succeeded and len(attempts) != len(one.plan):
            self.faults.append(f"{job_id} gave up after {len(attempts)} of {len(one.plan)} attempts")
        more = [trace for (other, _), trace in traces.items() if other == job_id]
        self.faults += [f"an attempt that the service does not know: {trace}" for trace in more]
