"""Signs messages of SNS with the service's own key, whose certificate it serves (observability spec 8.3).

AWS's verifiers take certificates of AWS's hosts only, so that receivers check against this one: the file with the key
is made when the first message is signed, and is the same from then on."""

from __future__ import annotations

import base64
import hashlib
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from batchyard.server.settings.paths import PathError, write_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

KEY_BITS = 2048  # SNS's own
PUBLIC_EXPONENT = 65537
VALID_DAYS = 36_500  # receivers keep the certificate: a new one would only break them
NAME_HEX = 32
COMMON_NAME = "sns.batchyard.local"


class MessageSigner:
    """`path`: the file with key and certificate. Any thread may call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._loaded: tuple[RSAPrivateKey, bytes] | None = None

    def sign(self, text: str, version: str) -> str:
        """Returns the signature in base64. `version`: 1 with SHA-1, 2 with SHA-256. Raises PathError."""
        from cryptography.hazmat.primitives import hashes  # here: most services never need it
        from cryptography.hazmat.primitives.asymmetric import padding

        key, _ = self._load()
        # SHA-1 is what version 1 of SNS's signatures is, and receivers of it expect; topics may have version 2.
        digest = hashes.SHA256() if version == "2" else hashes.SHA1()
        return base64.b64encode(key.sign(text.encode(errors="replace"), padding.PKCS1v15(), digest)).decode()

    def certificate(self) -> bytes:
        """Returns the certificate, as PEM. Raises PathError."""
        return self._load()[1]

    def certificate_name(self) -> str:
        """Returns the last part of the certificate's URL. Raises PathError."""
        return f"SimpleNotificationService-{hashlib.sha256(self.certificate()).hexdigest()[:NAME_HEX]}.pem"

    def _load(self) -> tuple[RSAPrivateKey, bytes]:
        with self._lock:
            if self._loaded is None:
                self._loaded = _read(self._path) if self._path.exists() else _make(self._path)
            return self._loaded


def _read(path: Path) -> tuple[RSAPrivateKey, bytes]:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    try:
        content = path.read_bytes()
        key = load_pem_private_key(content, None)
        load_pem_x509_certificate(content)
    except (OSError, ValueError) as error:
        raise PathError(f"{path} is damaged ({error}): remove it, and receivers have to fetch a new one.") from error
    if not isinstance(key, RSAPrivateKey):
        raise PathError(f"{path} has no RSA key: remove it, and receivers have to fetch a new certificate.")
    return key, content[content.index(b"-----BEGIN CERTIFICATE") :]


def _make(path: Path) -> tuple[RSAPrivateKey, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(PUBLIC_EXPONENT, KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME)])
    start = datetime.now(UTC) - timedelta(days=1)  # clocks of receivers may be behind
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    try:
        write_private(path, private + public)
    except OSError as error:
        raise PathError(f"{path}, for signatures of messages, cannot be written: {error}.") from error
    return key, public
