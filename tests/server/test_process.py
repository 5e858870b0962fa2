"""`batchyard up`, `down` and `keys` as processes: what a person and a client of the machine see."""

import errno
import json
import os
import random
import resource
import signal
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from batchyard.__main__ import app
from batchyard.engines.base import log_path
from batchyard.server import startup
from batchyard.server.admin.terminal import EXIT_COMMIT_FAILED, EXIT_DISK_FULL, EXIT_FORCED
from batchyard.server.settings.paths import runtime_directory
from batchyard.store.errors import CommitFailed, DiskFull
from batchyard.version import VERSION
from tests.server.running import Server, command
from tests.waiting import until

NOBODY = 65534


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that leave it running and unchanged."""
    with Server(tmp_path_factory.mktemp("server"), "--vcpus", "2", "--memory", "1024") as running:
        yield running


def test_it_serves_and_says_where(server: Server) -> None:
    health = server.request("GET", "/health")
    assert health.status == 200
    assert {**health.json, "engines": 0} == {"version": VERSION, "role": "active", "engines": 0, "store": "sqlite"}
    assert [engine["name"] for engine in health.json["engines"]] == ["process"]
    said = server.said()
    for expected in (
        server.address,
        str(server.data_dir),
        "process (as told)",
        "default (processes), host (processes)",
        "2 vCPUs, 1024 MiB",
        "AWS_ENDPOINT_URL_BATCH",
        " AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 ",
    ):
        assert expected in said
    assert "Traceback" not in said


def test_the_first_environments_and_queues_are_there(server: Server) -> None:
    environments = server.call("DescribeComputeEnvironments")["computeEnvironments"]
    assert [(e["computeEnvironmentName"], e["type"], e["status"]) for e in environments] == [
        ("host", "UNMANAGED", "VALID"),
        ("local", "UNMANAGED", "VALID"),
    ]
    queues = server.call("DescribeJobQueues")["jobQueues"]
    assert [(q["jobQueueName"], q["state"], q["status"]) for q in queues] == [
        ("default", "ENABLED", "VALID"),
        ("host", "ENABLED", "VALID"),
    ]


def test_get_service_tells_everything(server: Server) -> None:
    found = server.call("GetService", prefix="/yard/v1/")
    assert found["capacity"] == {"vcpus": 2, "memory": 1024, "gpus": 0}
    assert found["processId"] == server.process.pid
    assert found["dataDirectory"] == str(server.data_dir)
    assert found["address"] == server.address
    assert {f["check"] for f in found["findings"]} >= {
        "process engine",
        "docker",
        "disk",
        "open files",
        "clock",
        "secrets key",
    }


def test_foreign_hosts_and_unsigned_requests_are_refused(server: Server) -> None:
    assert server.signed("ListJobs", {}, Host="evil.example").status == 403
    assert server.signed("ListJobs", {}, Origin="http://evil.example").status == 403
    assert server.request("POST", "/v1/listjobs", b"{}").status == 403
    assert server.signed("DescribeJobQueues").status == 200


def as_nobody(work: Callable[[], Any]) -> Any:
    """What `work` gives, as JSON can carry it, in a process of another user."""
    reading, writing = os.pipe()
    child = os.fork()  # not another program: this interpreter may lie where the other user cannot read
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writing, json.dumps(work()).encode())
            os._exit(0)
        finally:  # a failure must not go on as a second pytest
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as answers:
        found = json.load(answers)
    assert os.waitpid(child, 0)[1] == 0
    return found


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_other_users_of_this_machine_are_refused(server: Server) -> None:
    def ask() -> list[list[Any]]:
        replies = [server.signed("DescribeJobQueues"), server.request("GET", "/health")]
        return [[reply.status, reply.body.decode()] for reply in replies]

    assert [status for status, _ in ask()] == [200, 200]  # and imports what the other user may not be able to read
    refused, health = as_nobody(ask)
    assert refused[0] == 403
    assert f"(you are {NOBODY})" in refused[1]
    assert health[0] == 200


@pytest.mark.skipif(os.getuid() != 0, reason="only root can run jobs as another user")
def test_a_job_of_another_user_calls_by_its_session_and_its_user_does_not(server: Server) -> None:
    """While it runs, a program of the same user that is no job may not call: not even where it signs with any key."""
    variables = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
    script = "".join(f"echo ${name}; " for name in variables) + "exec sleep 600"
    container = {
        "image": "host",
        "command": ["sh", "-c", script],
        "user": "nobody",
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    }
    register = {"jobDefinitionName": "nobody", "type": "container", "containerProperties": container}
    definition = server.call("RegisterJobDefinition", register)["jobDefinitionArn"]
    submit = {"jobName": "nobody", "jobQueue": "default", "jobDefinition": definition}
    job_id = server.call("SubmitJob", submit)["jobId"]
    task_id = until(lambda: server.call("DescribeJobs", {"jobs": [job_id]})["jobs"][0]["container"].get("taskArn"))
    log = log_path(server.data_dir / "logs", task_id.rpartition("/")[2])
    until(lambda: log.exists() and log.read_text().count("\n") == 2, 60, "the job to say where its credentials are")
    uri, authorization = (line.partition("\t")[2] for line in log.read_text().splitlines())
    path, headers = urlsplit(uri).path, {"Authorization": authorization}

    def ask_as_the_job() -> int:
        found = server.request("GET", path, headers=headers).json
        key = (found["AccessKeyId"], found["SecretAccessKey"])
        return server.signed("DescribeJobQueues", key=key, session_token=found["Token"]).status

    run = {"command": ["true"], "vcpus": 1, "memory": 64}
    assert as_nobody(lambda: server.signed("RunJob", run, prefix="/yard/v1/").status) == 403
    assert as_nobody(lambda: server.signed("DescribeJobQueues").status) == 403
    assert as_nobody(ask_as_the_job) == 200
    server.call("TerminateJob", {"jobId": job_id, "reason": "enough"})
    until(lambda: server.status(job_id) == "FAILED")
    assert as_nobody(lambda: server.request("GET", path, headers=headers).status) == 403


def raw(server: Server, content: bytes) -> bytes:
    """The status line of the answer to raw bytes; empty when the server only closed, also while it was still told."""
    parts = urlsplit(server.address)
    received = b""
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except (BrokenPipeError, ConnectionResetError):
            pass
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # reset before the shutdown
                raise
    return received.split(b"\r\n")[0]


GARBAGE = [
    b"GET http://[ HTTP/1.1\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\xff\xfe\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\n\r\n",
    b"GET /v4/%ff%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    b"POST /v1/submitjob HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/submitjob HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/submitjob HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /v1/submitjob HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n",
    b"GET /health HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET /health HTTP/0.9\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"",
]


@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_never_a_fault_of_ours(server: Server, content: bytes) -> None:
    assert not raw(server, content).startswith(b"HTTP/1.1 5")


def test_random_documents_are_never_a_fault_of_ours(server: Server) -> None:
    chance = random.Random(7)
    values = [
        None,
        True,
        -1,
        2**70,
        1.5,
        "",
        "x" * 300,
        [],
        {},
        ["a", 1],
        {"name": None},
        "arn:aws:batch:::job/",
        "\udcff",
    ]
    names = ["jobName", "jobQueue", "jobDefinition", "jobs", "type", "containerProperties", "tags", "arrayProperties"]
    operations = ["SubmitJob", "RegisterJobDefinition", "DescribeJobs", "CreateJobQueue", "ListJobs", "TerminateJob"]
    for _ in range(150):
        document = {chance.choice(names): chance.choice(values) for _ in range(chance.randrange(6))}
        reply = server.signed(chance.choice(operations), document)
        assert reply.status in (200, 400), (document, reply)
    for body in (b"\xff", b"[]", b"null", b"{" * 5000, b'{"jobs":["\\ud800"]}', b"0" * 70_000):
        reply = server.request("POST", "/v1/describejobs", body, {"Authorization": "x"})
        assert reply.status == 403
    assert server.request("GET", "/health").status == 200
    assert "Traceback" not in server.said()


def test_a_second_server_is_told_about_the_first(server: Server) -> None:
    second = command(server.directory, "up", "--data-dir", str(server.data_dir), "--port", "0")
    assert second.returncode == 1
    assert "Another server" in second.stderr
    assert str(server.process.pid) in second.stderr
    port = str(urlsplit(server.address).port)
    third = command(server.directory, "up", "--data-dir", str(server.directory / "other"), "--port", port)
    assert third.returncode == 1
    assert "Address already in use; choose another one with --port" in third.stderr
    assert "Traceback" not in second.stderr + third.stderr
    assert server.request("GET", "/health").status == 200


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (("--host", "0.0.0.0"), 2, "would let anybody who reaches it run programs here"),
        (("--port", "70000"), 2, "--port must be an integer from 0 to 65535"),
        (("--config", "missing.toml"), 2, "There is no configuration file"),
        (("--data-dir", "/proc/nowhere"), 1, "cannot be made"),
        (("--host", "192.0.2.1"), 1, "no interface of this machine has that address"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, flags: tuple[str, ...], code: int, sentence: str) -> None:
    arguments = ["up", "--data-dir", str(tmp_path / "data"), "--port", "0", *flags]
    done = CliRunner().invoke(app, arguments, env={"HOME": str(tmp_path)})
    assert (done.exit_code, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [(DiskFull("No space is left."), EXIT_DISK_FULL), (CommitFailed("It failed."), EXIT_COMMIT_FAILED)],
)
def test_a_store_that_fails_has_exit_codes_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    async def fail(parts: object) -> None:
        raise error

    monkeypatch.setattr(startup, "_run", fail)
    arguments = ["up", "--data-dir", str(tmp_path / "data"), "--port", "0"]
    done = CliRunner().invoke(app, arguments, env={"HOME": str(tmp_path)})
    assert done.exit_code == code
    assert done.stderr.startswith(f"batchyard: {error} ")


def test_two_interrupts_end_it_at_once(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        parts = urlsplit(server.address)
        with socket.create_connection((parts.hostname, parts.port)) as slow:
            # A request that is not whole keeps the server waiting for a while.
            slow.sendall(b"POST /v1/listjobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
            server.call("DescribeJobQueues")
            server.process.send_signal(signal.SIGINT)
            until(lambda: "Stopped." in server.said())
            assert server.signal(signal.SIGINT) == EXIT_FORCED
        assert "Ended at once" in server.said()


def test_the_version_and_the_doctor(tmp_path: Path) -> None:
    assert command(tmp_path, "--version").stdout == f"batchyard {VERSION}\n"
    shown = json.loads(command(tmp_path, "doctor", "--json").stdout)
    assert {"check", "ok", "detail", "remedy", "present"} == set(shown[0])
    assert any(finding["detail"].startswith("not running") for finding in shown)
    assert "open files" in command(tmp_path, "doctor").stdout


def test_the_doctor_calls_nothing_ok_that_is_not_there(tmp_path: Path) -> None:
    lines = command(tmp_path, "doctor", DOCKER_HOST=f"unix://{tmp_path}/none.sock").stdout.splitlines()
    marks = {line[6:].split("  ")[0]: line.split()[0] for line in lines if line[:1].strip()}
    for check in ("docker", "data directory", "secrets key", "server"):
        assert marks[check] == "no", lines
    assert marks["process engine"] == "ok"


def test_a_life(tmp_path: Path) -> None:
    """Started deep down, asked, stopped by signal, started again on what it kept, stopped by command."""
    deep = tmp_path.joinpath(*["d" * 60] * 4)
    deep.mkdir(parents=True)
    server = Server(deep, "--host", "::1")
    with server:
        assert "http://[::1]:" in server.address
        server.call("UpdateJobQueue", {"jobQueue": "default", "priority": 77})
        assert server.signal(signal.SIGINT) == 0
        assert "Stopped. No job was running." in server.said()
        assert not (server.data_dir / "server.json").exists()
        assert not runtime_directory(server.data_dir, {}).exists()
        server.start()
        queues = server.call("DescribeJobQueues")["jobQueues"]
        assert [(queue["jobQueueName"], queue["priority"]) for queue in queues] == [("default", 77), ("host", 1)]
        down = command(tmp_path, "down", "--data-dir", str(server.data_dir))
        assert (down.returncode, down.stderr) == (0, "")
        assert server.process.wait(60) == 0
        again = command(tmp_path, "down", "--data-dir", str(server.data_dir))
        assert again.returncode == 1
        assert "No server runs on" in again.stderr


def test_keys_change_who_may_call_while_it_runs(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        where = ("--data-dir", str(server.data_dir))
        assert server.signed("DescribeJobQueues").status == 200
        added = command(tmp_path, "keys", "add", "ci", *where).stdout
        key = dict(line.split("=", 1) for line in added.splitlines())
        pair = key["AWS_ACCESS_KEY_ID"], key["AWS_SECRET_ACCESS_KEY"]
        assert server.signed("DescribeJobQueues").status == 403
        assert server.signed("DescribeJobQueues", key=pair).status == 200
        assert server.signed("DescribeJobQueues", key=(pair[0], "wrong")).status == 403
        listed = command(tmp_path, "keys", "list", *where).stdout
        assert pair[0] in listed
        assert pair[1] not in listed
        assert command(tmp_path, "keys", "add", "ci", *where).returncode == 1
        assert command(tmp_path, "keys", "rm", "ci", *where).returncode == 0
        assert server.signed("DescribeJobQueues").status == 200


def test_a_reader_who_leaves_does_not_stop_it(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    server = Server(tmp_path, output=writing)
    os.close(reading)
    with server:
        os.close(writing)
        assert server.request("GET", "/health").status == 200
        assert server.signal() == 0


def test_a_failed_commit_ends_it_with_its_own_code(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        # From here on no file may grow beyond this: the next commit cannot be written.
        size = (server.data_dir / "batchyard.db-wal").stat().st_size
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, size))
        refused = server.signed("UpdateJobQueue", {"jobQueue": "default", "priority": 5})
        assert refused.status == 503
        assert server.process.wait(60) == EXIT_COMMIT_FAILED
        assert "Nothing that was answered is lost" in server.said()
        assert "Traceback" not in server.said()
        server.start()
        assert server.call("DescribeJobQueues")["jobQueues"][0]["priority"] == 1


def test_jobs_run_on_and_down_kill_ends_them(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with Server(tmp_path, "--vcpus", "1", "--memory", "1024", output=writing) as server:
        os.close(writing)
        running = server.submit(["sleep", "600"], "running")
        waiting = server.submit(["sleep", "600"], "waiting")
        until(lambda: server.status(running) == "RUNNING")
        assert server.signal() == 0
        with os.fdopen(reading, "rb") as output:  # ends: nothing that runs on holds it
            assert b"Stopped. 1 running job runs on" in output.read()
        late = command(tmp_path, "down", "--kill", "--data-dir", str(server.data_dir))
        assert late.returncode == 1
        assert "To end jobs that run on: `batchyard up`, then" in late.stderr.replace("\n", " ")
        server._output = None
        server.start()
        assert server.status(running) == "RUNNING"
        down = command(tmp_path, "down", "--kill", "--data-dir", str(server.data_dir))
        assert "its supervisor and 1 running job." in down.stdout, down.stderr
        assert server.process.wait(60) == 0
        server.start()
        assert server.status(running) == "FAILED"
        until(lambda: server.status(waiting) == "RUNNING", 60, "the waiting job stayed, and starts now")
        plain = command(tmp_path, "down", "--data-dir", str(server.data_dir))
        assert plain.stdout.strip().endswith(". 1 running job runs on."), plain.stdout
        assert server.process.wait(60) == 0
        server.start()
