"""The owner's S3: its settings, its keys' file, and whether it answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from batchyard.server.settings.config import SettingError, Settings, load
from batchyard.server.settings.s3 import S3, problem_of, s3_of
from batchyard.wire.messages import Request, WireError
from batchyard.wire.sigv4 import parse_authorization, verify
from tests.server.running import command

KEYS = ("owner", "secret")
GOOD = "[default]\naws_access_key_id = owner\naws_secret_access_key = secret\n"


class Buckets(BaseHTTPRequestHandler):
    """Lists no buckets to who signs with KEYS; `/strange` below it is no S3."""

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, body = 200, "<ListAllMyBucketsResult/>"
        try:
            authorization = parse_authorization(headers)
            if authorization.access_key != KEYS[0]:
                status, body = 403, "<Error><Code>InvalidAccessKeyId</Code></Error>"
            elif self.path.startswith("/narrow"):
                status, body = 403, "<Error><Code>AccessDenied</Code></Error>"
            request = Request("GET", self.path.encode(), b"", headers, b"")
            verify(request, authorization, KEYS[1], time.time_ns() // 1_000_000)
        except WireError:
            status, body = 403, body if status == 403 else "<Error><Code>SignatureDoesNotMatch</Code></Error>"
        if self.path.startswith("/strange"):
            status, body = 404, "no such page"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Nothing on the screen of the tests."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Buckets)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def settings(home: Path, **flags: str) -> Settings:
    return load(flags, {"HOME": str(home)}, None, home)


def keys_file(folder: Path, text: str = GOOD, mode: int = 0o600) -> Path:
    path = folder / "s3-keys"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_what_the_settings_say(tmp_path: Path) -> None:
    assert s3_of(settings(tmp_path)) is None
    assert s3_of(settings(tmp_path, s3_endpoint="http://h:1/")) == S3("http://h:1")
    found = s3_of(settings(tmp_path, s3_endpoint="https://h/s3", s3_keys_file=str(keys_file(tmp_path))))
    assert found == S3("https://h/s3", KEYS)
    assert "secret" not in repr(found)


def test_they_stand_in_the_file_too(tmp_path: Path) -> None:
    keys_file(tmp_path)
    (tmp_path / "config.toml").write_text('[s3]\nendpoint = "http://h:1"\nkeys_file = "s3-keys"\n')
    assert s3_of(load({}, {"HOME": str(tmp_path)}, tmp_path / "config.toml")) == S3("http://h:1", KEYS)


@pytest.mark.parametrize("url", ["h:9000", "ftp://h", "http://", "http://u:p@h", "http://h?x=1", "http://h h"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingError, match="s3-endpoint must be a URL such as"):
        settings(tmp_path, s3_endpoint=url)


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (GOOD, 0o644, "can be read by other users: run chmod 600"),
        ("[other]\naws_access_key_id = a\n", 0o600, r"has no section \[default\]"),
        ("[default]\naws_access_key_id = a\n", 0o600, "needs both aws_access_key_id and aws_secret_access_key"),
        ("a-secret-line\n", 0o600, "is not in the form of ~/.aws/credentials"),
        (GOOD + "aws_session_token = t\n", 0o600, "session token, which would expire"),
        ("\udcff", 0o600, "cannot be read"),
    ],
)
def test_a_file_of_keys_that_will_not_do(tmp_path: Path, text: str, mode: int, says: str) -> None:
    path = tmp_path / "s3-keys"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(mode)
    with pytest.raises(SettingError, match=says) as refused:
        s3_of(settings(tmp_path, s3_endpoint="http://h:1", s3_keys_file=str(path)))
    assert "a-secret-line" not in str(refused.value)


def test_a_file_that_is_missing_and_keys_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="There is no file of S3 keys"):
        s3_of(settings(tmp_path, s3_endpoint="http://h:1", s3_keys_file="nothing"))
    with pytest.raises(SettingError, match="say where it is with s3_endpoint"):
        s3_of(settings(tmp_path, s3_keys_file=str(keys_file(tmp_path))))


def test_whether_it_answers_and_takes_the_keys(address: str) -> None:
    region = "eu-west-1"
    assert problem_of(S3(address, KEYS), region) == ""
    assert problem_of(S3(address), region) == "", "who has no keys is told that there is somebody"
    assert problem_of(S3(f"{address}/narrow", KEYS), region) == "", "known keys that may not list"
    assert problem_of(S3(address, ("other", "secret")), region) == "the keys are refused (InvalidAccessKeyId)"
    assert problem_of(S3(address, ("owner", "other")), region) == "the keys are refused (SignatureDoesNotMatch)"
    assert "status 404" in problem_of(S3(f"{address}/strange", KEYS), region)
    assert problem_of(S3("http://127.0.0.1:1", KEYS), region).startswith("no answer (")


def test_doctor_says_so(tmp_path: Path, address: str) -> None:
    def doctor(**settings: str) -> dict[str, object]:
        variables = {f"BATCHYARD_S3_{name.upper()}": value for name, value in settings.items()}
        done = command(tmp_path, "doctor", "--json", **variables)
        found = json.loads(done.stdout)
        rows = found["findings"] if isinstance(found, dict) else found
        return next((row for row in rows if row["check"] == "s3"), {})

    assert doctor() == {}
    path = str(keys_file(tmp_path))
    assert doctor(endpoint=address, keys_file=path)["ok"] is True
    assert doctor(endpoint=address)["detail"] == f"{address} answers; jobs sign with the credentials they have"
    refused = doctor(endpoint="http://127.0.0.1:1", keys_file=path)
    assert refused["ok"] is False
    assert refused["remedy"] == "Start it, or correct --s3-endpoint or the keys in --s3-keys-file."


def test_the_service_does_not_start_without_its_keys(tmp_path: Path) -> None:
    done = command(tmp_path, "up", "--s3-endpoint", "http://h:1", "--s3-keys-file", "nothing", "--port", "0")
    assert done.returncode == 2
    assert "There is no file of S3 keys" in done.stderr
