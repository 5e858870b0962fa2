"""The TLS certificate of a listener: reads its files, says what is wrong with them, and notices when they are renewed.

Used by the main port (`tls_cert`, `tls_key`)."""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

from batchyard.server.settings.config import SettingError, Settings

MIN_VERSION = ssl.TLSVersion.TLSv1_2  # RFC 8996: those before it must not be used
PROTOCOLS = ["http/1.1"]  # what we speak inside (RFC 7301)
EXPIRES_SOON_DAYS = 21  # certificates of 90 days are renewed at 30: one that is this late was not

log = logging.getLogger("batchyard.server")


class ServerCertificate:
    """The certificate of a listener. `path`: PEM, its own certificate first, then those of its issuers; `key`: PEM,
    not encrypted. `context` is the same object for good: `refresh` changes what new connections are shown. Raises
    SettingError."""

    def __init__(self, path: Path, key: Path) -> None:
        self.path = path
        self._key = key
        self.context = make_context(path, key)
        self._seen = self._state()

    def refresh(self) -> None:
        """Reads the files again where they changed. While they can't be used, the last certificate stays."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            make_context(self.path, self._key)  # apart from the one in use, which a half-written pair must not break
            self.context.load_cert_chain(self.path, self._key, password=_no_password)
        except (SettingError, OSError) as error:  # ssl.SSLError is an OSError
            log.warning("the new TLS certificate is not used: %s", error)
        else:
            log.info("the TLS certificate %s was read again", self.path)

    def _state(self) -> tuple[int, ...]:
        """Returns what differs once a file is another one."""
        found: list[int] = []
        for path in (self.path, self._key):
            try:
                info = path.stat()
            except OSError:  # between the removal of an old one and the arrival of its successor
                found += (0, 0)
            else:
                found += (info.st_mtime_ns, info.st_ino)
        return tuple(found)


def certificate_of(settings: Settings) -> ServerCertificate | None:
    """Returns the certificate of the main port; None: it speaks plain HTTP. Raises SettingError."""
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        given, lacking = ("--tls-cert", "--tls-key") if key is None else ("--tls-key", "--tls-cert")
        raise SettingError(f"{given} needs {lacking} beside it: the certificate and its key are two files (PEM).")
    return ServerCertificate(cert, key)


def make_context(path: Path, key: Path) -> ssl.SSLContext:
    """Returns the context of a server with this certificate. Raises SettingError."""
    for file, flag in ((path, "--tls-cert"), (key, "--tls-key")):
        try:
            with file.open("rb"):
                pass
        except OSError as error:
            raise SettingError(f"{flag}: {file} cannot be read: {error.strerror}.") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = MIN_VERSION
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(PROTOCOLS)
    try:
        context.load_cert_chain(path, key, password=_no_password)
    except ssl.SSLError as error:
        raise SettingError(
            f"{path} and {key} are not a certificate and its key ({error.reason or error}): both must be PEM, the key "
            "without a password, and the certificate must be made for that key."
        ) from error
    return context


def expires_at(path: Path) -> datetime:
    """Returns when the first certificate of a file ends. Raises SettingError."""
    from cryptography.x509 import load_pem_x509_certificate  # here: most services never need it

    try:
        return load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} is not a certificate: {error}.") from error


def days_left(path: Path, now_ms: int) -> int:
    """Returns the days until a certificate ends; negative after it. Raises SettingError."""
    return (expires_at(path) - datetime.fromtimestamp(now_ms / 1000, UTC)).days


def _no_password() -> str:
    return ""  # OpenSSL would otherwise ask on the terminal
