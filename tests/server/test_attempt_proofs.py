"""What is derived for an attempt stays what it was: jobs that run over an upgrade hold it."""

from batchyard.server.access.attempt_proofs import METADATA, AttemptProofs

ATTEMPT = "0123456789abcdef0123456789abcdef"


def test_what_running_jobs_hold_stays_good() -> None:
    proofs = AttemptProofs(b"secret")
    assert proofs.proof(METADATA, ATTEMPT) == "4048002ec5ff2ec0ea0d5a8cc577d554"
    assert proofs.proof("session token", ATTEMPT) == "49f302c4d518ca2ec9e5c6e535dabe53"


def test_a_proof_is_for_one_purpose_one_attempt_and_one_secret() -> None:
    proofs = AttemptProofs(b"secret")
    given = proofs.proof("address", ATTEMPT)
    assert proofs.is_proof(given, "address", ATTEMPT)
    assert not proofs.is_proof(given, "session token", ATTEMPT)
    assert not proofs.is_proof(given, METADATA, ATTEMPT)
    assert not proofs.is_proof(given, "address", ATTEMPT[::-1])
    assert not AttemptProofs(b"another").is_proof(given, "address", ATTEMPT)
    for damaged in ("", given[:-1], given + "0", "é" * 32, "\udc80"):
        assert not proofs.is_proof(damaged, "address", ATTEMPT)
