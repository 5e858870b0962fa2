"""Errors of the languages in a state machine: faults of an expression, and failures when a state evaluates it."""

from __future__ import annotations

# Error names that evaluations raise (step functions spec 11). Neither RUNTIME nor DATA_LIMIT_EXCEEDED can be caught.
RUNTIME = "States.Runtime"
DATA_LIMIT_EXCEEDED = "States.DataLimitExceeded"
INTRINSIC_FAILURE = "States.IntrinsicFailure"
PARAMETER_PATH_FAILURE = "States.ParameterPathFailure"
RESULT_PATH_MATCH_FAILURE = "States.ResultPathMatchFailure"
NO_CHOICE_MATCHED = "States.NoChoiceMatched"
QUERY_EVALUATION_ERROR = "States.QueryEvaluationError"


class StateError(Exception):
    """The failure of a state when it evaluates its fields.

    `error`: the name that history shows; `cause`: AWS's text without the prefix "An error occurred while executing the
    state ...", which the machine adds; `location`: the path of the field whose JSONata expression failed, else "";
    `aliases`: further names by which retriers and catchers find it.
    """

    def __init__(self, error: str, cause: str, location: str = "", aliases: tuple[str, ...] = ()) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause
        self.location = location
        self.aliases = aliases


class InvalidExpression(Exception):
    """A text that is no expression of its language, found without any data. `message`: what is wrong with it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
