"""What one JSONata expression may use, and the failure of an expression that its engine reports."""

from __future__ import annotations

# A state's data has at most 256 KiB, so plain expressions take some 10,000 steps. A million take a tenth of a second.
MAX_STEPS = 1_000_000
# Levels of evaluations inside each other: some 300 calls of functions that are no tail calls.
MAX_DEPTH = 1_000
# The last resort, for what is no step (a regular expression that goes back and forth): the loop waits that long.
MAX_SECONDS = 1.0
# Arrays and strings while evaluating, in items and bytes. AWS evaluates [1..873782], and beyond it memory runs out.
MAX_ARRAY_LENGTH = 900_000
MAX_STRING_LENGTH = 1_000_000
# Of a result, in bytes of JSON text: beyond any state's limit, so that States.DataLimitExceeded is what is reported.
MAX_RESULT_SIZE = 4_000_000

# AWS's texts of exhausted budgets (step functions spec 10). The one for time is that of the reference implementation.
MEMORY_EXHAUSTED = "Expression evaluation memory limit exceeded: Check for excessive memory usage"
TIME_EXHAUSTED = "Expression evaluation timeout: Check for infinite loop"


class EvaluationError(Exception):
    """An expression failed. `message`: AWS's text, with the code of JSONata in front where the failure has one."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def coded(code: str, message: str) -> EvaluationError:
    return EvaluationError(f"{code}: {message}")


def wrong_argument(function: str, position: int) -> EvaluationError:
    """Returns the error of an argument, counted from 1, that a function does not take."""
    return coded("T0410", f'Argument {position} of function "{function}" does not match function signature')
