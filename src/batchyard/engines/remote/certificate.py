"""The certificate of a server for the hosts that join it: made by itself, and pinned by its fingerprint, which is part
of every token. So no authority is needed, and a host speaks to that server and no other."""

from __future__ import annotations

import hashlib
import os
import ssl
from datetime import datetime, timedelta
from pathlib import Path

CERTIFICATE_FILE = "hosts-certificate.pem"
KEY_FILE = "hosts-key.pem"
VALID_DAYS = 36_500  # what is pinned need not end
FINGERPRINT_HEX = 64


def server_certificate(directory: Path, now: datetime) -> tuple[Path, Path]:
    """Returns the paths of certificate and key, made where they do not exist. OSError: they can't be kept."""
    certificate_path, key_path = directory / CERTIFICATE_FILE, directory / KEY_FILE
    if certificate_path.exists() and key_path.exists():
        return certificate_path, key_path
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "batchyard hosts")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(key_path, private)  # first: a certificate without its key is made anew
    _write(certificate_path, certificate.public_bytes(encoding))
    return certificate_path, key_path


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.rename(path)


def server_context(certificate_path: Path, key_path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate_path, key_path)
    return context


def pinned_context() -> ssl.SSLContext:
    """Returns the context of a host. It takes any certificate: the caller compares the fingerprint before it sends
    anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fingerprint_of(certificate: bytes) -> str:
    """Returns the SHA-256 of a certificate (DER), as hex digits."""
    return hashlib.sha256(certificate).hexdigest()


def fingerprint_in(certificate_path: Path) -> str:
    return fingerprint_of(ssl.PEM_cert_to_DER_cert(certificate_path.read_text()))
