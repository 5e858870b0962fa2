"""A registry of container images on loopback, as small as Docker lets it be: one image, perhaps behind a password."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _unique(files: bytes, name: str) -> bytes:
    """The archive with one file more. A daemon that has a layer already, of another test or another image, does not ask
    for it: so each registry's layer is one that nobody has ever seen."""
    archive = io.BytesIO(files)
    with tarfile.open(fileobj=archive, mode="a") as tar:
        entry = tarfile.TarInfo("etc/registry")
        entry.size = len(name)
        tar.addfile(entry, io.BytesIO(name.encode()))
    return archive.getvalue()


class Registry:
    """`name`: of the image, never used before. `image`: what to ask a daemon on this host for. `password`: empty:
    everybody may. While `gate` is not set, nobody gets a layer."""

    def __init__(self, name: str, files: bytes, password: str = "") -> None:
        files = _unique(files, name)
        layer = gzip.compress(files, 1)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": ["PATH=/bin"], "Cmd": ["true"]},
                "rootfs": {"type": "layers", "diff_ids": [_digest(files)]},
                "name": name,  # so that each test's image is another one
            }
        ).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "size": len(config), "digest": _digest(config)},
                "layers": [{"mediaType": LAYER, "size": len(layer), "digest": _digest(layer)}],
            }
        ).encode()
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[str] = []
        self._layer = f"/v2/{name}/blobs/{_digest(layer)}"
        self._answers = {
            "/v2/": (b"{}", "application/json"),
            f"/v2/{name}/manifests/1": (manifest, MANIFEST),
            f"/v2/{name}/manifests/{_digest(manifest)}": (manifest, MANIFEST),
            f"/v2/{name}/blobs/{_digest(config)}": (config, "application/octet-stream"),
            self._layer: (layer, "application/octet-stream"),
        }
        self._wanted = f"Basic {base64.b64encode(f'reader:{password}'.encode()).decode()}" if password else ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.image = f"{self.host}/{name}:1"

    def layers_given(self) -> int:
        return self.asked.count(self._layer)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if registry._wanted and self.headers.get("Authorization") != registry._wanted:
                    self._answer(401, b"{}", "application/json", {"WWW-Authenticate": 'Basic realm="here"'})
                    return
                if self.command == "GET":
                    registry.asked.append(self.path)
                found = registry._answers.get(self.path)
                if found is None:
                    missing = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
                    self._answer(404, missing, "application/json", {})
                    return
                if self.path == registry._layer:
                    registry.gate.wait(60)
                digest = {"Docker-Content-Digest": _digest(found[0])} if "manifests" in self.path else {}
                self._answer(200, found[0], found[1], digest)

            def do_HEAD(self) -> None:
                self.do_GET()

            def _answer(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    try:
                        self.wfile.write(body)
                    except (BrokenPipeError, ConnectionResetError):
                        self.close_connection = True  # the daemon does not want it any more

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: tests say what they saw."""

        return Handler

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
