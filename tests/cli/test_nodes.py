"""The commands for people on multi-node jobs, with a service whose nodes are programs that really run."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from batchyard.cli.app import app
from batchyard.cli.job_nodes import TIMED_OUT, attempt_numbers, failed_first
from tests.cli.conftest import Invoke
from tests.cli.stub import Stub
from tests.server.running import BATCHYARD, Server, environment
from tests.waiting import until

# Runs a command in each other node, one after the other.
IN_OTHERS = r"""
for address in $(echo "$BATCHYARD_NODE_ADDRESSES" | tr , ' '); do
    [ "$address" = "$BATCHYARD_NODE_ADDRESS" ] || "$BATCHYARD_RSH" "$address" "$1"
done
"""
# Of the main node: waits until the last node has ended.
UNTIL_LAST_ENDS = '"$BATCHYARD_RSH" "${BATCHYARD_NODE_ADDRESSES##*,}" "sleep 1000" 2>/dev/null;'
SIZES = ("--vcpus", "4", "--memory", "4096")
SECONDS = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("nodes"), *SIZES) as started:
        yield started


def ask(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"BATCHYARD_DATA_DIR": str(server.data_dir)})


def submit(server: Server, name: str, *scripts: str, **members: Any) -> str:
    """Submits a multi-node job, whose nodes run these scripts, and returns its id once it has ended."""
    ranges = [
        {
            "targetNodes": str(node),
            "container": {
                "image": "host",
                "command": ["sh", "-c", script],
                "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
            },
        }
        for node, script in enumerate(scripts)
    ]
    nodes = {"numNodes": len(scripts), "mainNode": 0, "nodeRangeProperties": ranges}
    register = {"jobDefinitionName": name, "type": "multinode", "nodeProperties": nodes}
    server.call("RegisterJobDefinition", register)
    request = {"jobName": name, "jobQueue": "default", "jobDefinition": name, **members}
    job = str(server.call("SubmitJob", request)["jobId"])
    until(lambda: server.status(job) in ("SUCCEEDED", "FAILED"), SECONDS)
    return job


def test_a_command_reaches_the_other_nodes_and_its_exit_code_comes_back(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = f"echo main in $PWD; {IN_OTHERS} exit 7"
    remote = 'echo "$GREETING from $AWS_BATCH_JOB_NODE_INDEX in $PWD"'
    result = ask(
        server, "run", "--nodes", "3", "--env", "GREETING=hello", "--name", "trio", "sh", "-c", script, "-", remote
    )
    assert result.stdout.splitlines() == [
        f"[0] main in {tmp_path}",
        f"[0] hello from 1 in {tmp_path}",
        f"[0] hello from 2 in {tmp_path}",
    ], result.stderr
    assert result.exit_code == 7
    assert re.search(r"Job FAILED after \S+: Essential container in task exited \(exit code 7\)\n", result.stderr)


def test_one_node_writes_no_index(server: Server) -> None:
    result = ask(server, "run", "--nodes", "1", "--", "sh", "-c", "echo $AWS_BATCH_JOB_NUM_NODES")
    assert (result.stdout, result.exit_code) == ("1\n", 0)


def test_lines_come_while_the_job_runs(server: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo waits; until [ -e {gate} ]; do sleep 0.05; done; echo goes on"
    with subprocess.Popen(
        [*BATCHYARD, "run", "--nodes", "2", "--", "sh", "-c", script],
        env=environment(server.directory) | {"BATCHYARD_URL": server.address},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"[0] waits\n"
        gate.touch()
        assert process.stdout.read() == b"[0] goes on\n"
        assert process.wait(SECONDS) == 0


def test_logs_of_all_nodes_by_time_and_of_one(server: Server, tmp_path: Path) -> None:
    # A line's time is when it was read, which may be late: the third node waits until the second's line is there.
    begins = f"begins {tmp_path.name}"
    third = rf"until grep -rq '{begins}' {server.data_dir}/logs; do sleep 0.05; done; printf '\033[2Jthird\n'"
    job = submit(server, "logs", f"{UNTIL_LAST_ENDS} echo main", f"echo {begins}; sleep 1000", third)
    lines = ask(server, "logs", job[:8]).stdout.splitlines()
    assert lines == [f"[1] {begins}", "[2] \x1b[2Jthird", "[0] main"]
    assert ask(server, "logs", f"{job[:8]}#1").stdout == f"{begins}\n"
    assert sorted(ask(server, "logs", "--follow", job).stdout.splitlines()) == sorted(lines)
    found = json.loads(ask(server, "logs", "--json", job).stdout)
    assert {event["jobId"] for event in found} == {f"{job}#{node}" for node in range(3)}


def test_logs_of_each_attempt_of_all_nodes(server: Server, tmp_path: Path) -> None:
    wrote = f"{tmp_path}/wrote$AWS_BATCH_JOB_ATTEMPT"
    other = f"echo other $AWS_BATCH_JOB_ATTEMPT; touch {wrote}; sleep 1000"
    main = f"until [ -e {wrote} ]; do sleep 0.05; done; echo main $AWS_BATCH_JOB_ATTEMPT; [ -e {tmp_path}/wrote2 ]"
    job = submit(server, "twice", main, other, retryStrategy={"attempts": 2})
    first, second = ["[0] main 1", "[1] other 1"], ["[0] main 2", "[1] other 2"]
    last = ask(server, "logs", job)
    assert sorted(last.stdout.splitlines()) == second
    assert f"This is attempt 2. Those before it: batchyard logs --attempts {job[:8]}" in last.stderr
    assert sorted(ask(server, "logs", "--attempt", "1", job).stdout.splitlines()) == first
    every = ask(server, "logs", "--attempts", job)
    assert sorted(every.stdout.splitlines()[:2]) == first
    assert sorted(every.stdout.splitlines()[2:]) == second
    assert "-- Attempt 1 ended with exit code 1" in every.stderr
    assert "has no attempt 3: it has 2" in ask(server, "logs", "--attempt", "3", job).stderr


def test_a_retry_of_all_nodes_is_followed(server: Server) -> None:
    script = "echo try $AWS_BATCH_JOB_ATTEMPT; exit $((6 - AWS_BATCH_JOB_ATTEMPT))"
    result = ask(server, "run", "--nodes", "2", "--attempts", "2", "--", "sh", "-c", script)
    assert (result.stdout, result.exit_code) == ("[0] try 1\n[0] try 2\n", 4)
    assert result.stderr.count("Attempt 1 ended with exit code 5; the job is tried again.") == 1
    assert "Attempt 2" not in result.stderr


def test_describe_has_a_table_of_nodes_and_the_one_that_died_first(server: Server) -> None:
    job = submit(server, "dies", f"{UNTIL_LAST_ENDS} exit 1", "sleep 1000", "exit 9")
    text = ask(server, "describe", job[:8]).stdout
    assert "Status      FAILED, exit code 1: Essential container in task exited" in text
    died = re.search(r"Died first  node 2, \S+ before the main node: exit code 9, Essential container in", text)
    assert died is not None, text
    instance = r"i-[0-9a-f]+"
    address = r"127\.\d+\.\d+\.\d+"
    reason = "Essential container in task exited"
    assert re.search(rf"  0 main  FAILED  1 +{address} +{instance}  {reason}\n", text), text
    assert re.search(rf"  1       FAILED  143 +{address} +{instance}  {reason}", text), text
    assert re.search(rf"  2       FAILED  9 +{address} +{instance}  {reason}\n", text), text
    assert "On nodes    1\nCommand     sh -c 'sleep 1000'\n" in text
    assert f"Read it     batchyard logs {job}\n" in text
    node = ask(server, "describe", f"{job[:8]}#2").stdout
    assert f"{job}#2\nStatus      FAILED, exit code 9" in node
    assert re.search(rf"Node        2\nAddress     {address}\n", node), node
    assert "Node        0, the main node\n" in ask(server, "describe", f"{job}#0").stdout


def test_a_run_says_which_node_died_first(server: Server) -> None:
    # Its shell waits for what runs in the other node, which ends that node's own program.
    script = f"{IN_OTHERS} exit 3"
    result = ask(server, "run", "--nodes", "2", "--", "sh", "-c", script, "-", "kill -9 0")
    assert result.exit_code == 3
    assert re.search(r"\(exit code 3\)\. Died first: node 1, \S+ before the main node: exit code 137", result.stderr)


def test_nodes_that_were_stopped_did_not_die_first(server: Server) -> None:
    request = {"command": ["sleep", "100"], "nodes": 3, "jobName": "held"}
    job = str(server.call("RunJob", request, "/yard/v1/")["jobId"])
    until(lambda: server.status(f"{job}#2") == "RUNNING", SECONDS)
    assert "RUNNING" in ask(server, "describe", job).stdout
    assert ask(server, "terminate", job[:8]).exit_code == 0
    until(lambda: server.status(job) == "FAILED", SECONDS)
    assert "Died first" not in ask(server, "describe", job).stdout


JOB = "3f2b8c1e-0000-4000-8000-000000000000"


def add_nodes(stub: Stub, count: int) -> None:
    """A job whose nodes run. The job's own detail has no container, as with AWS."""
    stub.add(JOB, "RUNNING", startedAt=1, nodeProperties={"numNodes": count, "mainNode": 0})
    for index in range(count):
        stub.add(f"{JOB}#{index}", nodeDetails={"nodeIndex": index, "isMainNode": index == 0})
        stub.run(f"{JOB}#{index}", f"s{index}", f"line {index}")


def end_nodes(stub: Stub, count: int) -> None:
    for name in (JOB, *(f"{JOB}#{index}" for index in range(count))):
        stub.end(name)


def test_lines_of_nodes_beyond_the_first_come_at_the_end(
    invoke: Invoke, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchyard.cli.follow.MAX_LIVE_CHILDREN", 1)
    add_nodes(stub, 2)
    looks = [lambda: None] * 6
    stub.steps = [*looks, lambda: stub.logs["s0"].append("last"), lambda: None, lambda: end_nodes(stub, 2)]
    result = invoke("logs", "--follow", JOB)
    assert result.stdout == "[0] line 0\n[0] last\n[1] line 1\n"
    note = "Of 2 nodes the first 1 are followed while they run; the lines of the others come when the job has ended."
    assert result.stderr.count(note) == 1
    assert note not in invoke("logs", "--follow", JOB).stderr, "it has ended: all are read"


def test_all_nodes_within_the_limit_are_followed_without_a_note(invoke: Invoke, stub: Stub) -> None:
    add_nodes(stub, 2)
    stub.steps = [lambda: None, lambda: None, lambda: end_nodes(stub, 2)]
    result = invoke("logs", "--follow", JOB)
    assert (result.stdout, result.stderr) == ("[0] line 0\n[1] line 1\n", "")


def test_json_has_the_nodes_as_describe_jobs_answers_them(server: Server) -> None:
    job = submit(server, "documents", f"{UNTIL_LAST_ENDS} exit 3", "exit 5")
    described = json.loads(ask(server, "describe", "--json", job).stdout)
    answers = [server.call("DescribeJobs", {"jobs": [name]})["jobs"][0] for name in (job, f"{job}#0", f"{job}#1")]
    assert described == answers[0] | {"nodes": answers[1:]}
    assert [node["attempts"][0]["container"]["exitCode"] for node in described["nodes"]] == [3, 5]
    one = json.loads(ask(server, "describe", "--json", f"{job}#1").stdout)
    assert one == answers[2], "a node has no nodes"


def test_several_containers_of_a_node(invoke: Invoke, stub: Stub) -> None:
    add_nodes(stub, 2)
    pair = [{"name": "main", "logStreamName": "s0", "exitCode": 3}, {"name": "side", "logStreamName": "s2"}]
    task = {"container": {}, "ecsProperties": {"taskProperties": [{"containers": pair}]}}
    stub.details[f"{JOB}#0"] |= task
    stub.logs["s2"] = ["aside"]
    assert invoke("logs", JOB).stdout == "[0] [main] line 0\n[0] [side] aside\n[1] line 1\n"
    assert invoke("logs", "--container", "side", JOB).stdout == "[0] [side] aside\n"
    wrong = invoke("logs", "--container", "nobody", JOB).stderr
    assert "no container nobody: its containers are main, side, default" in wrong
    end_nodes(stub, 2)
    text = invoke("describe", JOB).stdout
    assert "Status      SUCCEEDED, exit code 3" in text
    assert "  0 main  SUCCEEDED  main 3" in text


def node(index: int, *times: tuple[int, int], status: str = "FAILED", **members: Any) -> dict[str, Any]:
    """A node with its attempts as (start, stop)."""
    found: dict[str, Any] = {"status": status, "nodeDetails": {"nodeIndex": index, "isMainNode": index == 0}}
    found["attempts"] = [{"startedAt": start, "stoppedAt": stop} for start, stop in times]
    if times:
        found |= {"startedAt": times[-1][0], "stoppedAt": times[-1][1]}
    return found | members


def test_a_node_that_was_not_launched_in_each_attempt() -> None:
    ended = [{"startedAt": 10, "stoppedAt": 19}, {"stoppedAt": 25}, {"startedAt": 30, "stoppedAt": 39}]
    job = {"status": "FAILED", "attempts": ended}
    assert attempt_numbers(job, node(1, (11, 20))) == [1]
    assert attempt_numbers(job, node(1, (31, 40))) == [3]
    assert attempt_numbers(job, node(1, (11, 20), (31, 40))) == [1, 3]
    assert attempt_numbers(job, node(0, (10, 19), (0, 25), (30, 39))) == [1, 2, 3]
    runs = {"status": "RUNNING", "attempts": ended, "startedAt": 50}
    assert attempt_numbers(runs, node(1, (11, 20), status="RUNNING") | {"startedAt": 51}) == [1, 4]


def test_the_first_of_the_nodes_that_failed_before_the_main_node() -> None:
    main = node(0, (10, 90))
    nodes = [main, node(1, (20, 80)), node(2, (20, 70)), node(3, (20, 60), status="SUCCEEDED"), node(4, (20, 95))]
    assert failed_first({}, nodes).startswith("node 2, 20ms before the main node")
    assert failed_first({"isTerminated": True}, nodes) == ""
    assert failed_first({}, [main | {"statusReason": TIMED_OUT}, *nodes[1:]]) == ""
    assert failed_first({}, [main, node(1, (1, 9))]) == "", "of the attempt before"
    assert failed_first({}, [main | {"status": "SUCCEEDED"}, *nodes[1:]]) == ""
    assert failed_first({"statusReason": TIMED_OUT}, nodes) == "", "all were stopped: a node has its own reason"
    host = "Host EC2 (instance i-0f) terminated."
    assert failed_first({"statusReason": host}, nodes) == "", "all were stopped for the host"
    lost = node(5, (20, 75), statusReason=host)
    assert failed_first({"statusReason": host}, [*nodes, lost]).startswith("node 5, 15ms before the main node")
    never = node(1, statusReason="CannotPullContainerError: no such image", stoppedAt=30)
    assert failed_first({}, [main, never]).endswith("main node: CannotPullContainerError: no such image")


def test_nodes_and_arrays_exclude_each_other(server: Server) -> None:
    result = ask(server, "run", "--nodes", "2", "--array", "2", "true")
    assert result.exit_code == 2
    assert "--nodes exclude each other" in result.stderr
