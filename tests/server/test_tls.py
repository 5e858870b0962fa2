"""TLS on the main port: who is trusted, what jobs still reach without it, and what comes without it or never ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import pytest

from batchyard.server.access.peers import PeerLookup
from batchyard.server.http.server import HttpServer, listening_socket
from batchyard.server.settings.certificates import ServerCertificate, certificate_of
from batchyard.server.settings.config import SettingError, load
from tests.server.certificates import Made, make_certificate
from tests.server.running import Server, command
from tests.waiting import until

END_SECONDS = 60.0
# A job that asks for its metadata, its credentials and, with these, for its own state.
CALLS_BACK = """
import json, os, subprocess, sys, urllib.request
def get(url, **headers):
    return json.load(urllib.request.urlopen(urllib.request.Request(url, headers=headers)))
task = get(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task")
token = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
keys = get(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], Authorization=token)
shown = subprocess.run([sys.executable, "-m", "batchyard", "explain", os.environ["AWS_BATCH_JOB_ID"]])
print("called back", bool(task["TaskARN"]), bool(keys["AccessKeyId"]), shown.returncode)
sys.exit(shown.returncode)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, made: Made) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("tls"), *made.flags) as running:
        yield running


def trusting(made: Made) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(made.cert))


# -- the whole service --


def test_clients_call_over_tls_and_jobs_without(server: Server, made: Made) -> None:
    assert server.address.startswith("https://127.0.0.1:")
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
    batch = boto3.client("batch", endpoint_url=server.address, verify=str(made.cert), **keys)
    asks = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    properties = {"image": "x", "command": [sys.executable, "-c", CALLS_BACK], "resourceRequirements": asks}
    batch.register_job_definition(jobDefinitionName="back", type="container", containerProperties=properties)
    job_id = batch.submit_job(jobName="back", jobQueue="default", jobDefinition="back")["jobId"]

    def job() -> Any:
        return batch.describe_jobs(jobs=[job_id])["jobs"][0]

    until(lambda: job()["status"] in ("SUCCEEDED", "FAILED"), END_SECONDS, lambda: str(job()))
    logs = boto3.client("logs", endpoint_url=server.address, verify=str(made.cert), **keys)
    stream = job()["container"]["logStreamName"]
    events = logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream)["events"]
    assert events[-1]["message"] == "called back True True 0", events


def test_the_command_line_trusts_the_certificate_of_its_data_directory_alone(server: Server, made: Made) -> None:
    here = {"BATCHYARD_DATA_DIR": str(server.data_dir)}
    assert command(server.directory, "queues", **here).returncode == 0
    elsewhere = command(server.directory / "nobody", "queues", "--url", server.address)
    assert "AWS_CA_BUNDLE" in elsewhere.stderr
    named = command(server.directory / "nobody", "queues", "--url", server.address, AWS_CA_BUNDLE=str(made.cert))
    assert named.returncode == 0, named.stderr
    opened = command(server.directory, "open", **here, BROWSER="true")
    assert opened.stdout.strip() == f"{server.address}/console/"


def test_a_session_over_tls_is_never_sent_without(tmp_path: Path, made: Made) -> None:
    with Server(tmp_path, *made.flags) as server:
        added = command(tmp_path, "keys", "add", "ann", "--data-dir", str(server.data_dir), "--json")
        key = json.loads(added.stdout)
        form = urlencode({"key": key["accessKeyId"], "secret": key["secretAccessKey"]}).encode()
        request = urllib.request.Request(f"{server.address}/console/sign-in", form, {"Origin": server.address})

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None:
                return None

        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trusting(made)), Stay)
        with pytest.raises(urllib.error.HTTPError) as answer:
            opener.open(request)
        assert answer.value.code == 303
        assert answer.value.headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Strict; Secure")
        answer.value.close()


def test_a_request_in_clear_text_gets_the_remedy(server: Server) -> None:
    plain = server.address.replace("https://", "http://")
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(plain)
    assert b"use https://" in answer.value.read()


def test_jobs_find_the_next_server_on_the_same_port(tmp_path: Path, made: Made) -> None:
    ports = []
    for _ in range(2):
        with Server(tmp_path, *made.flags):
            ports.append(next((tmp_path / "data").rglob("loopback-port")).read_text())
    assert ports[0] == ports[1]


# -- the server alone --


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    body += message.get("body", b"")
    scheme = scope["scheme"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-scheme", scheme)]})
    await send({"type": "http.response.body", "body": body})


def serve(made: Made, client: Callable[[int, ServerCertificate], Any], most: int = 16) -> Any:
    """Runs `client` in a thread beside a server of `echo`; returns what it returned."""

    async def run() -> Any:
        certificate = ServerCertificate(made.cert, made.key)
        lookup = PeerLookup()
        try:
            with listening_socket("127.0.0.1", 0) as listener:
                server = HttpServer(echo, lookup, (most, most), certificate)
                async with server.serving_on(listener):
                    return await asyncio.to_thread(client, listener.getsockname()[1], certificate)
        finally:
            lookup.close()

    return asyncio.run(run())


def test_large_bodies_pass_both_ways(made: Made) -> None:
    body = bytes(range(256)) * 20_000

    def client(port: int, _: ServerCertificate) -> None:
        for _ in range(2):
            request = urllib.request.Request(f"https://127.0.0.1:{port}/", body)
            with urllib.request.urlopen(request, context=trusting(made)) as answer:
                assert answer.read() == body
                assert answer.headers["x-scheme"] == "https"

    serve(made, client)


def test_connections_without_a_handshake_are_counted_and_give_way(made: Made) -> None:
    def client(port: int, _: ServerCertificate) -> None:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(16)]
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/", context=trusting(made)) as answer:
            assert answer.status == 200
        silent[0].settimeout(END_SECONDS)
        with contextlib.suppress(ConnectionResetError):
            assert silent[0].recv(1) == b"", "the oldest one gave way"
        for one in silent:
            one.close()

    serve(made, client)


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"GET / HTTP/1.1\r\n\r\n", b"\0"]
)
def test_what_is_no_tls_ends_its_connection(made: Made, sent: bytes) -> None:
    def client(port: int, _: ServerCertificate) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=END_SECONDS) as one:
            one.sendall(sent)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := one.recv(4096):
                    received += piece
            return received

    assert serve(made, client)[:5] in (b"HTTP/", b"\x15\x03\x01\x00\x02", b"\x15\x03\x03\x00\x02")


def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(tmp_path: Path) -> None:
    first = make_certificate(tmp_path)

    def shown(port: int) -> str:
        return ssl.get_server_certificate(("127.0.0.1", port))

    def client(port: int, certificate: ServerCertificate) -> None:
        assert shown(port) == first.cert.read_text()
        first.cert.write_text("damaged")
        certificate.refresh()
        before = shown(port)
        second = make_certificate(tmp_path)
        assert before != second.cert.read_text()
        until(lambda: shown(port) == second.cert.read_text(), END_SECONDS, lambda: "the renewed one to be shown")

    serve(first, client)


# -- settings --


def problem(*flags: str) -> str:
    names = {"--tls-cert": "tls_cert", "--tls-key": "tls_key"}
    given = {names[flag]: value for flag, value in zip(flags[::2], flags[1::2], strict=True)}
    with pytest.raises(SettingError) as refusal:
        certificate_of(load(given, {}, Path("/dev/null")))
    return str(refusal.value)


def test_settings_that_give_no_certificate_are_refused_with_the_reason(tmp_path: Path, made: Made) -> None:
    other = make_certificate(tmp_path)
    assert problem("--tls-cert", str(made.cert)).startswith("--tls-cert needs --tls-key")
    assert problem("--tls-key", str(made.key)).startswith("--tls-key needs --tls-cert")
    assert "cannot be read" in problem("--tls-cert", str(tmp_path / "none"), "--tls-key", str(made.key))
    assert "are not a certificate and its key" in problem("--tls-cert", str(made.cert), "--tls-key", str(other.key))
    assert certificate_of(load({}, {}, Path("/dev/null"))) is None


def test_the_doctor_names_a_certificate_that_ends_soon(tmp_path: Path) -> None:
    for days, text in ((90, "expires in 90 days"), (10, "expires in 10 days"), (-3, "has expired")):
        made = make_certificate(tmp_path, days=days)
        found = command(
            tmp_path, "doctor", "--json", BATCHYARD_TLS_CERT=str(made.cert), BATCHYARD_TLS_KEY=str(made.key)
        )
        line = next(one for one in json.loads(found.stdout) if one["check"] == "tls")
        assert text in line["detail"], line
        assert line["ok"] == (days == 90)


def test_the_address_of_a_server_with_tls_is_https(server: Server) -> None:
    assert urlsplit(server.address).scheme == "https"
    assert f"Console    {server.address}/console/" in server.said()
