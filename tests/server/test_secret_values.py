"""Jobs get their secrets from a real server, and the values are nowhere else: not in the data directory, the sockets'
directory, the logs, what the server says, a backup, the answers of operations, or the arguments of any process."""

import base64
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from batchyard.server.settings.paths import runtime_directory
from tests.server.running import Server, command
from tests.waiting import until

VALUE = "tr0ub4dor-and-3-staples"
ROLE = "arn:aws:iam::123456789012:role/any"
UNABLE = "ResourceInitializationError: unable to pull secrets or registry auth: "
END_SECONDS = 30.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path, "--vcpus", "2", "--memory", "1024") as running:
        yield running


def client(server: Server, name: str) -> Any:
    session = boto3.Session("any", "any", region_name="us-east-1")
    return session.client(name, endpoint_url=server.address)


def submit(server: Server, script: str, secrets: dict[str, str], **members: Any) -> str:
    container = {
        "image": "any",
        "command": ["sh", "-c", script],
        "executionRoleArn": ROLE,
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
        "secrets": [{"name": name, "valueFrom": value_from} for name, value_from in secrets.items()],
    }
    registered = server.call(
        "RegisterJobDefinition",
        {"jobDefinitionName": "job", "type": "container", "containerProperties": container},
    )
    request = {"jobName": "job", "jobQueue": "default", "jobDefinition": registered["jobDefinitionArn"]} | members
    return str(server.call("SubmitJob", request)["jobId"])


def job(server: Server, job_id: str) -> Any:
    return server.call("DescribeJobs", {"jobs": [job_id]})["jobs"][0]


def ended(server: Server, job_id: str) -> Any:
    until(lambda: server.status(job_id) in ("SUCCEEDED", "FAILED"), END_SECONDS, f"the end of {job_id}")
    return job(server, job_id)


def files_holding(value: str, *roots: Path) -> list[Path]:
    """Below the roots, in clear, as base64 at any offset, or as hexadecimal digits."""
    raw = value.encode()
    forms = [raw, raw.hex().encode(), *(base64.b64encode(b"x" * n + raw)[4:-4] for n in range(3))]
    paths = [path for root in roots for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(paths) > 5
    return [path for path in paths if any(form in path.read_bytes() for form in forms)]


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    for n in range(6):
        (tmp_path / str(n)).write_bytes(b"nothing")
    raw = VALUE.encode()
    for content in (raw, raw.hex().encode(), base64.b64encode(raw), base64.b64encode(b"??" + raw + b"?")):
        (tmp_path / "planted").write_bytes(b"{" + content + b"}")
        assert files_holding(VALUE, tmp_path) == [tmp_path / "planted"]


def arguments_of_all_processes() -> bytes:
    found = b""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found += (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def test_a_job_gets_its_secrets_and_nothing_else_does(server: Server, tmp_path: Path) -> None:
    manager, store = client(server, "secretsmanager"), client(server, "ssm")
    arn = manager.create_secret(Name="prod/db", SecretString=json.dumps({"user": "ada", "password": VALUE}))["ARN"]
    store.put_parameter(Name="/prod/token", Value=VALUE, Type="SecureString")
    secrets = {"PASSWORD": arn + ":password::", "ADA": arn + ":user::", "TOKEN": "/prod/token"}
    # Shell patterns, so that the value is in no command line.
    script = (
        'test "$ADA" = ada && test "$PASSWORD" = "$TOKEN" && printf %s "$PASSWORD" | sha256sum && '
        'touch "$TMPDIR_OF_TEST/ready" && while ! test -e "$TMPDIR_OF_TEST/go"; do sleep 0.05; done'
    )
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    variables = {"environment": [{"name": "TMPDIR_OF_TEST", "value": str(meeting)}]}
    job_id = submit(server, script, secrets, containerOverrides=variables)
    until(lambda: (meeting / "ready").exists(), END_SECONDS, lambda: job(server, job_id))
    runtime = runtime_directory(server.data_dir, {})
    backup = tmp_path / "backup" / "copy.db"
    backup.parent.mkdir()
    assert command(tmp_path, "backup", str(backup), "--data-dir", str(server.data_dir)).returncode == 0
    for moment in ("runs", "has ended"):
        assert files_holding(VALUE, tmp_path, runtime) == [], moment
        assert VALUE.encode() not in arguments_of_all_processes(), moment
        described = json.dumps([job(server, job_id), server.call("DescribeJobDefinitions")])
        assert VALUE not in described
        assert arn + ":password::" in described
        if moment == "runs":
            (meeting / "go").touch()
            detail = ended(server, job_id)
            assert detail["status"] == "SUCCEEDED", detail
    assert VALUE not in server.said()
    assert os.stat(tmp_path / ".config/batchyard/secrets.key").st_mode & 0o777 == 0o600
    assert not list(server.data_dir.rglob("secrets.key"))


def test_a_job_asks_for_secrets_by_itself(server: Server) -> None:
    """With nothing but what it finds in its environment."""
    client(server, "ssm").put_parameter(Name="greeting", Value="hello", Type="String")
    program = (
        "import boto3; assert boto3.client('ssm').get_parameter(Name='greeting')['Parameter']['Value'] == 'hello'; "
        "assert boto3.client('secretsmanager').list_secrets()['SecretList'] == []"
    )
    detail = ended(server, submit(server, f'{sys.executable} -c "{program}"', {}))
    assert detail["status"] == "SUCCEEDED", detail


def test_a_secret_that_is_not_there_fails_the_attempt_before_it_starts(server: Server, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:none"
    detail = ended(server, submit(server, f"touch {marker}", {"A": arn}, retryStrategy={"attempts": 2}))
    assert (detail["status"], detail["statusReason"]) == ("FAILED", "Task failed to start")
    assert len(detail["attempts"]) == 2
    for attempt in detail["attempts"]:
        assert attempt["container"]["reason"] == (
            f"{UNABLE}A from {arn}: Secrets Manager can't find the specified secret. Set it: batchyard secrets set none"
        )
        assert "exitCode" not in attempt["container"]
    assert not marker.exists()
    client(server, "secretsmanager").create_secret(Name="none", SecretString="now")
    assert ended(server, submit(server, f"touch {marker}", {"A": arn}))["status"] == "SUCCEEDED"


def test_running_jobs_outlive_server_and_key(server: Server, tmp_path: Path) -> None:
    """The server is killed, and the key lost: what runs is adopted, what would start is not started."""
    client(server, "ssm").put_parameter(Name="token", Value=VALUE, Type="SecureString")
    go, starts = tmp_path / "go", tmp_path / "starts"
    script = f'echo once >> {starts}; while ! test -e {go}; do sleep 0.05; done; test -n "$TOKEN"'
    job_id = submit(server, script, {"TOKEN": "token"})
    until(starts.exists, END_SECONDS, lambda: job(server, job_id))
    server.signal(signal.SIGKILL)
    (tmp_path / ".config/batchyard/secrets.key").rename(tmp_path / "lost")
    server.start()
    late = ended(server, submit(server, "true", {"TOKEN": "token"}))
    assert late["status"] == "FAILED"
    assert "secrets.key is not there" in late["container"]["reason"]
    assert server.status(job_id) == "RUNNING"
    go.touch()
    assert ended(server, job_id)["status"] == "SUCCEEDED"
    assert starts.read_text() == "once\n"
    (tmp_path / "lost").rename(tmp_path / ".config/batchyard/secrets.key")
    assert ended(server, submit(server, 'test -n "$TOKEN"', {"TOKEN": "token"}))["status"] == "SUCCEEDED"
