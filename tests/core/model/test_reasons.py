"""Reasons have codes to decide by, which are stored as the texts that AWS gives them."""

import msgspec

from batchyard.core.model.reasons import Reason, ReasonCode, StopCause


def test_codes_and_causes_are_stored_by_their_texts() -> None:
    reason = Reason(ReasonCode.MAX_RESOURCE, "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - So.")
    assert msgspec.json.decode(msgspec.json.encode(reason), type=Reason) == reason
    assert [str(cause) for cause in StopCause] == ["terminate", "timeout", "host", "main"]


def test_misconfigurations_are_those_that_aws_calls_so() -> None:
    called = [code for code in ReasonCode if code.startswith("MISCONFIGURATION:")]
    assert [code for code in ReasonCode if code.is_misconfiguration] == called
