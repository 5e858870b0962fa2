"""Multi-node jobs while server, supervisor, both or a single node are killed at random moments: each attempt runs whole
or not at all.

BATCHYARD_KILLS and BATCHYARD_KILL_SEED: as in test_kill.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kill.chaos import Chaos
from tests.kill.traces import Trace, read_traces
from tests.kill.verdict import FINAL, HOST_ENDED, Verdict
from tests.kill.yard import Yard, is_dead
from tests.waiting import until

KILLS = 5  # unless told
NODES, MAIN = 3, 1
PLANS = ("0", "0", "7 0", "0 0 0", "0 0 0")  # the main node's exit code in each attempt; a lost one takes one, too
END_SECONDS = 60.0
KILLED = 137  # the exit code of a process that SIGKILL ended
# A node's trace is as test_kill's, with `overlap` where a node of an earlier attempt lives. The main node ends when it
# has seen all the others. (That it is RUNNING before they are launched shows in no trace: its script may begin later.)
SCRIPT = r"""
set -C
job="$TRACES/${AWS_BATCH_JOB_ID%#*}"
file="$TRACES/$AWS_BATCH_JOB_ID.$AWS_BATCH_JOB_ATTEMPT"
true > "$file" 2> /dev/null || echo again >> "$file"
for before in "$job#"*".$((AWS_BATCH_JOB_ATTEMPT - 1))"; do
    [ -s "$before" ] || continue
    read -r word pid < "$before"
    state=Z
    { read -r _ _ state _ < "/proc/$pid/stat"; } 2> /dev/null
    case "$state" in [ZX]) ;; *) echo overlap >> "$file" ;; esac
done
main="$job#$AWS_BATCH_JOB_MAIN_NODE_INDEX.$AWS_BATCH_JOB_ATTEMPT"
echo "start $$" >> "$file"
[ "$file" = "$main" ] || exec sleep 60
node=0
while [ "$node" -lt "$AWS_BATCH_JOB_NUM_NODES" ]; do
    until [ -s "$job#$node.$AWS_BATCH_JOB_ATTEMPT" ]; do sleep 0.02; done
    node=$((node + 1))
done
sleep "$NAP"
set -- $PLAN
shift $((AWS_BATCH_JOB_ATTEMPT - 1))
echo "end ${1:-0}" >> "$file"
exit "${1:-0}"
"""


def register(yard: Yard) -> None:
    container = {
        "image": "host",
        "command": ["/bin/sh", "-c", SCRIPT],
        "environment": [{"name": "TRACES", "value": str(yard.traces)}],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    }
    ranges = [{"targetNodes": f"0:{NODES - 1}", "container": container}]
    nodes = {"numNodes": NODES, "mainNode": MAIN, "nodeRangeProperties": ranges}
    document = {"jobDefinitionName": "nodes", "type": "multinode", "nodeProperties": nodes}
    yard.call("RegisterJobDefinition", document)


def submit(yard: Yard, name: str, plan: str, nap: float) -> str:
    variables = [{"name": "PLAN", "value": plan}, {"name": "NAP", "value": f"{nap:.3f}"}]
    override = {"targetNodes": f"0:{NODES - 1}", "containerOverrides": {"environment": variables}}
    document = {
        "jobName": name,
        "jobQueue": "default",
        "jobDefinition": "nodes",
        "nodeOverrides": {"nodePropertyOverrides": [override]},
        "retryStrategy": {"attempts": len(plan.split())},
    }
    return str(yard.call("SubmitJob", document)["jobId"])


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with Yard(tmp_path) as yard:
        register(yard)
        yield yard


def kill_node(yard: Yard, chance: random.Random, killed_mains: set[tuple[str, int]]) -> bool:
    """Kills one process of a node that lives, and notes which attempts lost their main node so. False: none lives."""
    alive = [trace for trace in read_traces(yard.traces).values() if trace.pid and not is_dead(trace.pid)]
    if not alive:
        return False
    victim = chance.choice(alive)
    job_id, _, node = victim.job_id.partition("#")
    if int(node) == MAIN:
        killed_mains.add((job_id, victim.attempt))
    try:
        descriptor = os.pidfd_open(victim.pid)
    except ProcessLookupError:
        return False
    try:
        # What it names may have ended, and its number may be another process's by now.
        if str(yard.traces).encode() in Path(f"/proc/{victim.pid}/environ").read_bytes():
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return False
    finally:
        os.close(descriptor)
    return True


def judge(
    verdict: Verdict,
    job: dict[str, Any],
    plan: list[int],
    traces: dict[tuple[str, int], Trace],
    killed_mains: set[tuple[str, int]],
) -> None:
    """Compares a job with what its nodes left behind. `killed_mains`: the attempts whose main node was killed."""
    job_id, attempts = job["jobId"], job.get("attempts", [])
    verdict.attempts += len(attempts)
    code = None
    for number, attempt in enumerate(attempts, 1):
        nodes = [traces.pop((f"{job_id}#{node}", number), None) for node in range(NODES)]
        code = attempt.get("container", {}).get("exitCode")
        if code == KILLED and (job_id, number) in killed_mains:
            continue
        if code is None and attempt.get("statusReason", "").startswith(HOST_ENDED):
            verdict.reported_lost += 1
            continue
        main = nodes[MAIN]
        if main is None or main.code != code or code != plan[number - 1]:
            verdict.faults.append(f"{job_id}.{number} is said to have ended with {code}; planned {plan}; {main}")
        if not all(nodes):
            verdict.faults.append(f"{job_id}.{number} ran in part: {nodes}")
    if not attempts or (job["status"] == "SUCCEEDED") != (code == 0):
        verdict.faults.append(f"{job_id} is {job['status']} after {attempts}")
    elif code != 0 and len(attempts) != len(plan):
        verdict.faults.append(f"{job_id} gave up after {len(attempts)} of {len(plan)} attempts")
    more = [trace for (other, _), trace in traces.items() if other.partition("#")[0] == job_id]
    verdict.faults += [f"an attempt that the service does not know: {trace}" for trace in more]


def test_no_multi_node_job_is_lost_or_runs_in_part_or_twice(yard: Yard, figures: list[str]) -> None:
    seed = int(os.environ.get("BATCHYARD_KILL_SEED") or random.randrange(1 << 32))
    wanted = int(os.environ.get("BATCHYARD_KILLS") or KILLS)
    verdict = Verdict(f"any killed under multi-node jobs, BATCHYARD_KILL_SEED={seed}")
    chance, chaos = random.Random(f"nodes/{seed}"), Chaos(yard, verdict, seed)
    plans: dict[str, str] = {}
    killed_mains: set[tuple[str, int]] = set()

    def node() -> None:
        chaos.peace()
        verdict.kills += kill_node(yard, chance, killed_mains)

    while verdict.kills < wanted:
        for _ in range(2):
            plan = chance.choice(PLANS)
            plans[submit(yard, f"gang-{len(plans)}", plan, chance.uniform(0, 0.4))] = plan
        chance.choice((chaos.server, chaos.supervisor, chaos.both, node, node))()
    waiting = list(plans)

    def all_ended() -> bool:
        waiting[:] = [job["jobId"] for job in yard.describe(waiting) if job["status"] not in FINAL]
        return not waiting

    until(all_ended, END_SECONDS, lambda: f"the end of {waiting}")
    jobs = {job["jobId"]: job for job in yard.describe(list(plans))}
    traces = read_traces(yard.traces)
    verdict.accepted = len(plans)
    alive = [trace for trace in traces.values() if trace.pid and not is_dead(trace.pid)]
    verdict.faults += [fault for trace in traces.values() for fault in trace.faults()]
    verdict.faults += [f"lost: {job_id}" for job_id in plans if job_id not in jobs]
    for job_id, job in jobs.items():
        judge(verdict, job, [int(code) for code in plans[job_id].split()], traces, killed_mains)
    yard.check_store()
    figures.append(verdict.line())
    assert not alive, f"these outlive their jobs: {alive}"
    assert not verdict.faults, "\n".join([verdict.line(), *verdict.faults[:50]])
    assert any(job["status"] == "SUCCEEDED" for job in jobs.values()), "no job came to its end"
