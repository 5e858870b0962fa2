"""Patterns with `*`, against the plainest definition of what they match."""

from __future__ import annotations

from typing import SupportsIndex

from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.glob import Glob, glob_of


def matches(pattern: str, text: str) -> bool:
    """By the definition: tries every length for each star."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(matches(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and text[0] == pattern[0] and matches(pattern[1:], text[1:])


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_it_matches_what_the_definition_matches(pattern: str, text: str) -> None:
    assert glob_of(pattern).matches(text) is matches(pattern, text)


@given(st.lists(st.text("ab", max_size=3), min_size=1, max_size=5), st.text("ab", max_size=2))
def test_it_matches_what_it_was_filled_with(segments: list[str], filling: str) -> None:
    assert Glob(tuple(segments)).matches(filling.join(segments))


class CountedText(str):
    """Counts the searches in it."""

    searches = 0

    def find(self, sought: str, start: SupportsIndex | None = None, stop: SupportsIndex | None = None, /) -> int:
        CountedText.searches += 1
        return super().find(sought, start, stop)


def test_a_segment_takes_one_search() -> None:
    CountedText.searches = 0
    text = CountedText("a" * 10_000)
    assert not glob_of("*a" * 500 + "*b*").matches(text)
    assert CountedText.searches == 501
