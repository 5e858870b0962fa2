"""Diagnostics of state machine definitions, as ValidateStateMachineDefinition reports them (step functions spec 6)."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

ERROR, WARNING = "ERROR", "WARNING"

# Codes, with the meaning that the API reference gives them.
SCHEMA_VALIDATION_FAILED = "SCHEMA_VALIDATION_FAILED"
INVALID_JSON_DESCRIPTION = "INVALID_JSON_DESCRIPTION"
MISSING_TRANSITION_TARGET = "MISSING_TRANSITION_TARGET"
MISSING_END_STATE = "MISSING_END_STATE"
DUPLICATE_STATE_NAME = "DUPLICATE_STATE_NAME"
DUPLICATE_LABEL_NAME = "DUPLICATE_LABEL_NAME"
INVALID_STATE_NAME = "INVALID_STATE_NAME"
INVALID_LABEL_NAME = "INVALID_LABEL_NAME"
TOO_DEEPLY_NESTED = "TOO_DEEPLY_NESTED"
INVALID_JSONATA_EXPRESSION = "INVALID_JSONATA_EXPRESSION"
UNSUPPORTED_JSONATA_EXPRESSION = "UNSUPPORTED_JSONATA_EXPRESSION"
NO_DOLLAR = "NO_DOLLAR"
NO_PATH = "NO_PATH"
PASS_RESULT_IS_STATIC = "PASS_RESULT_IS_STATIC"

MAX_DIAGNOSTICS = (
    1_000  # of one definition: enough for all that an answer lists, and no definition can ask for more work
)


class Diagnostic(Struct, frozen=True):
    """One finding. `location`: a JSON pointer such as `/States/X/Next`; None: the whole definition."""

    code: str
    message: str
    location: str | None = None
    severity: str = ERROR

    @property
    def text(self) -> str:
        """Returns what a refusal says of it; AWS prints `null` for no location."""
        if self.code == INVALID_JSON_DESCRIPTION:  # its message ends with the place
            return f"{self.code}: {self.message}"
        return f"{self.code}: {self.message} at {'null' if self.location is None else self.location}"


class Report:
    """Collects the diagnostics of one definition."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def fault(self, message: str, location: str | None, code: str = SCHEMA_VALIDATION_FAILED) -> None:
        self._add(Diagnostic(code, message, location))

    def warn(self, message: str, location: str, code: str) -> None:
        self._add(Diagnostic(code, message, location, WARNING))

    def _add(self, diagnostic: Diagnostic) -> None:
        if len(self.found) < MAX_DIAGNOSTICS and diagnostic not in self.found[-1:]:
            self.found.append(diagnostic)

    @property
    def has_errors(self) -> bool:
        return any(diagnostic.severity == ERROR for diagnostic in self.found)


def refusal_text(diagnostics: Iterable[Diagnostic]) -> str:
    """Returns the message of InvalidDefinition for a definition with these errors."""
    texts = ", ".join(diagnostic.text for diagnostic in diagnostics if diagnostic.severity == ERROR)
    return f"Invalid State Machine Definition: '{texts}'"
