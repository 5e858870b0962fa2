"""The wait that every other test leans on: it returns the value, and it does fail."""

import pytest

from tests.waiting import until


def test_until_returns_the_first_true_value() -> None:
    values = iter([0, "", None, 7, 8])
    assert until(lambda: next(values), 5) == 7


def test_until_fails_at_the_deadline_and_says_what_was_seen() -> None:
    seen: list[int] = []

    def never() -> bool:
        seen.append(1)
        return False

    with pytest.raises(AssertionError, match=r"still waiting after 0\.01 s for: 2 or more tries"):
        until(never, 0.01, lambda: "2 or more tries" if len(seen) >= 2 else "too few tries")


def test_until_does_not_hide_an_error_in_the_condition() -> None:
    with pytest.raises(ZeroDivisionError):
        until(lambda: 1 // 0, 5)
