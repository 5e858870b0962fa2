"""Derives what this service alone can derive for an attempt: proofs inside tokens, and the secrets of its credentials.

Everything is derived from the data directory's secret and the attempt's id, and stored nowhere: it is the same after
a restart.
"""

from __future__ import annotations

import hashlib
import hmac

PROOF_HEX = 32  # 128 bits: not to be guessed
METADATA = "task metadata"
# Its message is the bare id: containers that run hold tokens of versions that had no other purpose.
WITHOUT_PURPOSE = frozenset({METADATA})


class AttemptProofs:
    """Derives by HMAC-SHA256. `purpose`: the use of the result; results of two purposes do not reveal each other."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def derive(self, purpose: str, attempt_id: str) -> bytes:
        """Derives 32 bytes."""
        message = attempt_id if purpose in WITHOUT_PURPOSE else f"{purpose}\n{attempt_id}"
        return hmac.digest(self._secret, message.encode(), hashlib.sha256)

    def proof(self, purpose: str, attempt_id: str) -> str:
        """Derives the part of a token that only this service can make."""
        return self.derive(purpose, attempt_id).hex()[:PROOF_HEX]

    def is_proof(self, text: str, purpose: str, attempt_id: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.proof(purpose, attempt_id).encode())
