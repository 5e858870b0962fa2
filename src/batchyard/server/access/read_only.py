"""Which operations a read-only access key may call."""

from __future__ import annotations

# How the names of operations begin that change nothing. StartQuery and StartLiveTail read logs.
READING_VERBS = (
    "BatchGet",
    "Describe",
    "Discover",
    "Explain",
    "Filter",
    "Forecast",
    "Get",
    "List",
    "Lookup",
    "StartLiveTail",
    "StartQuery",
)
READING_OTHERS = frozenset(
    {
        "StopQuery",
        "TestEventPattern",
        "TestMetricFilter",
        "SimulatePrincipalPolicy",
        "ValidateStateMachineDefinition",
    }
)
TAKING = frozenset({"GetActivityTask"})  # a worker takes the task: another one does not get it
# They return values that are meant for jobs alone.
SECRET = frozenset({"GetSecretValue", "BatchGetSecretValue", "GetRandomPassword"})
PARAMETERS = ("GetParameter", "GetParameters", "GetParametersByPath", "GetParameterHistory")


def is_reading(operation: str) -> bool:
    """Whether an operation changes nothing and returns no secret. Values of parameters may be secrets."""
    if operation in SECRET or operation in PARAMETERS or operation in TAKING:
        return False
    return operation.startswith(READING_VERBS) or operation in READING_OTHERS
