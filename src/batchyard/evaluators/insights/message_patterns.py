"""The shapes of texts for `pattern`: tokens that differ from text to text become `<*>` (a small Drain)."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_TOKENS = 60  # of a text that are looked at
MAX_SHAPES = 100  # with one number of tokens and one first token; further texts go to the most similar
MAX_ALL_SHAPES = 5000
MIN_SIMILARITY = 0.6  # of tokens that two texts of one shape have in common
VARIABLE = "<*>"
HAS_DIGIT = re.compile(r"\d")
SEVERITY = re.compile(r"\b(FATAL|CRITICAL|ERROR|WARN|INFO|DEBUG|TRACE)", re.IGNORECASE)


class Shape:
    """Texts of one shape, and one of them as a sample."""

    __slots__ = ("count", "sample", "tokens")

    def __init__(self, tokens: list[str], sample: str) -> None:
        self.tokens = tokens
        self.sample = sample
        self.count = 0


class ShapeRow(NamedTuple):
    pattern: str
    samples: int
    ratio: float
    severity: str


class Shapes:
    """All shapes of the texts that came in."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[int, str], list[Shape]] = {}
        self._total = 0
        self._number = 0

    def add(self, text: str) -> None:
        tokens = [VARIABLE if HAS_DIGIT.search(token) else token for token in text.split(None, MAX_TOKENS)]
        self._total += 1
        shape = self._shape_of(tokens, text)
        shape.count += 1
        for at, token in enumerate(shape.tokens):
            if token != tokens[at]:
                shape.tokens[at] = VARIABLE

    def _shape_of(self, tokens: list[str], text: str) -> Shape:
        bucket = (len(tokens), tokens[0] if tokens else "")
        if self._number >= MAX_ALL_SHAPES and bucket not in self._shapes:
            tokens[:1] = [VARIABLE]  # too many different beginnings: the first token says nothing
            bucket = (len(tokens), VARIABLE)
        shapes = self._shapes.setdefault(bucket, [])
        best, most = None, -1
        for shape in shapes:
            common = sum(one == other for one, other in zip(shape.tokens, tokens, strict=True))
            if common > most:
                best, most = shape, common
        if best is not None and (most >= MIN_SIMILARITY * len(tokens) or len(shapes) >= MAX_SHAPES):
            return best
        shape = Shape(list(tokens), text)
        shapes.append(shape)
        self._number += 1
        return shape

    def rows(self) -> list[ShapeRow]:
        """Returns the shapes, the most frequent first."""
        every = [shape for shapes in self._shapes.values() for shape in shapes]
        every.sort(key=lambda shape: -shape.count)
        return [
            ShapeRow(" ".join(shape.tokens), shape.count, shape.count / self._total, severity_of(shape.sample))
            for shape in every
        ]


def severity_of(text: str) -> str:
    found = SEVERITY.search(text)
    return found[1].upper() if found else ""
