"""Tokens: what a person copies, and what is kept of it."""

from __future__ import annotations

import pytest

from batchyard.server.hosts.tokens import HostToken, TokenError, digest_of, new_token, parse_token, token_of_instance

FINGERPRINT = "ab" * 32


def test_a_token_is_read_as_it_was_made() -> None:
    token = new_token(FINGERPRINT)
    assert parse_token(f" {token.text}\n") == token
    assert not token.names_instance
    assert new_token(FINGERPRINT).secret != token.secret


def test_a_token_shows_its_secret_to_no_log() -> None:
    token = new_token(FINGERPRINT)
    assert token.secret not in repr(token)
    assert token.secret not in digest_of(token.secret)


def test_the_token_of_an_instance_is_the_same_each_time_and_another_for_each() -> None:
    first = token_of_instance("i-0123456789abcdef0", b"secret", FINGERPRINT)
    assert first == token_of_instance("i-0123456789abcdef0", b"secret", FINGERPRINT)
    assert parse_token(first.text).names_instance
    assert first.secret != token_of_instance("i-0123456789abcdef1", b"secret", FINGERPRINT).secret
    assert first.secret != token_of_instance("i-0123456789abcdef0", b"another", FINGERPRINT).secret


@pytest.mark.parametrize("text", ["", "byj", "byj.12345678.00.11", HostToken("1", "2", "3").text, "x" * 100_000])
def test_anything_else_is_no_token(text: str) -> None:
    with pytest.raises(TokenError, match="batchyard hosts token"):
        parse_token(text)
