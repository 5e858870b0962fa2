"""The refusal of a command: an AWS error code and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLIENT_EXCEPTION = "ClientException"
EXISTS = "Object already exists"  # AWS's text for every name that is taken


class Refused(Exception):
    """A command that changed nothing. `code`: AWS's error code; `message`: what was wrong, and the remedy;
    `is_bare`: AWS sends this text without its usual wording around it (AWS Batch behaviour 1.2)."""

    members: Mapping[str, Any] = {}  # what else AWS's error has besides its text; of some kinds only

    def __init__(self, message: str, code: str = CLIENT_EXCEPTION, *, is_bare: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.is_bare = is_bare
