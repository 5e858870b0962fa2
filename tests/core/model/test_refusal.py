"""A refusal carries AWS's code and a sentence."""

from __future__ import annotations

from batchyard.core.model.refusal import CLIENT_EXCEPTION, Refused


def test_a_refusal_is_a_client_exception_unless_it_names_another_code() -> None:
    plain, named = Refused("no"), Refused("no such", "ResourceNotFoundException", is_bare=True)
    assert (plain.code, plain.message, plain.is_bare) == (CLIENT_EXCEPTION, "no", False)
    assert (named.code, named.message, named.is_bare) == ("ResourceNotFoundException", "no such", True)
    assert str(named) == "no such"
