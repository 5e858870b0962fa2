"""The demo's own service: started as a user starts it, stopped with everything it brought, and proven gone by pid."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

START_SECONDS = 30.0  # a start takes about a second; a machine that is busy with something else gets more
STOP_SECONDS = 60.0  # `down --kill` gives jobs their 30 s between SIGTERM and SIGKILL
GONE_SECONDS = 10.0
PAUSE_SECONDS = 0.05
TAIL_LINES = 25


class DemoError(Exception):
    """Ends the demo: a sentence for the person who watches."""


class Service:
    """`batchyard up` on `folder`/data, its output in `folder`/service.log."""

    def __init__(self, batchyard: Path, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.log = folder / "service.log"
        self.address = ""
        self._batchyard = batchyard
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it serves. Raises DemoError."""
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                # Its jobs are programs of this machine, whether Docker is here or not.
                [self._batchyard, "up", "--engine", "process", "--port", "0", "--data-dir", self.data_dir],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the service in good order
            )
        if not _until(lambda: self._process_ended() or self._serves(), START_SECONDS):
            raise DemoError(f"The service did not answer within {START_SECONDS:.0f} s.")
        if self._process_ended():
            raise DemoError(f"The service ended at its start, with exit code {self._process.returncode}.")

    def processes(self) -> dict[int, str]:
        """Every process of this service: pid -> "server", "supervisor" or "job". Server and supervisor carry their
        directories among their arguments, jobs the service's address in their environment."""
        arguments = {os.fsencode(self.data_dir): "server", os.fsencode(self.data_dir / "engine"): "supervisor"}
        address = f"AWS_ENDPOINT_URL_BATCH={self.address}".encode()
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            with suppress(OSError):  # it ended meanwhile, or is another user's
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                roles = [role for word, role in arguments.items() if word in words]
                if roles and any(b"batchyard" in word for word in words):
                    found[int(entry)] = roles[0]
                elif self.address and address in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found[int(entry)] = "job"
        return found

    def stop(self) -> dict[int, str]:
        """Stops jobs, supervisor and server. Returns what ran; raises DemoError when some of it would not end."""
        if self._process is None:
            return {}
        before = self.processes()
        if self._process.poll() is None:
            command = [str(self._batchyard), "down", "--kill", "--data-dir", str(self.data_dir)]
            with suppress(subprocess.TimeoutExpired):  # what is left is killed below, and reported
                subprocess.run(
                    command,
                    env=self._environment(),
                    capture_output=True,
                    timeout=STOP_SECONDS,
                    start_new_session=True,
                )
        _until(lambda: self._process_ended() and not self.processes(), GONE_SECONDS)
        left = self.processes()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if left:
            shown = ", ".join(f"{role} {pid}" for pid, role in left.items())
            raise DemoError(f"These processes had to be killed: {shown}.")
        return before

    def log_tail(self) -> str:
        """The last lines the service wrote."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-TAIL_LINES:])

    def _environment(self) -> dict[str, str]:
        """Ours, without what would change the service's defaults."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BATCHYARD_", "AWS_"))}
        kept["XDG_CONFIG_HOME"] = str(self._folder / "config")  # where there is none
        return kept

    def _process_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _serves(self) -> bool:
        server = server_file(self.data_dir)
        if server is None:
            return False
        self.address = server["address"]
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()


def server_file(data_dir: Path) -> dict[str, str] | None:
    """What a server wrote into its data directory: address, pid."""
    try:
        document: dict[str, str] = json.loads((data_dir / "server.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return document


def refuse_if_served(batchyard: Path, data_dir: Path) -> None:
    """A service on the data of an earlier demo is somebody's: it is not taken from under them."""
    server = server_file(data_dir)
    if server is None:
        return
    try:
        command = Path(f"/proc/{server['pid']}/cmdline").read_bytes()
    except OSError:
        return
    if b"batchyard" in command:
        stop = f"{_short(batchyard)} down --kill --data-dir {_short(data_dir)}"
        raise DemoError(
            f"A service still runs on the data of an earlier demo (process {server['pid']}). Stop it: {stop}"
        )


def _short(path: Path) -> str:
    """Relative to the current directory where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _until(condition: Callable[[], object], timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_SECONDS)
    return True


def batchyard_command() -> Path:
    """The `batchyard` beside the Python that runs the demo."""
    path = Path(sys.executable).parent / "batchyard"
    if not path.exists():
        raise DemoError(f"There is no {path}: set up with `make setup`, then try again.")
    return path
