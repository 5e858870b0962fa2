"""Numbers that MaxConcurrencyPath and fields like it take from the data (step functions spec 7, 12)."""

from __future__ import annotations

import re
from typing import Any

from batchyard.evaluators.states.errors import RUNTIME, StateError
from batchyard.evaluators.states.json_paths import Path
from batchyard.evaluators.states.json_values import compact, is_number
from batchyard.evaluators.states.scope import Scope

_WRITTEN_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


def integer_at(path: Path, scope: Scope, field: str) -> int:
    """Returns the integer that a path leads to. Raises StateError (States.Runtime) with AWS's text.

    `field`: the name of the field, such as `MaxConcurrencyPath`.
    """
    found = path.find(scope, field)
    value = _number(found)
    if value is None or value != value // 1:
        raise _not_a("integer", path, field, found)
    return int(value)


def positive_integer_at(path: Path, scope: Scope, field: str) -> int:
    """Returns the integer of at least 1 that a path leads to. Raises StateError (States.Runtime)."""
    value = integer_at(path, scope, field)
    if value < 1:
        raise StateError(RUNTIME, f"{field.removesuffix('Path')} must be positive.")
    return value


def tolerated_count_at(path: Path, scope: Scope, field: str = "ToleratedFailureCountPath") -> int:
    """Returns how many items may fail. Raises StateError (States.Runtime) with AWS's text."""
    value = integer_at(path, scope, field)
    if value < 0:
        raise StateError(RUNTIME, "ToleratedFailureCount cannot be negative.")
    return value


def tolerated_percentage_at(path: Path, scope: Scope, field: str = "ToleratedFailurePercentagePath") -> float:
    """Returns how many percent of the items may fail. Raises StateError (States.Runtime) with AWS's text."""
    found = path.find(scope, field)
    value = _number(found)
    if value is None:
        raise _not_a("float", path, field, found)
    if not 0 <= value <= 100:
        raise StateError(RUNTIME, "ToleratedFailurePercentage must be between 0 and 100.")
    return float(value)


def _number(value: Any) -> float | None:
    """Returns a number, also one that is written as a text; None for any other value."""
    if isinstance(value, str):
        found = _WRITTEN_NUMBER.fullmatch(value)
        return None if found is None else int(value) if value.lstrip("-").isdecimal() else float(value)
    return value if is_number(value) else None


def _not_a(kind: str, path: Path, field: str, value: Any) -> StateError:
    shown = value if isinstance(value, str) else compact(value)
    return StateError(RUNTIME, f'The {field} field refers to value "{shown}" which is not a valid {kind}: {path.text}')
