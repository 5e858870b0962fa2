"""Encryption of secrets, and its key file.

The key is stored outside the data directory, so that no copy of that (a backup, a disk that is given away) contains
the key. AES-256-GCM; the name and version of a value are authenticated with it, so that no value can replace
another. Without the key file nothing can be decrypted: it has to be kept as safe as what it protects.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from batchyard.api.context import CipherError
from batchyard.server.settings.config import is_inside
from batchyard.server.settings.paths import PRIVATE_DIRECTORY

KEY_BYTES = 32
KEY_LINE = "batchyard-secrets-key-1 "  # what the file begins with: a later kind of key gets another number
MAX_FILE_BYTES = 256  # more than the line has
NONCE_BYTES = 12  # AES-GCM's own; random ones are safe for 2**32 values under one key
KEY_ID_BYTES = 8
SEALED_AS = b"\x01"  # the first byte of a sealed value: the format of the rest
HEAD_BYTES = len(SEALED_AS) + KEY_ID_BYTES + NONCE_BYTES


class _Key(Struct, frozen=True):
    encryption: bytes
    digests: bytes
    key_id: bytes


class KeyFileCipher:
    """`path`: the key file; read again when it changes, made at the first `seal` that may. Any thread may call."""

    def __init__(self, path: Path, data_dir: Path) -> None:
        self._path = path
        self._data_dir = data_dir
        self._seen: tuple[int, int, int, int] | None = None
        self._key: _Key | None = None
        self._lock = threading.Lock()

    def seal(self, value: bytes, bound_to: str, *, is_first: Callable[[], bool]) -> bytes:
        """Encrypts a value, which can be decrypted with the same `bound_to` only. `is_first`, called when the key
        file is missing: whether no sealed value is stored anywhere, so that the file is made; else it is an error,
        since a new key could not decrypt them. Raises CipherError."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # here: most services never need it

        key = self._current(makes=is_first)
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(key.encryption).encrypt(nonce, value, bound_to.encode())
        return SEALED_AS + key.key_id + nonce + sealed

    def open(self, sealed: bytes, bound_to: str) -> bytes:
        """Raises CipherError."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._current(makes=_never)
        if sealed[:1] != SEALED_AS or len(sealed) < HEAD_BYTES:
            raise CipherError("The stored value was not written by this version of the service, or is damaged.")
        if sealed[1 : 1 + KEY_ID_BYTES] != key.key_id:
            raise CipherError(
                f"{self._path} holds another key than the one this value was encrypted with: put that one back, or "
                "delete the secret and set it again."
            )
        try:
            return AESGCM(key.encryption).decrypt(
                sealed[HEAD_BYTES - NONCE_BYTES : HEAD_BYTES], sealed[HEAD_BYTES:], bound_to.encode()
            )
        except InvalidTag:
            raise CipherError(
                "The stored value is damaged, or belongs to something else: set the secret again."
            ) from None

    def digest(self, value: bytes, bound_to: str) -> bytes:
        """Returns a digest by which only an owner of the key file can compare values of one `bound_to`. Called after
        `seal`."""
        key = self._current(makes=_never)
        return hmac.new(key.digests, b"\0".join((bound_to.encode(), value)), hashlib.sha256).digest()

    # -- the key file --

    def problem(self) -> str:
        """Returns what is wrong with an existing key file; empty: nothing, or there is none."""
        try:
            with self._lock:
                self._read()
        except FileNotFoundError:
            return ""
        except CipherError as error:
            return str(error)
        return ""

    def _current(self, *, makes: Callable[[], bool]) -> _Key:
        with self._lock:
            try:
                return self._read()
            except FileNotFoundError:
                if not makes():
                    raise CipherError(
                        f"The key file {self._path} is not there, and without it no secret can be read: put it back "
                        "from where you keep its copy. If it is lost, delete the secrets (`batchyard secrets rm NAME "
                        "--now`) and parameters, and set them again."
                    ) from None
            if is_inside(self._path, self._data_dir):
                raise CipherError(
                    f"The key file would be {self._path}, in the data directory, where every copy of that would hold "
                    "what opens its secrets: name another one with --secrets-key-file."
                )
            try:
                _make(self._path)
                return self._read()
            except OSError as error:
                raise CipherError(f"The key file {self._path} cannot be made: {error.strerror}.") from error

    def _read(self) -> _Key:
        """Reads the key. FileNotFoundError when there is no file; CipherError when it cannot be used."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise CipherError(f"The key file {self._path} cannot be read: {error.strerror}.") from error
        try:
            found = os.fstat(descriptor)
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_ctime_ns)
            if stamp != self._seen or self._key is None:
                self._check(found)
                self._key, self._seen = self._parse(os.read(descriptor, MAX_FILE_BYTES)), stamp
        finally:
            os.close(descriptor)
        return self._key

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise CipherError(f"{self._path} is no file: name another one with --secrets-key-file.")
        if found.st_uid != os.geteuid():
            raise CipherError(
                f"The key file {self._path} belongs to the user {found.st_uid}, and this is {os.geteuid()}: run chown "
                "on it, or name another one with --secrets-key-file."
            )
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            raise CipherError(
                f"The key file {self._path} is open to others (mode {mode:04o}): run chmod 600 {self._path}, and think "
                "of who may have read it."
            )

    def _parse(self, content: bytes) -> _Key:
        text = content.decode("ascii", "replace")
        try:
            key = binascii.a2b_base64(text.removeprefix(KEY_LINE).strip(), strict_mode=True)
        except ValueError:
            key = b""
        if not text.startswith(KEY_LINE) or len(key) != KEY_BYTES:
            raise CipherError(f"The key file {self._path} is damaged: put it back from where you keep its copy.")
        return _Key(
            encryption=_derived(key, b"encryption"),
            digests=_derived(key, b"digests"),
            key_id=_derived(key, b"key id")[:KEY_ID_BYTES],
        )


def _never() -> bool:
    return False


def _derived(key: bytes, purpose: bytes) -> bytes:
    """Derives a key for one purpose, from which the file's own can't be computed."""
    return hmac.new(key, b"batchyard " + purpose, hashlib.sha256).digest()


def _make(path: Path) -> None:
    """Makes the file, completely or not at all. One that another process made meanwhile stays."""
    path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    line = KEY_LINE.encode() + base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        os.unlink(temporary)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
