"""The seam to the library that evaluates JSONata: jlens, or jsonata-python where jlens has no build."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol


class Special(Enum):
    """Results that are no JSON values: nothing at all, and a function."""

    UNDEFINED = "undefined"
    FUNCTION = "function"


UNDEFINED = Special.UNDEFINED


class CompiledText(Protocol):
    """One expression as its library has compiled it."""

    def evaluate(self, bindings: Mapping[str, Any], seed: int, now_ms: int) -> Any:
        """Returns a JSON value or a Special. `bindings`: values and functions by name; `seed`: of $shuffle; `now_ms`:
        what $now and $millis return. Raises EvaluationError, also when the budget is exhausted."""
        ...

    def names_read(self) -> dict[str, Any]:
        """Returns what the expression reads of variables: by name, True for all of it, else a dict of members read."""
        ...

    def context_names(self) -> list[str]:
        """Returns names that the expression looks up in its input document, as far as they are seen before it runs."""
        ...


class Engine(Protocol):
    """Compiles expressions."""

    def compile(self, text: str) -> CompiledText:
        """Raises InvalidExpression with the code and the text of JSONata."""
        ...


def _engine() -> Engine:
    try:
        from batchyard.evaluators.states.jlens_engine import JlensEngine
    except ImportError:  # no build of jlens for this platform
        from batchyard.evaluators.states.jsonata_python_engine import JsonataPythonEngine

        return JsonataPythonEngine()
    return JlensEngine()


ENGINE = _engine()
