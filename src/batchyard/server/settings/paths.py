"""The paths of the service: the data directory, the runtime directory for sockets, and `server.json`, by which a
running server is found. All of them are accessible to the owner alone (0700 and 0600)."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from batchyard.store.sqlite.file_url import url_of_file

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600
# A socket's path has 107 usable bytes; the longest name an engine puts into the runtime directory is given this room.
MAX_SOCKET_PATH_BYTES = 107
SOCKET_NAME_BYTES = 32
# A directory with one of these is a data directory or a runtime directory of ours.
DATABASE = "batchyard.db"
OWN_NAMES = frozenset({"operator-key.json", "keys.json", DATABASE})
# A directory in which every user may make directories, and no user can remove another's.
SHARED = Path("/tmp")
RUNTIME_IN_DATA = "run"
HASH_HEX = 12  # distinguishes data directories of one user; short, since paths of sockets are


class PathError(Exception):
    """A directory or file cannot be used. The text is a sentence with its path, the reason and the remedy."""


class ServerFile(Struct, frozen=True):
    """The content of `server.json`: the server of a data directory. `started` distinguishes its process from a later
    one with that pid: the host's boot id and the process's start in clock ticks since boot."""

    address: str  # http://127.0.0.1:8470
    pid: int
    version: str
    data_dir: str
    started: str
    certificate: str = ""  # the file of its TLS certificate; empty: plain HTTP


class Paths(Struct, frozen=True):
    """The paths of one data directory."""

    data_dir: Path
    work_dir: Path
    runtime_dir: Path

    @property
    def logs_dir(self) -> Path:
        return self.data_dir / "logs"

    @property
    def state_dir(self) -> Path:
        """The directory for the state of engines: the supervisor's journal."""
        return self.data_dir / "engine"

    @property
    def database(self) -> Path:
        """The file of SQLite."""
        return self.data_dir / DATABASE

    @property
    def log_database(self) -> Path:
        """The file of the log events that are no output of jobs."""
        return self.data_dir / "logs.db"

    @property
    def metric_database(self) -> Path:
        """The file of metrics."""
        return self.data_dir / "metrics.db"

    @property
    def store_url(self) -> str:
        return url_of_file(self.database)

    @property
    def keys_file(self) -> Path:
        return self.data_dir / "keys.json"

    @property
    def operator_key_file(self) -> Path:
        return self.data_dir / "operator-key.json"

    @property
    def secret_file(self) -> Path:
        return self.data_dir / "secret"

    @property
    def signing_key_file(self) -> Path:
        """The file of the key that signs messages of SNS, and its certificate."""
        return self.data_dir / "sns-signing-key.pem"

    @property
    def server_file(self) -> Path:
        return self.data_dir / "server.json"


def paths_of(data_dir: Path, work_dir: Path, variables: Mapping[str, str]) -> Paths:
    return Paths(data_dir, work_dir, runtime_directory(data_dir, variables))


def runtime_directory(data_dir: Path, variables: Mapping[str, str]) -> Path:
    """Returns a short path for sockets and pipes of this user and data directory: below XDG_RUNTIME_DIR, else below
    SHARED, else, where another user has made that first, in the data directory.

    A server decides at its start. Nothing else needs to know: supervisors find their server by a link in the data
    directory, commands find it by server.json."""
    digest = hashlib.blake2b(os.fsencode(os.path.realpath(data_dir))).hexdigest()[:HASH_HEX]
    roots = [SHARED / f"batchyard-{os.geteuid()}"]
    own = variables.get("XDG_RUNTIME_DIR", "")
    if own.startswith("/") and _is_ours(Path(own)):  # after `su` it may be another user's
        roots.insert(0, Path(own) / "batchyard")
    candidates = [root / digest for root in roots if _can_be_ours(root)] + [data_dir / RUNTIME_IN_DATA]
    return next((path for path in candidates if _fits(path)), roots[-1] / digest)


def _fits(runtime_dir: Path) -> bool:
    return len(os.fsencode(runtime_dir.absolute())) + 1 + SOCKET_NAME_BYTES <= MAX_SOCKET_PATH_BYTES


def _is_ours(path: Path) -> bool:
    """Whether it is a directory of ours, not a link, in which files can be made."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and os.access(path, os.W_OK | os.X_OK)


def _can_be_ours(path: Path) -> bool:
    return _is_ours(path) or (not os.path.lexists(path) and os.access(path.parent, os.W_OK | os.X_OK))


def prepare(paths: Paths) -> None:
    """Makes the directories. Raises PathError where one cannot be made, or belongs to another user."""
    make_private(paths.data_dir)
    for path in (paths.logs_dir, paths.state_dir):
        make_private(path)
    _make_runtime(paths)
    _make(paths.work_dir)
    if not os.access(paths.work_dir, os.W_OK | os.X_OK):
        raise PathError(f"The work directory {paths.work_dir} is not writable: choose another one with --work-dir.")


def _make_runtime(paths: Paths) -> None:
    root = paths.runtime_dir.parent
    if root != paths.data_dir and not _can_be_ours(root):
        longest = MAX_SOCKET_PATH_BYTES - SOCKET_NAME_BYTES - len(f"/{RUNTIME_IN_DATA}/")
        raise PathError(
            f"Sockets need a short path, and {root} cannot be used: it belongs to somebody else, or is no directory "
            "that files can be made in. Have it removed, set XDG_RUNTIME_DIR to a directory of your own, or choose a "
            f"data directory whose path has at most {longest} bytes with --data-dir."
        )
    make_private(root)
    make_private(paths.runtime_dir)


def tidy_up(paths: Paths) -> None:
    """Removes the runtime directory at the end of a server, unless attempts that run on have their pipes there."""
    try:
        paths.runtime_dir.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
            raise


def make_private(path: Path) -> None:
    """Makes `path` a directory of our own, closed to others. Raises PathError."""
    _make(path)
    # The link and what it points to: in /tmp another user may have put a link in our way.
    for found in (os.lstat(path), os.stat(path)):
        if found.st_uid != os.geteuid():
            raise PathError(
                f"The directory {path} belongs to the user {found.st_uid}, and this is {os.geteuid()}: "
                "choose another one with --data-dir, or run as its owner."
            )
    if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        _close_to_others(path)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PathError(f"The directory {path} is not writable: choose another one with --data-dir.")


def _close_to_others(path: Path) -> None:
    """Restricts access to the owner. A directory with other content (a home, /tmp) is never restricted: that would
    break what is not ours."""
    names = os.listdir(path)
    if names and not OWN_NAMES & set(names):
        raise PathError(
            f"The directory {path} is open to other users and holds other files: "
            "choose a new or empty directory with --data-dir."
        )
    try:
        os.chmod(path, PRIVATE_DIRECTORY)
    except OSError as error:
        raise PathError(
            f"The directory {path} cannot be used ({error.strerror}): choose another one with --data-dir."
        ) from error


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    except OSError as error:
        raise PathError(f"The directory {path} cannot be made: {error.strerror}.") from error


def write_private(path: Path, content: bytes) -> None:
    """Replaces the file in one step: a reader sees the old or the new content, and a crash leaves one of them."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def process_start(pid: int) -> str:
    """Returns the boot id and the start time of a process, or "" when there is none. A zombie counts as gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    if fields[0] in (b"Z", b"X"):
        return ""
    return f"{boot}/{int(fields[19])}"


def write_server_file(paths: Paths, address: str, version: str, certificate: str = "") -> None:
    pid = os.getpid()
    content = ServerFile(address, pid, version, str(paths.data_dir), process_start(pid), certificate)
    write_private(paths.server_file, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def remove_server_file(paths: Paths) -> None:
    paths.server_file.unlink(missing_ok=True)


def read_server_file(path: Path) -> ServerFile | None:
    """Reads `server.json`; None when it does not exist. Raises PathError when it cannot be parsed."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ServerFile)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PathError(f"{path} is damaged ({error}): remove it when no server runs on this directory.") from error


def is_running(server: ServerFile) -> bool:
    """Whether the process that wrote the file lives (and not another one with its pid)."""
    return bool(server.started) and process_start(server.pid) == server.started
