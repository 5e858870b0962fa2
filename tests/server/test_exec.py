"""`batchyard exec`: a second command in a running container, through a real server and a real command line."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchyard.wire.sigv4 import sign
from tests.engines.dockerd import IMAGE, Dockerd
from tests.server.running import BATCHYARD, Server, environment
from tests.waiting import until

JOB_SECONDS = 60.0
SIZES = ("--vcpus", "8", "--memory", "4096", "--engine", "auto")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd) -> Iterator[Server]:
    variables = {"DOCKER_HOST": f"unix://{dockerd.socket_path}"}
    with Server(tmp_path_factory.mktemp("exec"), *SIZES, variables=variables) as running:
        yield running


def running_job(server: Server, name: str, queue: str = "default", **members: Any) -> str:
    container = {
        "image": IMAGE,
        "command": ["sleep", "1000"],
        "environment": [{"name": "COLOUR", "value": "green"}],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
        **members,
    }
    register = {"jobDefinitionName": name, "type": "container", "containerProperties": container}
    definition = server.call("RegisterJobDefinition", register)["jobDefinitionArn"]
    submit = {"jobName": name, "jobQueue": queue, "jobDefinition": definition}
    job = str(server.call("SubmitJob", submit)["jobId"])
    until(lambda: server.status(job) == "RUNNING", JOB_SECONDS)
    return job


@pytest.fixture(scope="module")
def job(server: Server) -> str:
    return running_job(server, "open", enableExecuteCommand=True)


def execute(server: Server, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*BATCHYARD, "exec", "--url", server.address, *arguments],
        env=environment(server.directory),
        input=given,
        capture_output=True,
        timeout=JOB_SECONDS,
        check=False,
    )


def test_output_and_exit_code_are_the_commands(server: Server, job: str) -> None:
    done = execute(server, job[:8], "--", "sh", "-c", "echo $COLOUR; echo wrong >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"green\n", b"wrong\n", 7)
    assert server.status(job) == "RUNNING"


def test_what_is_piped_in_comes_out_whole(server: Server, job: str) -> None:
    content = os.urandom(3 << 20)
    done = execute(server, job, "cat", given=content)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == content


def test_a_command_that_ends_before_its_input_is_no_failure(server: Server, job: str) -> None:
    done = execute(server, job, "head", "-c", "5", given=b"12345" + bytes(4 << 20))
    assert (done.stdout, done.returncode) == (b"12345", 0)


def test_a_terminal_has_our_size_and_follows_it(server: Server, job: str) -> None:
    ours, theirs = pty.openpty()

    def resize(rows: int, columns: int) -> None:
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    resize(33, 111)
    script = "test -t 0 && test -t 1 || exit 9; until stty size | grep -q '33 111'; do :; done; echo one; read x; "
    script += "until stty size | grep -q '44 122'; do :; done; echo two $x; exit 5"
    with subprocess.Popen(
        [*BATCHYARD, "exec", "--url", server.address, job, "sh", "-c", script],
        env=environment(server.directory),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
    ) as process:
        said = b""

        def hears(words: bytes) -> bool:
            nonlocal said
            said += os.read(ours, 4096)
            return words in said

        until(lambda: hears(b"one\r\n"), JOB_SECONDS, lambda: said)
        resize(44, 122)
        process.send_signal(signal.SIGWINCH)
        os.write(ours, b"typed\r")
        until(lambda: hears(b"two typed\r\n"), JOB_SECONDS, lambda: said)
        assert process.wait(JOB_SECONDS) == 5
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("closed", b"does not set enableExecuteCommand"),
        ("process", b"runs on the process engine, which has no containers"),
        ("nothing", b"there never was one"),
    ],
)
def test_what_cannot_be_entered_is_refused(server: Server, kind: str, words: bytes) -> None:
    if kind == "nothing":
        job = "00000000-0000-4000-8000-000000000000"
    else:
        job = running_job(server, kind, "host" if kind == "process" else "default")
    done = execute(server, job, "true")
    assert done.returncode == 1
    assert words in done.stderr
    assert b"Traceback" not in done.stderr


def test_each_node_of_a_multi_node_job_takes_commands(server: Server) -> None:
    container = {
        "image": IMAGE,
        "command": ["sleep", "1000"],
        "enableExecuteCommand": True,
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    }
    nodes = {"numNodes": 2, "mainNode": 1, "nodeRangeProperties": [{"targetNodes": ":", "container": container}]}
    server.call("RegisterJobDefinition", {"jobDefinitionName": "nodes", "type": "multinode", "nodeProperties": nodes})
    submit = {"jobName": "nodes", "jobQueue": "default", "jobDefinition": "nodes"}
    job = str(server.call("SubmitJob", submit)["jobId"])
    until(lambda: server.status(f"{job}#0") == "RUNNING", JOB_SECONDS)
    index = ("--", "sh", "-c", "echo $AWS_BATCH_JOB_NODE_INDEX")
    said = [execute(server, name, *index).stdout for name in (f"{job[:8]}#0", f"{job}#1", job)]
    assert said == [b"0\n", b"1\n", b"1\n"]
    assert b"has no node 2: its nodes are 0 to 1" in execute(server, f"{job}#2", "true").stderr
    server.call("TerminateJob", {"jobId": job, "reason": "over"})


def test_a_job_that_wants_it_is_refused_where_there_are_only_processes(server: Server) -> None:
    with pytest.raises(AssertionError, match=r"the process engine can.*t do enableExecuteCommand"):
        running_job(server, "wants", "host", enableExecuteCommand=True)


def test_an_ended_job_takes_no_command(server: Server) -> None:
    job = running_job(server, "ends", enableExecuteCommand=True)
    server.call("TerminateJob", {"jobId": job, "reason": "enough"})
    until(lambda: server.status(job) == "FAILED", JOB_SECONDS)
    assert b"only the container of a RUNNING job takes a command" in execute(server, job, "true").stderr


def asked(server: Server, request: str, **changed: str) -> Any:
    path = f"/yard/v1/execjob?request={request}"
    made = sign(
        "POST",
        server.address + path,
        {},
        b"",
        access_key="any",
        secret_key="any",
        session_token=None,
        region="us-east-1",
        service="yard",
        now_ms=0,
    )
    return server.request("POST", path, b"", made | changed)


@pytest.mark.parametrize("request_", ["", "x", "%7B%7D", "%7B%22jobId%22%3A%22a%22%2C%22command%22%3A%5B%5D%7D"])
def test_a_request_that_is_none_is_said(server: Server, request_: str) -> None:
    reply = asked(server, request_)
    assert (reply.status, reply.headers["x-amzn-errortype"]) == (400, "ClientException")
    assert json.loads(reply.body)["message"]


def test_who_may_not_call_gets_nowhere(server: Server, job: str) -> None:
    request = f"%7B%22jobId%22%3A%22{job}%22%2C%22command%22%3A%5B%22true%22%5D%7D"
    assert asked(server, request, Origin="http://evil.example").status == 403
    assert asked(server, request, Authorization="").status == 403
    assert server.request("GET", "/yard/v1/execjob").status == 405


def test_the_command_line_leaves_when_the_server_does(tmp_path: Path, dockerd: Dockerd) -> None:
    with Server(tmp_path, *SIZES, variables={"DOCKER_HOST": f"unix://{dockerd.socket_path}"}) as server:
        job = running_job(server, "long", enableExecuteCommand=True)
        process = subprocess.Popen(
            [*BATCHYARD, "exec", "--url", server.address, job, "sh", "-c", "echo begun; sleep 1000"],
            env=environment(tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        assert server.signal() == 0
        said = process.communicate(timeout=JOB_SECONDS)[1]
        assert process.returncode == 1
        assert b"The connection" in said
        assert b"Traceback" not in said + server.said().encode()
        server.start()
        server.call("TerminateJob", {"jobId": job, "reason": "enough"})
        until(lambda: server.status(job) == "FAILED", JOB_SECONDS)
