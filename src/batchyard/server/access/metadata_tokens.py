"""Tokens of the task metadata endpoint: an attempt's id with its proof; and the secret from which proofs are
derived."""

from __future__ import annotations

import secrets
from pathlib import Path

from batchyard.server.access.attempt_proofs import METADATA, AttemptProofs
from batchyard.server.settings.paths import PathError, write_private

SECRET_BYTES = 32
TASK_ID_HEX = 32


class Tokens:
    """Makes and checks tokens. They can't be guessed, are the same after a restart, and are stored nowhere."""

    def __init__(self, secret: bytes) -> None:
        self._proofs = AttemptProofs(secret)

    def token(self, attempt_id: str, container: str = "") -> str:
        """Makes a token. `container`: the one that gets the token, where the task has several; it is not secret from
        the others."""
        return f"{attempt_id}-{self._proofs.proof(METADATA, attempt_id)}" + (f".{container}" if container else "")

    @staticmethod
    def container(token: str) -> str:
        """Returns the container that a token was made for; empty where the task has only one."""
        return token.partition(".")[2]

    def attempt_id(self, token: str) -> str | None:
        """Returns the attempt that a token was made for; None when the token is not one of ours."""
        attempt_id, _, proof = token.partition(".")[0].partition("-")
        if len(attempt_id) != TASK_ID_HEX:
            return None
        return attempt_id if self._proofs.is_proof(proof, METADATA, attempt_id) else None


def secret_of(path: Path) -> bytes:
    """Returns the secret of a data directory, which is made at the first start. Raises PathError when it is damaged."""
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        secret = secrets.token_bytes(SECRET_BYTES)
        write_private(path, secret.hex().encode() + b"\n")
        return secret
    except (OSError, UnicodeDecodeError) as error:
        raise PathError(f"{path} cannot be read: {error}.") from error
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise PathError(f"{path} is damaged: remove it; jobs that run now lose their metadata endpoint, nothing else.")
    return secret
