"""A Docker daemon for tests: the one that runs, or one of our own.

**A daemon of our own** needs root and Debian's `docker.io` (installed where it is missing). Several may live on one
host at the same time, beside a real one, because each has its own socket, data root, exec root, pid file and bridge:
- `--bridge=none` must not be used: it makes dockerd delete `docker0`, which may be another daemon's. So each brings a
  bridge of its own, made here and removed here, with an address of its own; so have the networks of its containers.
  Docker's own choice is one of 31, which daemons side by side use up.
- `--iptables=false`: the rules of all daemons would be in one table, under the same names. Containers on the bridge
  reach the host and each other without.
- `--live-restore`: containers outlive the daemon, as kill tests want it.
"""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from batchyard.engines.docker.api import Api, ApiError, DaemonUnreachable
from batchyard.engines.docker.sockets import find_socket, probe
from tests.debian import install_packages
from tests.waiting import until

PACKAGES = ("docker.io", "busybox-static", "iptables")
IMAGE = "batchyard-test:busybox"
START_SECONDS = 60.0  # machines under load
# Of the range that RFC 2544 sets apart for tests: the first 256 addresses are for a daemon's bridge, the upper half for
# other networks.
BLOCKS = tuple(IPv4Network("198.18.0.0/15").subnets(new_prefix=20))
BUILTIN_NETWORKS = ("bridge", "host", "none")
PROGRAMS = (
    "sh", "sleep", "true", "false", "echo", "cat", "printf", "id", "env", "mount", "stat", "dd", "kill", "head", "tail",
    "seq", "wc", "ls", "yes", "grep", "ps", "hostname", "df", "touch", "mkdir", "tr", "wget", "stty", "readlink", "pwd",
    "mkfifo", "rm",
)  # fmt: skip


class Dockerd:
    """One daemon. `is_ours`: it may be killed."""

    def __init__(self, socket_path: Path, root: Path | None = None, storage_driver: str = "overlay2") -> None:
        self.socket_path = socket_path
        self._storage_driver = storage_driver
        self.is_ours = root is not None
        self._root = root
        self._bridge = f"by{uuid4().hex[:8]}"
        self._networks: IPv4Network | None = None  # for those that are made without a subnet of their own
        self._process: subprocess.Popen[bytes] | None = None

    # -- A daemon of our own --

    def prepare(self) -> None:
        """Makes the bridge, and chooses addresses for it and for other networks."""
        subprocess.run(["ip", "link", "add", self._bridge, "type", "bridge"], check=True, capture_output=True)
        with (Path(tempfile.gettempdir()) / f"batchyard-test-networks-{os.getuid()}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            listed = subprocess.run(["ip", "-json", "-4", "address"], check=True, capture_output=True).stdout
            taken = [IPv4Address(one["local"]) for link in json.loads(listed) for one in link["addr_info"]]
            block = next((block for block in BLOCKS if not any(address in block for address in taken)), None)
            assert block is not None, f"all of {BLOCKS} are taken: bridges of daemons that were not ended?"
            own, self._networks = next(block.subnets(new_prefix=24)), list(block.subnets())[1]
            address = f"{own[1]}/{own.prefixlen}"
            subprocess.run(["ip", "address", "add", address, "dev", self._bridge], check=True, capture_output=True)

    def start(self, *, live_restore: bool = True) -> None:
        assert self._root is not None, "this daemon is somebody else's"
        arguments = [
            "dockerd", f"--storage-driver={self._storage_driver}", f"--live-restore={str(live_restore).lower()}",
            "--iptables=false", "--ip6tables=false",
            f"--bridge={self._bridge}", f"--host=unix://{self.socket_path}", f"--data-root={self._root / 'data'}",
            f"--default-address-pool=base={self._networks},size=26",
            f"--exec-root={self._root / 'exec'}", f"--pidfile={self._root / 'pid'}",
        ]  # fmt: skip
        with (self._root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until(self._answers, START_SECONDS, self.log)

    def _answers(self) -> bool:
        assert self._process is not None, "not started"
        assert self._process.poll() is None, f"dockerd ended: {self.log()}"
        return not asyncio.run(probe({}, self.socket_path)).problem

    def kill(self) -> None:
        """kill -9 of the daemon; containers run on. Its containerd goes with it, a moment later, and who is process 1
        here may reap it later still: the next daemon must not take it for alive, or it would wait for it in vain."""
        assert self._root is not None, "this daemon is somebody else's"
        assert self._process is not None, "not started"
        self._process.kill()
        self._process.wait()
        pid = self._containerd()
        until(lambda: not _is_alive(pid), START_SECONDS)
        (self._root / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def _containerd(self) -> int:
        """0: there is none of its own."""
        assert self._root is not None, "this daemon is somebody else's"
        path = self._root / "exec" / "containerd" / "containerd.pid"
        return int(path.read_text()) if path.exists() else 0

    def end(self) -> None:
        """Everything goes: containers, daemon, files, bridge."""
        assert self._root is not None, "this daemon is somebody else's"
        assert self._process is not None, "not started"
        if self._process.poll() is not None:
            self.start()
        for one in self.json("GET", "/containers/json", {"all": "1"}):
            self.json("DELETE", f"/containers/{one['Id']}", {"force": "1", "v": "1"})
        for one in self.json("GET", "/networks"):  # their bridges would outlive the daemon
            if one["Name"] not in BUILTIN_NETWORKS:
                self.json("DELETE", f"/networks/{one['Id']}")
        self._process.terminate()
        self._process.wait(START_SECONDS)
        pid = self._containerd()
        if _is_alive(pid):
            os.kill(pid, signal.SIGKILL)
            until(lambda: not _is_alive(pid), START_SECONDS)
        for line in Path("/proc/mounts").read_text().splitlines():
            place = line.split()[1]
            if place.startswith(f"{self._root}/"):
                subprocess.run(["umount", "--lazy", place], check=True, capture_output=True)
        shutil.rmtree(self._root)
        self.remove_bridge()

    def remove_bridge(self) -> None:
        subprocess.run(["ip", "link", "delete", self._bridge], check=True, capture_output=True)

    def log(self) -> str:
        assert self._root is not None, "this daemon is somebody else's"
        return (self._root / "log").read_text(errors="replace")[-2000:]

    # -- Any daemon --

    def json(self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None) -> Any:
        """One request, from a test that runs no event loop of its own."""

        async def ask() -> Any:
            api = Api(self.socket_path)
            try:
                await api.negotiate()
                return await api.json(method, path, query, body)
            finally:
                api.close()

        return asyncio.run(ask())

    def events(self, container: str, kind: str) -> int:
        """How many of this kind (`oom`, `die`) there have been of a container, by its name."""

        async def ask() -> bytes:
            api = Api(self.socket_path)
            try:
                await api.negotiate()
                filters = f'{{"container":["{container}"],"event":["{kind}"]}}'
                return await api.bytes(
                    "GET", "/events", {"since": "1", "until": str(int(time.time()) + 1), "filters": filters}
                )
            finally:
                api.close()

        return len(asyncio.run(ask()).splitlines())

    def containers(self, *labels: str) -> list[dict[str, Any]]:
        """All of Batchyard's, running or not, or those with these labels."""
        wanted = [f'"{label}"' for label in labels or ("batchyard.attempt",)]
        found: list[dict[str, Any]] = self.json(
            "GET", "/containers/json", {"all": "1", "filters": f'{{"label":[{",".join(wanted)}]}}'}
        )
        return found

    def volumes(self, label: str) -> list[dict[str, Any]]:
        found = self.json("GET", "/volumes", {"filters": f'{{"label":["{label}"]}}'})
        return found["Volumes"] or []

    def import_image(self, name: str, files: bytes, *changes: str) -> None:
        """A new image of these files (a tar archive), as `docker import` makes it: no registry is asked."""
        query = {"fromSrc": "-", "repo": name}
        if changes:
            query["changes"] = changes[0]

        async def load() -> None:
            api = Api(self.socket_path)
            await api.negotiate()
            async with await api.open("POST", "/images/create", query, files) as response:
                await response.read()
            api.close()

        asyncio.run(load())

    def has_image(self, name: str) -> bool:
        try:
            self.json("GET", f"/images/{name}/json")
        except ApiError:
            return False
        return True


def busybox_files() -> bytes:
    """A root file system of busybox alone, with a user `worker` (1000)."""
    busybox = shutil.which("busybox")
    assert busybox is not None, "busybox is not installed"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for directory in ("bin", "etc", "proc", "tmp", "home"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            tar.addfile(entry)
        tar.add(busybox, "bin/busybox")
        for program in PROGRAMS:
            entry = tarfile.TarInfo(f"bin/{program}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        for name, text in (
            ("etc/passwd", "root:x:0:0:root:/:/bin/sh\nworker:x:1000:1000:worker:/home:/bin/sh\n"),
            ("etc/group", "root:x:0:\nworker:x:1000:\n"),
            ("etc/not-a-program", "text\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return archive.getvalue()


def install() -> None:
    """Skips the test, with the reason, where there is no way to a daemon."""
    install_packages("no Docker daemon runs here", ("dockerd", "busybox", "ip"), PACKAGES)


def _is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def our_own(lay_out: Callable[[Path], None] = lambda root: None, storage_driver: str = "overlay2") -> Dockerd:
    """`lay_out`: prepares the directory of the daemon, whose data lie in `data` there. What it mounts below is
    unmounted at the end."""
    install()
    root = Path(tempfile.mkdtemp(prefix="byd-", dir="/tmp"))  # short: sockets below it have 107 bytes for their path
    daemon = Dockerd(root / "docker.sock", root, storage_driver)
    try:
        lay_out(root)
        daemon.prepare()
    except subprocess.CalledProcessError as error:
        shutil.rmtree(root)
        pytest.skip(
            f"no such Docker daemon can be started here: {' '.join(error.cmd)}: {error.stderr.decode().strip()}"
        )
    try:
        daemon.start()
    except BaseException:
        daemon.remove_bridge()
        raise
    return daemon


def running() -> Dockerd | None:
    path = find_socket(os.environ)
    if path is None:
        return None
    try:
        found = asyncio.run(probe(os.environ, path))
    except DaemonUnreachable:
        return None
    return None if found.problem else Dockerd(path)


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    """A daemon with the image IMAGE."""
    daemon = running() or our_own()
    if not daemon.has_image(IMAGE):
        install()
        daemon.import_image(IMAGE, busybox_files(), "ENV PATH=/bin")
    yield daemon
    if daemon.is_ours:
        daemon.end()


@pytest.fixture(scope="session")
def own_dockerd(dockerd: Dockerd) -> Iterator[Dockerd]:
    """One that may be killed."""
    if dockerd.is_ours:
        yield dockerd
        return
    daemon = our_own()
    daemon.import_image(IMAGE, busybox_files(), "ENV PATH=/bin")
    yield daemon
    daemon.end()
