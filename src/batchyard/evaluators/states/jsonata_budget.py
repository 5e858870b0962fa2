"""What one JSONata expression may use, and the failure of an expression that its engine reports."""

from __future__ import annotations

# A state's data has at most 256 KiB, so plain expressions take some 10,000 steps. A million take a tenth of a second.
MAX_STEPS = 1_000_000
# Levels of evaluations inside each other: some 300 calls of functions that are no tail calls.
MAX_DEPTH = 1_000
# The last resort, for what is no step (a regular expression that goes back and forth): the loop waits that long.
MAX_SECONDS = 1.0
# Strings and arrays while evaluating, in bytes and items. AWS lets an expression hold 6,990,256 bytes: it evaluates
# [1..873782], with 8 bytes an item, and no longer range.
MAX_STRING_LENGTH = 6_990_256
MAX_ARRAY_LENGTH = MAX_STRING_LENGTH // 8
# Of a result, in bytes of JSON text: beyond any state's limit, so that States.DataLimitExceeded is what is reported.
MAX_RESULT_SIZE = MAX_STRING_LENGTH

# AWS's texts of exhausted budgets (step functions spec 10); for time and stack, those of the reference implementation.
MEMORY_EXHAUSTED = "Expression evaluation memory limit exceeded: Check for excessive memory usage"
TIME_EXHAUSTED = "Expression evaluation timeout: Check for infinite loop"
STACK_EXHAUSTED = (
    "Stack overflow error: Check for non-terminating recursive function. Consider rewriting as tail-recursive"
)


class EvaluationError(Exception):
    """An expression failed. `message`: AWS's text; `code`: that of JSONata, empty for an exhausted budget."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code

    @property
    def ending(self) -> str:
        """Returns how AWS ends the sentence that names the expression: a code begins a sentence of its own."""
        return f". {self.code}: {self.message}" if self.code else f": {self.message}"


def coded(code: str, message: str) -> EvaluationError:
    return EvaluationError(message, code)


def wrong_argument(function: str, position: int) -> EvaluationError:
    """Returns the error of an argument, counted from 1, that a function does not take."""
    return coded("T0410", f'Argument {position} of function "{function}" does not match function signature')
