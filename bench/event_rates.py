"""What a rule costs the jobs of a whole service: `python -m bench.event_rates [JOBS] [ROUNDS] [VCPUS]`.

Runs arrays of `true` on one server, one without a rule, one with a rule that matches none of its states, and one with a
rule that matches everything, into a log group, in turn, so that neighbours weigh on all alike. Prints each run, and the
medians."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3

from bench.events import GROUP, PATTERNS
from bench.server import POLL_SECONDS, Server, cpu_of, run_array, running_server

KINDS = ("none", "unmatched", "matched")
EVENTS_OF_A_CHILD = 5
DELIVERY_SECONDS = 120
LOOK_SECONDS = 0.3  # between counts of the events, which cost the server, too


def client(server: Server, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=server.address,
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
    )


def stored_events(logs: Any, group: str) -> int:
    """Returns how many events a group holds."""
    query = logs.start_query(
        logGroupName=group, startTime=0, endTime=int(time.time()) + 60, queryString="stats count(*) as n"
    )["queryId"]
    while (found := logs.get_query_results(queryId=query))["status"] in ("Scheduled", "Running"):
        time.sleep(POLL_SECONDS)
    return int(found["results"][0][0]["value"])


def run(server: Server, kind: str, jobs: int, vcpus: int, number: int) -> tuple[float, float, float]:
    """Returns jobs a second, CPU milliseconds a job (server, supervisor and the job itself), and events a second until
    the last one is stored (0: there are none)."""
    events, logs = client(server, "events"), client(server, "logs")
    group = f"/aws/events/run-{number}"
    if kind != "none":
        events.put_rule(Name="bench", EventPattern=PATTERNS[kind])
        arn = GROUP.rpartition(":log-group:")[0] + f":log-group:{group}"
        events.put_targets(Rule="bench", Targets=[{"Id": "t", "Arn": arn}])
    before = cpu_of(server)
    start = time.monotonic()
    measured = run_array(server, jobs, vcpus, 600)
    rate = 0.0
    if kind == "matched":
        while stored_events(logs, group) < EVENTS_OF_A_CHILD * jobs:
            time.sleep(LOOK_SECONDS)
            assert time.monotonic() < start + DELIVERY_SECONDS, "events are missing"
        rate = EVENTS_OF_A_CHILD * jobs / (time.monotonic() - start)
    after = cpu_of(server)
    spent = sum(
        late.own_seconds + late.children_seconds - early.own_seconds - early.children_seconds
        for early, late in zip(before, after, strict=True)
    )
    if kind != "none":
        events.remove_targets(Rule="bench", Ids=["t"])
        events.delete_rule(Name="bench")
    return measured.jobs_per_second, spent / jobs * 1e3, rate


def main(jobs: int, rounds: int, vcpus: int) -> None:
    found: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as made, running_server(Path(made), vcpus) as server:
        run_array(server, jobs // 10, vcpus, 600)  # what only a first array costs
        for number in range(rounds):
            for kind in KINDS if number % 2 == 0 else reversed(KINDS):
                result = run(server, kind, jobs, vcpus, number)
                found[kind].append(result)
                print(
                    f"{kind}: {result[0]:.0f} jobs/s, {result[1]:.3f} ms of CPU a job, {result[2]:.0f} events/s",
                    flush=True,
                )
    rates = {kind: statistics.median(run[0] for run in runs) for kind, runs in found.items()}
    spent = {kind: statistics.median(run[1] for run in runs) for kind, runs in found.items()}
    for kind in KINDS:
        print(
            f"{kind}: {rates[kind] / rates['none']:.2f} of the rate, {spent[kind] / spent['none']:.2f} of the CPU time"
        )


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*(given + [3000, 5, 16][len(given) :]))
