"""Patterns with `*`, which stands for any number of characters. Matching takes one search a segment, never back."""

from __future__ import annotations

from typing import NamedTuple


class Glob(NamedTuple):
    """What stands between the stars, in order. One segment alone is a text without a star."""

    segments: tuple[str, ...]

    def matches(self, text: str) -> bool:
        first, last = self.segments[0], self.segments[-1]
        if len(self.segments) == 1:
            return text == first
        stop = len(text) - len(last)
        if len(first) > stop or not text.startswith(first) or not text.endswith(last):
            return False
        at = len(first)
        for segment in self.segments[1:-1]:
            found = text.find(segment, at, stop)
            if found < 0:
                return False
            at = found + len(segment)
        return True


def glob_of(text: str) -> Glob:
    """Returns the pattern of a text in which every `*` is a wildcard."""
    return Glob(tuple(text.split("*")))
