"""Jobs that share a licence while server, supervisor or both are killed at random moments: never more of it is taken
than there is, and in the end all of it has come back.

BATCHYARD_KILLS and BATCHYARD_KILL_SEED: as in test_kill.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kill.chaos import Chaos
from tests.kill.traces import Trace, read_traces
from tests.kill.verdict import FINAL, HOST_ENDED, Verdict
from tests.kill.yard import Yard
from tests.waiting import until

KILLS = 5  # unless told
LICENCES, CREDITS = 3, 10_000
PLANS = ("0", "0", "7 0", "0 0 0")  # the exit code of each attempt; a lost one takes one, too
END_SECONDS = 60.0
# Beside its trace, as test_kill's, each attempt notes what it holds while it lives, and adds up what the living hold:
# with `over` in its trace they hold more than there is. A process is its id and the time of its start.
SCRIPT = r"""
set -C
file="$TRACES/$AWS_BATCH_JOB_ID.$AWS_BATCH_JOB_ATTEMPT"
true > "$file" 2> /dev/null || echo again >> "$file"
began() { cut -d ' ' -f 22 "/proc/$1/stat" 2> /dev/null; }
mine="$HELD/$AWS_BATCH_JOB_ID.$AWS_BATCH_JOB_ATTEMPT"
echo "$$ $(began $$) $QUANTITY" > "$mine"
sum=0
for other in "$HELD"/*; do
    read -r pid time quantity < "$other" 2> /dev/null || continue
    [ "$time" = "$(began "$pid")" ] || continue
    state=Z
    { read -r _ _ state _ < "/proc/$pid/stat"; } 2> /dev/null
    case "$state" in [ZX]) ;; *) sum=$((sum + quantity)) ;; esac
done
[ "$sum" -le "$LICENCES" ] || echo over >> "$file"
echo "start $$" >> "$file"
sleep "$NAP"
set -- $PLAN
shift $((AWS_BATCH_JOB_ATTEMPT - 1))
echo "end ${1:-0}" >> "$file"
rm "$mine"
exit "${1:-0}"
"""


def register(yard: Yard) -> None:
    for name, total, kind in (
        ("licence", LICENCES, "REPLENISHABLE"),
        ("credit", CREDITS, "NON_REPLENISHABLE"),
    ):
        document = {"consumableResourceName": name, "totalQuantity": total, "resourceType": kind}
        yard.call("CreateConsumableResource", document)
    held = yard.directory / "held"
    held.mkdir()
    variables = {"TRACES": yard.traces, "HELD": held, "LICENCES": LICENCES}
    container = {
        "image": "host",
        "command": ["/bin/sh", "-c", SCRIPT],
        "environment": [{"name": name, "value": str(value)} for name, value in variables.items()],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    }
    document = {"jobDefinitionName": "licensed", "type": "container", "containerProperties": container}
    yard.call("RegisterJobDefinition", document)


def submit(yard: Yard, name: str, plan: str, nap: float, quantity: int) -> str:
    variables = {"PLAN": plan, "NAP": f"{nap:.3f}", "QUANTITY": quantity}
    taken = [("licence", quantity), ("credit", 1)]
    document = {
        "jobName": name,
        "jobQueue": "default",
        "jobDefinition": "licensed",
        "containerOverrides": {"environment": [{"name": key, "value": str(one)} for key, one in variables.items()]},
        "consumableResourcePropertiesOverride": {
            "consumableResourceList": [{"consumableResource": key, "quantity": number} for key, number in taken]
        },
        "retryStrategy": {"attempts": len(plan.split())},
    }
    return str(yard.call("SubmitJob", document)["jobId"])


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with Yard(tmp_path) as yard:
        register(yard)
        yield yard


def judge(verdict: Verdict, job: dict[str, Any], plan: list[int], traces: dict[tuple[str, int], Trace]) -> None:
    """Compares a job with what its attempts left behind."""
    job_id, attempts = job["jobId"], job.get("attempts", [])
    verdict.attempts += len(attempts)
    code = None
    for number, attempt in enumerate(attempts, 1):
        trace = traces.pop((job_id, number), None)
        code = attempt.get("container", {}).get("exitCode")
        if code is None and attempt.get("statusReason", "").startswith(HOST_ENDED):
            verdict.reported_lost += 1
        elif trace is None or trace.code != code or code != plan[number - 1]:
            verdict.faults.append(f"{job_id}.{number} is said to have ended with {code}; planned {plan}; {trace}")
    if not attempts or (job["status"] == "SUCCEEDED") != (code == 0):
        verdict.faults.append(f"{job_id} is {job['status']} after {attempts}")
    elif code != 0 and len(attempts) != len(plan):
        verdict.faults.append(f"{job_id} gave up after {len(attempts)} of {len(plan)} attempts")
    more = [trace for (other, _), trace in traces.items() if other == job_id]
    verdict.faults += [f"an attempt that the service does not know: {trace}" for trace in more]


def in_use(yard: Yard, name: str) -> int:
    return int(yard.call("DescribeConsumableResource", {"consumableResource": name})["inUseQuantity"])


def test_no_licence_is_taken_twice_or_lost(yard: Yard, figures: list[str]) -> None:
    seed = int(os.environ.get("BATCHYARD_KILL_SEED") or random.randrange(1 << 32))
    wanted = int(os.environ.get("BATCHYARD_KILLS") or KILLS)
    verdict = Verdict(f"any killed under jobs that share a licence, BATCHYARD_KILL_SEED={seed}")
    chance, chaos = random.Random(f"consumables/{seed}"), Chaos(yard, verdict, seed)
    plans: dict[str, str] = {}
    while verdict.kills < wanted:
        for _ in range(3):
            plan, nap = chance.choice(PLANS), chance.uniform(0, 0.4)
            plans[submit(yard, f"licensed-{len(plans)}", plan, nap, chance.choice((1, 1, 2)))] = plan
        chance.choice((chaos.server, chaos.supervisor, chaos.both))()
    waiting = list(plans)

    def all_ended() -> bool:
        waiting[:] = [job["jobId"] for job in yard.describe(waiting) if job["status"] not in FINAL]
        return not waiting

    until(all_ended, END_SECONDS, lambda: f"the end of {waiting}")
    jobs = {job["jobId"]: job for job in yard.describe(list(plans))}
    traces = read_traces(yard.traces)
    verdict.accepted = len(plans)
    verdict.faults += [fault for trace in traces.values() for fault in trace.faults()]
    verdict.faults += [f"{one.job_id} ran beyond the licences" for one in traces.values() if "over" in one.lines]
    verdict.faults += [f"lost: {job_id}" for job_id in plans if job_id not in jobs]
    for job_id, job in jobs.items():
        judge(verdict, job, [int(code) for code in plans[job_id].split()], traces)
    yard.check_store()
    figures.append(verdict.line())
    assert not verdict.faults, "\n".join([verdict.line(), *verdict.faults[:50]])
    assert any(job["status"] == "SUCCEEDED" for job in jobs.values()), "no job came to its end"
    assert in_use(yard, "licence") == 0
    assert in_use(yard, "credit") == verdict.attempts  # each attempt consumes anew, a lost one too
