"""Random values of a scope are derived from its seed."""

from __future__ import annotations

import uuid

from batchyard.evaluators.states.scope import Scope


def drawn(scope: Scope) -> tuple[str, float, str, float]:
    return scope.random_uuid(), scope.random_fraction(), scope.random_uuid(), scope.random_fraction()


def test_a_seed_gives_the_same_values_again_and_each_draw_differs() -> None:
    first = drawn(Scope(seed="arn/7"))
    assert first == drawn(Scope(seed="arn/7", document={"other": 1}, now_ms=5))
    assert first != drawn(Scope(seed="arn/8"))
    assert len({*first}) == 4
    assert uuid.UUID(first[0]).version == 4
    assert 0 <= first[1] < 1


def test_a_scope_with_another_document_goes_on_in_the_same_sequence() -> None:
    scope = Scope({"a": 1}, {"Execution": {}}, {"x": 2}, "seed", 9)
    other = scope.with_document([3])
    assert (other.document, other.context, other.variables, other.now_ms) == ([3], {"Execution": {}}, {"x": 2}, 9)
    first, second = other.random_uuid(), scope.random_uuid()
    alone = Scope(seed="seed")
    assert [first, second] == [alone.random_uuid(), alone.random_uuid()]
