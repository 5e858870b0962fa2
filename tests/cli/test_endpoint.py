"""Where the command line looks for the service, and what it signs with."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from batchyard.cli.endpoint import DEFAULT_URL, PLACEHOLDER, Credentials, find_endpoint


def test_the_order_of_places(tmp_path: Path) -> None:
    variables = {
        "BATCHYARD_URL": "http://one:1/",
        "AWS_ENDPOINT_URL_BATCH": "http://two:2",
        "AWS_ENDPOINT_URL": "http://three:3",
        "XDG_DATA_HOME": str(tmp_path),
        "HOME": str(tmp_path),
    }
    directory = tmp_path / "batchyard"
    directory.mkdir()
    (directory / "server.json").write_text(json.dumps({"address": "http://127.0.0.1:4444", "pid": 1}))
    assert find_endpoint("http://zero:0", variables).url == "http://zero:0"
    assert find_endpoint(None, variables).url == "http://one:1"
    del variables["BATCHYARD_URL"]
    assert find_endpoint(None, variables).url == "http://two:2"
    del variables["AWS_ENDPOINT_URL_BATCH"]
    assert find_endpoint(None, variables).url == "http://three:3"
    del variables["AWS_ENDPOINT_URL"]
    assert find_endpoint(None, variables).url == "http://127.0.0.1:4444"
    (directory / "server.json").write_text("{ damaged")
    assert find_endpoint(None, variables).url == DEFAULT_URL
    other = tmp_path / "other"
    other.mkdir()
    (other / "server.json").write_text(json.dumps({"address": "http://127.0.0.1:5555"}))
    assert find_endpoint(None, variables | {"BATCHYARD_DATA_DIR": str(other)}).url == "http://127.0.0.1:5555"


def test_the_order_of_keys(tmp_path: Path) -> None:
    variables = {"HOME": str(tmp_path)}
    assert find_endpoint(None, variables).credentials == (PLACEHOLDER,)
    directory = tmp_path / ".local" / "share" / "batchyard"
    directory.mkdir(parents=True)
    key = {"accessKeyId": "BYOPA", "secretAccessKey": "secret", "name": "operator", "createdAtMs": 1}
    (directory / "operator-key.json").write_text(json.dumps({"keys": [key]}))
    operator = Credentials("BYOPA", "secret")
    assert find_endpoint(None, variables).credentials == (operator,)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = AKIA\naws_secret_access_key = a%b\n"
        "[other]\naws_access_key_id = OTHER\naws_secret_access_key = c\naws_session_token = t\n"
    )
    assert find_endpoint(None, variables).credentials == (Credentials("AKIA", "a%b"), operator)
    named = find_endpoint(None, variables | {"AWS_PROFILE": "other"}).credentials
    assert named == (Credentials("OTHER", "c", "t"), operator)
    given = {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "d"}
    assert find_endpoint(None, variables | given).credentials[0] == Credentials("ENV", "d")


def test_a_jobs_credentials_are_asked_of_the_service_that_is_called_and_of_no_other(tmp_path: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            content = json.dumps({"AccessKeyId": "BYAS", "SecretAccessKey": "s", "Token": "t"}).encode()
            self.send_response(200 if self.path == "/v2/credentials/live" else 403)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        job = {
            "HOME": str(tmp_path),
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v2/credentials/live",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "shown",
        }
        try:
            assert find_endpoint("http://127.0.0.1:1", job).credentials == (PLACEHOLDER,)
            assert asked == []
            assert find_endpoint(url, job).credentials == (Credentials("BYAS", "s", "t"),)
            assert asked == [("/v2/credentials/live", "shown")]
            ended = job | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v2/credentials/ended"}
            assert find_endpoint(url, ended).credentials == (PLACEHOLDER,)
        finally:
            server.shutdown()


def test_the_operator_key_is_read_as_the_server_writes_it(tmp_path: Path) -> None:
    keys = pytest.importorskip("batchyard.server.access.keys")
    made = keys.operator_key(tmp_path / "operator-key.json")
    found = find_endpoint(None, {"BATCHYARD_DATA_DIR": str(tmp_path), "HOME": str(tmp_path)})
    assert found.credentials == (Credentials(made.access_key_id, made.secret_access_key),)
