"""Access keys: `keys.json` (of callers) and `operator-key.json` (of the data directory's owner, always there)."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchyard.clock import wall_clock_ms
from batchyard.server.settings.paths import PRIVATE_FILE, PathError, write_private

ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
ID_LETTERS = 16  # with the prefix 20 characters, as AWS's ids have
KEY_PREFIX = "BYAK"
OPERATOR_PREFIX = "BYOP"
SECRET_BYTES = 30  # 40 characters, as AWS's secrets have
OPERATOR = "operator"
MAX_KEYS = 10_000  # the file is read whole at each change
NAME_PATTERN = r"[A-Za-z0-9_.@-]{1,64}"


class Key(Struct, frozen=True, rename="camel"):
    access_key_id: str
    secret_access_key: str
    name: str = ""
    created_at_ms: int = 0
    read_only: bool = False  # its callers change nothing


class KeyList(Struct, frozen=True):
    keys: list[Key] = []


class KeysError(Exception):
    """A change of the keys is refused. The text is a sentence."""


class KeyFile:
    """`keys.json`, read again when it has changed (another inode, time or size)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}
        self._error = ""

    def current(self) -> dict[str, Key]:
        """Returns the keys in force, by access key id. Raises PathError while the file is damaged: it must never be
        taken for "no keys", which would admit every caller."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._seen, self._keys, self._error = None, {}, ""
            return self._keys
        except OSError as error:
            raise PathError(f"{self._path} cannot be read: {error.strerror}.") from error
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._keys, self._error = {key.access_key_id: key for key in read_keys(self._path)}, ""
            except PathError as error:
                self._keys, self._error = {}, str(error)
        if self._error:
            raise PathError(self._error)
        return self._keys


def read_keys(path: Path) -> list[Key]:
    """Reads the keys of a file, oldest first; none when it does not exist. Raises PathError."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise PathError(f"{path} holds secrets and is open to others (mode {mode:04o}): run chmod 600 on it.")
    try:
        return msgspec.json.decode(content, type=KeyList).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PathError(f"{path} is damaged ({error}): repair it, or remove it to start without keys.") from error


def add_key(path: Path, name: str, *, read_only: bool = False) -> Key:
    """Makes a key and returns it with its secret, which nothing shows a second time. Raises KeysError, PathError."""
    if name and not re.fullmatch(NAME_PATTERN, name):
        raise KeysError(f"A key's name is made of up to 64 letters, digits and _.@-; not {name!r}.")
    with _locked(path):
        keys = read_keys(path)
        if name and any(key.name == name for key in keys):
            raise KeysError(f"There is a key named {name} already: choose another name, or remove that one first.")
        if len(keys) >= MAX_KEYS:
            raise KeysError(f"There are {MAX_KEYS} keys already, the most there can be: remove some.")
        key = replace(new_key(KEY_PREFIX, name), read_only=read_only)
        _write(path, [*keys, key])
    return key


def remove_key(path: Path, wanted: str) -> Key:
    """Removes the key with this access key id or name. Raises KeysError, PathError."""
    with _locked(path):
        keys = read_keys(path)
        found = [key for key in keys if wanted and wanted in (key.access_key_id, key.name)]
        if not found:
            raise KeysError(f"There is no key {wanted!r}: `batchyard keys list` shows those there are.")
        _write(path, [key for key in keys if key is not found[0]])
    return found[0]


def operator_key(path: Path) -> Key:
    """Returns the owner's key, which is made where there is none. Raises PathError."""
    keys = read_keys(path)
    if keys:
        return keys[0]
    key = new_key(OPERATOR_PREFIX, OPERATOR)
    _write(path, [key])
    return key


def new_key(prefix: str, name: str) -> Key:
    letters = "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LETTERS))
    return Key(prefix + letters, secrets.token_urlsafe(SECRET_BYTES), name, wall_clock_ms())


def _write(path: Path, keys: list[Key]) -> None:
    write_private(path, msgspec.json.format(msgspec.json.encode(KeyList(keys)), indent=2) + b"\n")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Makes commands that change the file take turns. The lock is a file beside it, since the file itself is
    replaced."""
    try:
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise PathError(f"{path.parent} is not writable: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
