"""The stored form of an idempotency key and the digest of its request."""

from __future__ import annotations

import pytest

from batchyard.core.model.idempotency import split_stored_key, stored_key

DIGEST = "0123456789abcdef" * 2


@pytest.mark.parametrize("key", ["key", "key~with~tildes", "line\nbreak", f"key~{DIGEST[:-1]}"])
def test_key_and_digest_come_back(key: str) -> None:
    assert stored_key(key, DIGEST) == f"{key}~{DIGEST}"
    assert split_stored_key(stored_key(key, DIGEST)) == (key, DIGEST)


@pytest.mark.parametrize(("key", "digest"), [("key", ""), ("", DIGEST), ("", "")])
def test_without_one_of_them_it_is_the_key_alone(key: str, digest: str) -> None:
    assert stored_key(key, digest) == key
    assert split_stored_key(stored_key(key, digest)) == (key, "")
