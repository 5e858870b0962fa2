"""Bodies of requests that SDKs have compressed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from batchyard.wire.messages import WireError

GZIP_WINDOW = 31  # zlib: a gzip stream of any window


def inflated(body: bytes, headers: Mapping[str, str], limit_bytes: int) -> bytes:
    """Returns a body without the compression that its headers name (gzip); others are left as they are. Raises
    WireError: it is no gzip stream, or more than `limit_bytes` come of it."""
    if headers.get("content-encoding", "").strip().lower() != "gzip":
        return body
    stream = zlib.decompressobj(GZIP_WINDOW)
    try:
        plain = stream.decompress(body, limit_bytes + 1)
    except zlib.error:
        raise WireError("SerializationException", "The request body is no gzip stream, as its headers say.") from None
    if len(plain) > limit_bytes:
        raise WireError(
            "RequestEntityTooLargeException",
            f"The request body must be at most {limit_bytes} bytes without its compression.",
            413,
        )
    if not stream.eof:
        raise WireError("SerializationException", "The request body ends before its gzip stream does.")
    return plain
