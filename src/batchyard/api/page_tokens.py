"""Page tokens of callers: the store's cursor with a proof that this service made it, for this same request.

A token that was cut, made up, or used with another operation, other parameters or another service is refused with
the service's own error, before any of it is used. The page size may change.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec

from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document
from batchyard.wire.model import ServiceModel

TOKEN_MEMBERS = ("nextToken", "NextToken", "Marker")
PAGE_SIZES = frozenset(
    {"maxResults", "MaxResults", "limit", "Limit", "MaxItems", "maxItems", "MaxRecords", "MaxDatapoints"}
)
PROOF_BYTES = 16
MAX_TOKEN_CHARACTERS = 8192  # a cursor holds a name or two of at most 512 characters; a longer text is no token
_encode = msgspec.json.Encoder(order="deterministic").encode


def token_members(model: ServiceModel) -> dict[str, str]:
    """Returns the name of the page token, by paged operation. GetLogEvents makes its own tokens."""
    found: dict[str, str] = {}
    for name, operation in model.operations.items():
        members = operation.input.members if operation.input is not None else {}
        given = operation.output.members if operation.output is not None else {}
        for member in TOKEN_MEMBERS:
            if member in members and member in given:
                found[name] = member
    return found


def seal(key: bytes, service: str, operation: str, request: Document, cursor: str) -> str:
    text = cursor.encode()
    return base64.urlsafe_b64encode(_proof(key, service, operation, request, text) + text).decode().rstrip("=")


def unseal(
    key: bytes,
    service: str,
    operation: str,
    request: Document,
    token: str,
    *,
    bad_token_code: str,
    bad_token_text: str = "",
) -> str:
    """Returns the cursor. Refused, with `bad_token_code` and `bad_token_text`: the token was not made for this
    request."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise bad_token(bad_token_code, bad_token_text)
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise bad_token(bad_token_code, bad_token_text) from None
    proof, text = raw[:PROOF_BYTES], raw[PROOF_BYTES:]
    if not hmac.compare_digest(proof, _proof(key, service, operation, request, text)):
        raise bad_token(bad_token_code, bad_token_text)
    return text.decode()


def bad_token(code: str, text: str = "") -> Refused:
    """Returns the refusal of an invalid token, with the service's code for it, and its text where it has one."""
    ours = (
        "The specified nextToken is invalid. Use the nextToken of the previous page, with all other parameters as they "
        "were."
    )
    return Refused(text or ours, code)


def proof(key: bytes, *parts: bytes) -> bytes:
    """Returns the proof that this service issued these parts together."""
    digest = hashlib.blake2b(key=key, digest_size=PROOF_BYTES, person=b"page token")
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.digest()


def _proof(key: bytes, service: str, operation: str, request: Document, text: bytes) -> bytes:
    bound = {name: value for name, value in request.items() if name not in PAGE_SIZES and name not in TOKEN_MEMBERS}
    return proof(key, service.encode(), operation.encode(), _encode(bound), text)
