"""Credentials of attempts: derived, proved, and worth nothing once the attempt has ended."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.model.names import Account
from batchyard.core.model.records import JobSpec, TaskSpec
from batchyard.core.model.resources import Resources
from batchyard.server.access.access import Access, Client, Rules
from batchyard.server.access.keys import Key, KeyFile, add_key
from batchyard.server.access.peers import PeerUser
from batchyard.server.access.sessions import Sessions, role_arn, takes_credentials_from
from batchyard.wire.messages import Request, WireError
from batchyard.wire.sigv4 import sign
from tests.server.running import BATCHYARD, Server, command
from tests.waiting import until

NOW_MS = 1_790_000_000_000
ACCOUNT = Account("123456789012", "us-east-1")
ATTEMPT = f"{0x11:016x}" + "ab" * 8
OTHER = f"{0x21:016x}" + "cd" * 8
ADDRESS = "http://127.0.0.1:8470"
ROLE = "arn:aws:iam::123456789012:role/service/analyst"


def sessions(live: dict[str, str], secret: bytes = b"secret") -> Sessions:
    return Sessions(secret, ACCOUNT, live.get, lambda: NOW_MS)


def credentials(made: Sessions, attempt_id: str = ATTEMPT) -> dict[str, Any]:
    return made.answer(attempt_id, dict(made.variables(ADDRESS, attempt_id))["AWS_CONTAINER_AUTHORIZATION_TOKEN"])


def request(found: dict[str, Any], **changes: str) -> Request:
    used = found | changes
    made = sign(
        "POST",
        f"{ADDRESS}/v1/listjobs",
        {},
        b"{}",
        access_key=used["AccessKeyId"],
        secret_key=used["SecretAccessKey"],
        session_token=used["Token"],
        region="us-east-1",
        service="batch",
        now_ms=NOW_MS,
    )
    return Request("POST", b"/v1/listjobs", b"", {name.lower(): value for name, value in made.items()}, b"{}")


def code(access: Access, asked: Request, uid: int) -> str:
    """Empty when the request may pass."""
    try:
        access.check(asked, Client("127.0.0.1", PeerUser(uid)))
    except WireError as error:
        return error.code
    return ""


def test_the_document_is_what_sdks_expect() -> None:
    made = sessions({ATTEMPT: ROLE})
    found = credentials(made)
    assert found.keys() == {"RoleArn", "AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    assert found["RoleArn"] == ROLE
    assert (len(found["AccessKeyId"]), len(found["SecretAccessKey"])) == (20, 40)
    expires = datetime.fromisoformat(found["Expiration"])
    assert expires.timestamp() == NOW_MS / 1000 + 6 * 3600
    assert expires.tzinfo == UTC
    assert credentials(sessions({ATTEMPT: ROLE})) == found  # the same after a restart
    assert dict(made.variables(ADDRESS, ATTEMPT))["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == (
        f"{ADDRESS}/v2/credentials/{ATTEMPT}"
    )


def test_they_differ_between_attempts_and_between_services() -> None:
    live = {ATTEMPT: ROLE, OTHER: ROLE}
    found = [
        credentials(sessions(live)),
        credentials(sessions(live), OTHER),
        credentials(sessions(live, b"another service's")),
    ]
    for member in ("AccessKeyId", "SecretAccessKey", "Token"):
        assert len({document[member] for document in found}) == 3, member


@pytest.mark.parametrize("authorization", ["", "wrong", "ü", None])
def test_who_does_not_show_the_authorization_gets_nothing(authorization: str | None) -> None:
    made = sessions({ATTEMPT: ROLE, OTHER: ROLE})
    if authorization is None:
        authorization = dict(made.variables(ADDRESS, OTHER))["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    with pytest.raises(WireError) as refused:
        made.answer(ATTEMPT, authorization)
    assert (refused.value.code, refused.value.status) == ("AccessDeniedException", 403)


def test_an_ended_attempt_has_none() -> None:
    live = {ATTEMPT: ROLE}
    made = sessions(live)
    token = credentials(made)["Token"]
    live.clear()
    for ask in (lambda: credentials(made), lambda: made.find(token)):
        with pytest.raises(WireError) as refused:
            ask()
        assert (refused.value.code, refused.value.status) == ("ExpiredTokenException", 403)


@pytest.mark.parametrize("keys", [False, True])
def test_a_session_may_call_from_anywhere_while_its_attempt_lives(tmp_path: Path, keys: bool) -> None:
    live = {ATTEMPT: ROLE}
    made = sessions(live)
    if keys:
        add_key(tmp_path / "keys.json", "ci")
    rules = Rules("127.0.0.1", bound_to_loopback=True)
    access = Access(rules, KeyFile(tmp_path / "keys.json"), Key("OP", "s"), lambda: NOW_MS, 1000, session_of=made.find)
    found = credentials(made)
    caller = Client("127.0.0.1", PeerUser(4711))
    assert access.check(request(found), caller) == f"arn:aws:sts::123456789012:assumed-role/analyst/{ATTEMPT}"
    assert code(access, request(found, SecretAccessKey="guessed"), 1000) == "InvalidSignatureException"
    assert code(access, request(found, AccessKeyId="OP", SecretAccessKey="s"), 1000) == "UnrecognizedClientException"
    # Tokens that are none of ours are left to the rules for everybody: keys, or who calls.
    for foreign in ("IQoJb3JpZ2luX2Vj", found["Token"][:-1] + "?", "batchyard.", f"batchyard.{ATTEMPT}.ü"):
        strange = request(found, Token=foreign.encode().decode("latin-1"))
        assert code(access, strange, 1000) == ("UnrecognizedClientException" if keys else "")
        assert code(access, strange, 4711) == ("UnrecognizedClientException" if keys else "AccessDeniedException")
    live.clear()
    assert code(access, request(found), 1000) == "ExpiredTokenException"


@pytest.mark.parametrize("keys", [False, True])
def test_where_jobs_alone_are_served_nobody_else_is(tmp_path: Path, keys: bool) -> None:
    """At the address of containers' own network: not without a signature, nor with the owner's or anybody's keys."""
    live = {ATTEMPT: ROLE}
    made = sessions(live)
    owner = Key("OP", "s")
    key = add_key(tmp_path / "keys.json", "ci") if keys else owner
    rules = Rules("169.254.170.2", bound_to_loopback=False, jobs_only=True)
    access = Access(rules, KeyFile(tmp_path / "keys.json"), owner, lambda: NOW_MS, 1000, session_of=made.find)
    found = credentials(made)
    caller = Client("169.254.170.3", PeerUser(None))
    assert access.check(request(found), caller) == f"arn:aws:sts::123456789012:assumed-role/analyst/{ATTEMPT}"
    assert code(access, request(found, SecretAccessKey="guessed"), 1000) == "InvalidSignatureException"
    for other in (owner, key):
        pair = {"AccessKeyId": other.access_key_id, "SecretAccessKey": other.secret_access_key}
        assert code(access, request(found, Token="", **pair), 1000) == "AccessDeniedException"
        assert code(access, request(found, Token="IQoJb3JpZ2luX2Vj", **pair), 0) == "AccessDeniedException"
    unsigned = Request("POST", b"/v1/listjobs", b"", {}, b"{}")
    assert code(access, unsigned, 0) == "AccessDeniedException"
    live.clear()
    assert code(access, request(found), 1000) == "ExpiredTokenException"


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({}, "arn:aws:iam::123456789012:role/batchyard-job"),
        ({"jobRoleArn": ROLE}, ROLE),
        ({"jobRoleArn": "analyst"}, "arn:aws:iam::123456789012:role/analyst"),
        ({"taskRoleArn": ROLE}, ROLE),
    ],
)
def test_the_role_is_the_definitions(container: dict[str, Any], expected: str) -> None:
    task = TaskSpec(("true",), (), Resources(1000, 64), container=container)
    assert role_arn(JobSpec(1, "id", "name", "default", "d:1", task, {}, NOW_MS), ACCOUNT) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://169.254.170.2:51679", True),
        ("http://169.254.170.23", True),
        ("http://169.254.170.3:51679", False),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://localhost:1", True),
        ("https://batch.example", True),
        ("http://192.0.2.7:1", False),
        ("http://batch.example:1", False),
    ],
)
def test_only_where_sdks_would_ask(address: str, expected: bool) -> None:
    assert takes_credentials_from(address) is expected
    assert bool(sessions({}).variables(address, ATTEMPT)) is expected


PROGRAM = """
import boto3, json, os, sys
batch = boto3.client("batch")
container = {"environment": [{"name": "PARENT", "value": os.environ["AWS_BATCH_JOB_ID"]}], "command": ["true"]}
job = batch.submit_job(jobName="child", jobQueue="default", jobDefinition="child", containerOverrides=container)
me = boto3.client("sts").get_caller_identity()["Arn"]
found = boto3.Session().get_credentials().get_frozen_credentials()
said = {"job": job["jobId"], "key": found.access_key, "secret": found.secret_key, "token": found.token, "me": me}
print(json.dumps(said))
sys.stdout.flush()
while not os.path.exists(sys.argv[1]):
    import time
    time.sleep(0.05)
"""


@pytest.mark.parametrize("keys", [False, True])
def test_a_job_calls_the_service_with_boto3_and_no_configuration(tmp_path: Path, keys: bool) -> None:
    with Server(tmp_path, "--vcpus", "2", "--memory", "1024") as server:
        if keys:
            assert command(tmp_path, "keys", "add", "ci", "--data-dir", str(server.data_dir)).returncode == 0
        owner = json.loads((server.data_dir / "operator-key.json").read_text())["keys"][0]
        key = (owner["accessKeyId"], owner["secretAccessKey"])

        def call(operation: str, document: object, prefix: str = "/v1/") -> Any:
            reply = server.signed(operation, document, key, prefix)
            assert reply.status == 200, reply
            return reply.json

        register = {
            "jobDefinitionName": "child",
            "type": "container",
            "containerProperties": {"image": "host", "vcpus": 1, "memory": 64, "command": ["true"]},
        }
        call("RegisterJobDefinition", register)
        done = tmp_path / "done"
        asked = {"command": [sys.executable, "-c", PROGRAM, str(done)], "vcpus": 1, "memory": 512}
        parent = call("RunJob", asked, "/yard/v1/")["jobId"]

        def status(job_id: str) -> str:
            return str(call("DescribeJobs", {"jobs": [job_id]})["jobs"][0]["status"])

        def printed() -> Any:
            assert status(parent) != "FAILED", lines(server)
            return lines(server)

        said = json.loads(until(printed, 40, "the job to print")[0])
        until(lambda: status(said["job"]) == "SUCCEEDED", 60, "the job that the job submitted")
        assert said["me"].startswith("arn:aws:sts::123456789012:assumed-role/batchyard-job/")
        # While it lives its credentials work from elsewhere too; afterwards nowhere.
        assert list_jobs(server, said) == 200
        done.touch()
        until(lambda: status(parent) == "SUCCEEDED")
        assert list_jobs(server, said) == 403
        kept = [path for path in server.data_dir.rglob("*") if path.is_file() and "logs" not in path.parts]
        assert kept
        for path in [*kept, tmp_path / "output"]:
            assert said["secret"].encode() not in path.read_bytes(), path


def test_the_command_line_inside_a_job_signs_as_the_job(tmp_path: Path) -> None:
    """Where keys are needed and it finds no other: nothing in its environment, its HOME or a data directory."""
    with Server(tmp_path, "--vcpus", "2", "--memory", "1024") as server:
        assert command(tmp_path, "keys", "add", "ci", "--data-dir", str(server.data_dir)).returncode == 0
        owner = json.loads((server.data_dir / "operator-key.json").read_text())["keys"][0]
        key = (owner["accessKeyId"], owner["secretAccessKey"])
        paths = [{"name": name, "value": os.environ[name]} for name in ("PYTHONPATH",) if name in os.environ]
        asked = {"command": [*BATCHYARD, "queues", "--json"], "environment": paths, "vcpus": 1, "memory": 512}
        job_id = server.signed("RunJob", asked, key, "/yard/v1/").json["jobId"]

        def status() -> str:
            return str(server.signed("DescribeJobs", {"jobs": [job_id]}, key).json["jobs"][0]["status"])

        until(lambda: status() in ("SUCCEEDED", "FAILED"), 40)
        assert status() == "SUCCEEDED", lines(server)


def lines(server: Server) -> list[str]:
    """What all jobs wrote."""
    paths = (server.data_dir / "logs").rglob("*.log")
    return [line.partition("\t")[2] for path in paths for line in path.read_text().splitlines()]


def list_jobs(server: Server, said: dict[str, str]) -> int:
    made = sign(
        "POST",
        server.address + "/v1/listjobs",
        {},
        b'{"jobQueue":"default"}',
        access_key=said["key"],
        secret_key=said["secret"],
        session_token=said["token"],
        region="us-east-1",
        service="batch",
        now_ms=int(datetime.now(UTC).timestamp() * 1000),
    )
    return server.request("POST", "/v1/listjobs", b'{"jobQueue":"default"}', made).status


def test_a_job_may_bring_credentials_of_its_own_or_be_given_none(tmp_path: Path) -> None:
    words = ["/bin/sh", "-c", "env | grep -c AWS_CONTAINER_ | tr -d '\\n'; echo ' variables'"]
    own = [{"name": "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "value": "/mine"}]
    with Server(tmp_path, "--vcpus", "2", "--memory", "1024") as server:
        for environment in ([], own):
            asked = {"command": words, "environment": environment, "vcpus": 1, "memory": 64}
            job_id = server.call("RunJob", asked, "/yard/v1/")["jobId"]
            until(lambda job_id=job_id: server.status(job_id) == "SUCCEEDED")  # type: ignore[misc]
        assert sorted(lines(server)) == ["1 variables", "2 variables"]
    without = tmp_path / "without"
    without.mkdir()
    with Server(without, "--no-job-credentials", "--vcpus", "2", "--memory", "1024") as server:
        job_id = server.submit([*words[:2], words[2] + "; true"])
        until(lambda: server.status(job_id) == "SUCCEEDED")
        assert lines(server) == ["0 variables"]


# -- jobs that sign with the keys of the owner's S3 --


def with_s3(live: dict[str, str]) -> Sessions:
    return Sessions(b"secret", ACCOUNT, live.get, lambda: NOW_MS, s3_keys=("S3KEY", "s3 secret"))


def test_an_address_tells_the_attempt_of_a_signature_with_s3_keys(tmp_path: Path) -> None:
    """Nobody is let in for holding the keys of S3: only the attempt that was given the address, while it lives."""
    live = {ATTEMPT: ROLE, OTHER: ROLE}
    made = with_s3(live)
    add_key(tmp_path / "keys.json", "ci")
    access = Access(
        Rules("127.0.0.1", bound_to_loopback=True),
        KeyFile(tmp_path / "keys.json"),
        Key("OP", "s"),
        lambda: NOW_MS,
        1000,
        session_of=made.find,
        session_by_s3_keys=made.by_s3_keys,
    )

    def ask(path: str, key: tuple[str, str] = ("S3KEY", "s3 secret"), token: str | None = None) -> str:
        """The principal, or the code of the refusal."""
        signed = sign(
            "POST",
            path,
            {},
            b"{}",
            access_key=key[0],
            secret_key=key[1],
            session_token=token,
            region="us-east-1",
            service="batch",
            now_ms=NOW_MS,
        )
        raw_path = path.removeprefix(ADDRESS).encode()
        found = made.attempt_at(raw_path)
        attempt_id, rest = found or ("", raw_path)
        request = Request("POST", rest, b"", {name.lower(): value for name, value in signed.items()}, b"{}")
        client = Client("127.0.0.1", PeerUser(4321), attempt_id, raw_path if found else b"")
        try:
            return access.check(request, client)
        except WireError as error:
            return error.code

    own = made.address(ADDRESS, ATTEMPT)
    assert made.attempt_at(f"{own}/v1/listjobs".removeprefix(ADDRESS).encode()) == (ATTEMPT, b"/v1/listjobs")
    assert made.attempt_at(own.removeprefix(ADDRESS).encode()) == (ATTEMPT, b"/")  # of a form, posted to the address
    assert ask(f"{own}/v1/listjobs").endswith(f"assumed-role/analyst/{ATTEMPT}")
    assert ask(f"{made.address(ADDRESS, OTHER)}/v1/listjobs").endswith(OTHER)
    assert ask(f"{ADDRESS}/v1/listjobs") == "UnrecognizedClientException"
    assert ask(f"{own}/v1/listjobs", ("S3KEY", "guessed")) == "InvalidSignatureException"
    assert ask(f"{own}/v1/listjobs", ("other", "s3 secret")) == "UnrecognizedClientException"
    assert made.attempt_at(f"/session/{OTHER}.{own.rpartition('.')[2]}/v1/listjobs".encode()) is None
    assert made.attempt_at(f"/session/{ATTEMPT}./v1/listjobs".encode()) is None
    assert made.attempt_at(b"/session/\xff\xfe") is None
    document = credentials(made)  # a program may still ask for these, and use them at the same address
    key = (document["AccessKeyId"], document["SecretAccessKey"])
    assert ask(f"{own}/v1/listjobs", key, document["Token"]).endswith(ATTEMPT)
    live.clear()
    assert ask(f"{own}/v1/listjobs") == "ExpiredTokenException"


def test_without_keys_of_s3_there_is_no_such_address() -> None:
    made = sessions({ATTEMPT: ROLE})
    assert made.address(ADDRESS, ATTEMPT) == ""
    own = with_s3({ATTEMPT: ROLE}).address(ADDRESS, ATTEMPT)
    assert made.attempt_at(own.removeprefix(ADDRESS).encode()) is None
    assert with_s3({ATTEMPT: ROLE}).address("http://10.0.0.1:8470", ATTEMPT) == "", "in clear text on loopback alone"
