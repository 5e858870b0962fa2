"""Numbers that fields take from the data."""

import pytest

from batchyard.evaluators.states.errors import StateError
from batchyard.evaluators.states.json_paths import compile_path
from batchyard.evaluators.states.path_numbers import integer_at, tolerated_percentage_at
from batchyard.evaluators.states.scope import Scope

PATH = compile_path("$.n")


@pytest.mark.parametrize(("value", "number"), [(1, 1), (2.0, 2), ("1", 1), ("-3", -3)])
def test_integers_and_their_texts_are_taken(value: object, number: int) -> None:
    assert integer_at(PATH, Scope({"n": value}), "MaxConcurrencyPath") == number


@pytest.mark.parametrize(
    ("value", "shown"), [({}, "{}"), ("NoNumber", "NoNumber"), (1.5, "1.5"), ("1e9", "1e9"), (True, "true")]
)
def test_other_values_are_refused_with_awss_text(value: object, shown: str) -> None:
    with pytest.raises(StateError) as refused:
        integer_at(PATH, Scope({"n": value}), "MaxConcurrencyPath")
    text = f'The MaxConcurrencyPath field refers to value "{shown}" which is not a valid integer: $.n'
    assert refused.value.cause == text


def test_percentages_may_have_fractions_and_bounds() -> None:
    assert tolerated_percentage_at(PATH, Scope({"n": "12.5"})) == 12.5
    with pytest.raises(StateError, match="must be between 0 and 100"):
        tolerated_percentage_at(PATH, Scope({"n": 100.1}))
