"""Nodes of multi-node jobs that are pods (eksProperties of node ranges), on a real daemon and as processes (AWS Batch
behaviour 6.11, 8)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.dockerd import IMAGE, Dockerd
from tests.server.running import Server, command
from tests.server.test_docker import ended, log_of, reaching, server_of
from tests.waiting import until

SMALL = {"limits": {"cpu": "0.25", "memory": "64Mi"}}
NODE_SECONDS = 60.0
# Prints what is sent to each of its ports, one after the other; and sends $3 to the port $2 of $1. The one that listens
# has an input that does not end: at its end it would close its side, and the other might go before it has sent a word.
LISTEN = 'mkfifo /tmp/open.$$; exec 3<>/tmp/open.$$; for port in "$@"; do busybox nc -l -p "$port" <&3; done'
TELL = 'until echo "$3" | busybox nc "$1" "$2"; do sleep 0.1; done'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("pods")
    with server_of(directory, reaching(dockerd), "auto", "--stop-grace-seconds", "2") as running:
        yield running


def one(name: str, *words: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "command": list(words), "resources": SMALL, **members}


def script(name: str, text: str, *words: str, **members: Any) -> dict[str, Any]:
    return one(name, "sh", "-c", text, name, *words, **members)


def pod(*containers: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"podProperties": {"containers": list(containers), **members}}


def register(server: Server, name: str, *pods: dict[str, Any], **members: Any) -> None:
    """A definition with one node for each pod."""
    ranges = [{"targetNodes": str(node), "eksProperties": each} for node, each in enumerate(pods)]
    nodes = {"numNodes": len(pods), "mainNode": 0, "nodeRangeProperties": ranges}
    request = {"jobDefinitionName": name, "type": "multinode", "nodeProperties": nodes, **members}
    server.call("RegisterJobDefinition", request)


def submit(server: Server, name: str, queue: str = "default", **members: Any) -> str:
    request = {"jobName": name, "jobQueue": queue, "jobDefinition": name, **members}
    return str(server.call("SubmitJob", request)["jobId"])


def described(server: Server, job: str) -> dict[str, Any]:
    (found,) = server.call("DescribeJobs", {"jobs": [job]})["jobs"]
    return dict(found)


def shown(server: Server, *words: str) -> list[str]:
    """The sorted lines that a command prints about a job."""
    verb, job = words
    done = command(server.directory, verb, "--url", server.address, job)
    assert done.returncode == 0, (done.stderr, server.process.poll(), server.said())
    return sorted(done.stdout.splitlines())


def exit_codes(detail: dict[str, Any]) -> dict[str, int | None]:
    found = detail["eksProperties"]["podProperties"]
    return {each["name"]: each.get("exitCode") for each in [*found["containers"], *found["initContainers"]]}


def test_pods_of_several_containers_reach_each_other_by_the_addresses_of_their_nodes(server: Server) -> None:
    volume = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    tell = script(
        "tell", TELL, "$(AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS)", "5001", "I am $(AWS_BATCH_JOB_NODE_INDEX)"
    )
    ask = '$BATCHYARD_RSH node-1 "cat /data/own; echo on \\$AWS_BATCH_JOB_NODE_INDEX"'
    register(
        server,
        "reach",
        pod(
            script("listen", LISTEN, "5000", "5001"),
            script("beside", TELL, "127.0.0.1", "5000", "I am beside"),
            script("ask", ask),
        ),
        pod(
            script("serve", "exec sleep 1000", **volume),
            tell,
            initContainers=[script("prepare", "echo prepared > /data/own", **volume)],
            volumes=[{"name": "data", "emptyDir": {}}],
        ),
    )
    job = submit(server, "reach")
    detail = ended(server, job)
    assert detail["status"] == "SUCCEEDED", (detail, server.said())
    main, other = described(server, f"{job}#0"), described(server, f"{job}#1")
    assert exit_codes(main) == {"listen": 0, "beside": 0, "ask": 0}
    assert (exit_codes(other)["prepare"], exit_codes(other)["serve"]) == (0, 143)
    assert shown(server, "logs", f"{job}#0") == [
        "[ask] on 1",
        "[ask] prepared",
        "[listen] I am 1",
        "[listen] I am beside",
    ]
    table = [line.split() for line in shown(server, "describe", job)]
    (row,) = (words for words in table if words[:2] == ["1", "FAILED"])
    assert row[2:5] == ["serve", "143,", "tell"]
    assert other["container"]["networkInterfaces"][0]["privateIpv4Address"] in row


def test_a_node_is_described_as_its_pod(server: Server) -> None:
    register(server, "told", pod(script("main", "$BATCHYARD_RSH node-1 true")), pod(one("work", "sleep", "1000")))
    job = submit(server, "told")
    assert ended(server, job)["status"] == "SUCCEEDED"
    parent, node = described(server, job), described(server, f"{job}#1")
    assert node["nodeDetails"] == {"nodeIndex": 1, "isMainNode": False}
    place = node["eksProperties"]["podProperties"]
    assert (place["containers"][0]["name"], exit_codes(node)) == ("work", {"work": 143})
    (attempt,) = node["eksAttempts"]
    assert attempt["podName"] == place["podName"] != parent["eksAttempts"][0]["podName"]
    assert [each["name"] for each in attempt["containers"]] == ["work"]
    assert node["container"]["networkInterfaces"][0]["privateIpv4Address"].startswith("198.")
    assert "eksProperties" not in parent
    names = [
        each["eksProperties"]["podProperties"]["containers"][0]["name"]
        for each in parent["nodeProperties"]["nodeRangeProperties"]
    ]
    assert names == ["main", "work"]


def test_overrides_change_the_pods_of_a_range(server: Server) -> None:
    register(server, "changed", pod(script("main", LISTEN, "5000")), pod(one("work", "false")))
    tell = ["sh", "-c", TELL, "tell", "node-0", "5000", "$(WHO) of $(AWS_BATCH_JOB_NUM_NODES)"]
    override = pod({"command": tell, "env": [{"name": "WHO", "value": "the other"}]})
    changes = [{"targetNodes": "1", "eksPropertiesOverride": override}]
    job = submit(server, "changed", nodeOverrides={"nodePropertyOverrides": changes})
    assert ended(server, job)["status"] == "SUCCEEDED", server.said()
    assert log_of(server, described(server, f"{job}#0")) == ["the other of 2"]
    (container,) = described(server, f"{job}#1")["eksProperties"]["podProperties"]["containers"]
    assert (container["command"], container["exitCode"]) == (tell, 0)


def test_a_main_node_fails_with_one_container_and_is_retried_with_all_nodes(server: Server) -> None:
    fails = script("fails", 'test "$(AWS_BATCH_JOB_ATTEMPT)" = 2 || exit 3')
    register(
        server,
        "again",
        pod(one("good", "true"), fails),
        pod(one("work", "sleep", "1000")),
        retryStrategy={"attempts": 2},
    )
    job = submit(server, "again")
    detail = ended(server, job)
    assert detail["status"] == "SUCCEEDED", detail
    codes = [{each["name"]: each["exitCode"] for each in attempt["containers"]} for attempt in detail["eksAttempts"]]
    assert codes == [{"good": 0, "fails": 3}, {"good": 0, "fails": 0}]
    assert len({attempt["podName"] for attempt in detail["eksAttempts"]}) == 2


def test_a_command_runs_in_a_container_of_one_node_and_terminate_ends_all(server: Server, tmp_path: Path) -> None:
    waits = one("waits", "sleep", "1000")
    register(server, "open", pod(one("main", "sleep", "1000")), pod(one("work", "sleep", "1000"), waits))
    job = submit(server, "open")
    until(lambda: described(server, f"{job}#1")["status"] == "RUNNING", NODE_SECONDS)
    words = ("sh", "-c", "echo $AWS_BATCH_JOB_NODE_INDEX")
    done = command(tmp_path, "exec", "--url", server.address, "--container", "waits", f"{job}#1", "--", *words)
    assert done.stdout == "1\n", done.stderr
    server.call("TerminateJob", {"jobId": f"{job}#1", "reason": "enough"})
    detail = ended(server, job)
    assert (detail["status"], detail["statusReason"]) == ("FAILED", "enough")
    assert [described(server, f"{job}#{node}")["status"] for node in range(2)] == ["FAILED", "FAILED"]
    assert exit_codes(described(server, f"{job}#1")) == {"work": 143, "waits": 143}


# -- as processes --


def test_pods_of_one_container_run_as_processes(server: Server) -> None:
    listen = (
        "import os, socket; s = socket.create_server((os.environ['BATCHYARD_NODE_ADDRESS'], 5000)); "
        "print(s.accept()[0].makefile().read())"
    )
    tell = (
        "import socket, sys, time\n"
        "while True:\n"
        "    try:\n"
        "        socket.create_connection((sys.argv[1], 5000)).sendall(sys.argv[2].encode())\n"
        "        break\n"
        "    except ConnectionRefusedError:\n"
        "        time.sleep(0.05)\n"
    )
    words = ["$(AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS)", "node $(AWS_BATCH_JOB_NODE_INDEX)"]
    register(
        server,
        "processes",
        pod(one("main", sys.executable, "-c", listen)),
        pod(one("work", sys.executable, "-c", tell, args=words)),
    )
    job = submit(server, "processes", "host")
    detail = ended(server, job)
    assert detail["status"] == "SUCCEEDED", (detail, log_of(server, described(server, f"{job}#0")))
    assert log_of(server, described(server, f"{job}#0")) == ["node 1"]
    until(lambda: described(server, f"{job}#1")["eksAttempts"])
    assert described(server, f"{job}#1")["container"]["networkInterfaces"][0]["privateIpv4Address"].startswith("127.")


def test_nodes_of_one_range_have_words_of_their_own_as_processes(server: Server) -> None:
    """All nodes of a range run one task; with $(VARIABLE) in it, each node's differs."""
    each = one("main", "sh", "-c", "echo $(AWS_BATCH_JOB_NODE_INDEX) > own.$AWS_BATCH_JOB_NODE_INDEX; $(WAIT)")
    wait = "until cat own.1 own.2; do sleep 0.05; done 2> /dev/null"
    main = pod(each | {"env": [{"name": "WAIT", "value": wait}]})
    others = pod(each | {"env": [{"name": "WAIT", "value": "exec sleep 1000"}]})
    ranges = [{"targetNodes": "0", "eksProperties": main}, {"targetNodes": "1:", "eksProperties": others}]
    nodes = {"numNodes": 3, "mainNode": 0, "nodeRangeProperties": ranges}
    request = {"jobDefinitionName": "words", "type": "multinode", "nodeProperties": nodes}
    server.call("RegisterJobDefinition", request)
    job = submit(server, "words", "host")
    assert ended(server, job)["status"] == "SUCCEEDED"
    assert log_of(server, described(server, f"{job}#0"))[-2:] == ["1", "2"]
