"""Tokens that let hosts join: what a person copies to the other machine."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from msgspec import Struct

PREFIX = "byj"
SECRET_BYTES = 16  # 128 bits, which can't be guessed
ID_BYTES = 4
TOKEN = re.compile(r"byj\.(?P<id>[0-9a-f]{8}|i-[0-9a-f]{17})\.(?P<secret>[0-9a-f]{32})\.(?P<fingerprint>[0-9a-f]{64})")


class TokenError(Exception):
    """A text is no token. The text is a sentence."""


class HostToken(Struct, frozen=True):
    """`token_id`: of its record, or the instance id of a host that is named before it joins. `fingerprint`: of the
    server's certificate."""

    token_id: str
    secret: str
    fingerprint: str

    @property
    def text(self) -> str:
        return f"{PREFIX}.{self.token_id}.{self.secret}.{self.fingerprint}"

    @property
    def names_instance(self) -> bool:
        return self.token_id.startswith("i-")

    def __repr__(self) -> str:
        return f"HostToken({self.token_id!r})"


def new_token(fingerprint: str) -> HostToken:
    return HostToken(secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES), fingerprint)


def token_of_instance(instance_id: str, secret: bytes, fingerprint: str) -> HostToken:
    """Returns the token of a host that is an instance already, such as a pilot: the same each time, and also its key.
    `secret`: of the data directory."""
    digest = hmac.new(secret, f"host {instance_id}".encode(), hashlib.sha256).hexdigest()
    return HostToken(instance_id, digest[: 2 * SECRET_BYTES], fingerprint)


def parse_token(text: str) -> HostToken:
    """TokenError: it is none."""
    found = TOKEN.fullmatch(text.strip())
    if found is None:
        raise TokenError("This is no token: copy the whole text that `batchyard hosts token` printed, beginning byj.")
    return HostToken(found["id"], found["secret"], found["fingerprint"])


def digest_of(secret: str) -> str:
    """Returns what is kept of a secret or key."""
    return hashlib.sha256(secret.encode()).hexdigest()
