"""Regular expressions that take bounded time: by Python's `re` where backtracking cannot take long on a text of that
length, else by a matcher that takes one step a character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from batchyard.evaluators.regex.linear_matcher import LinearMatcher, Spans
from batchyard.evaluators.regex.syntax import (
    LAST_CODE_POINT,
    Chars,
    Edge,
    Either,
    Group,
    Node,
    Repeat,
    Sequence,
    parse_regex,
)

MAX_REGEX_CHARACTERS = 1000
MAX_BACKTRACKING_STEPS = 2e7  # about 0.2 s, in which nothing else of the process runs
NOT_ASCII = 1 << 128  # the bit of a mask that stands for all characters beyond ASCII
INFINITE = float("inf")
MAX_FACTORS = 20  # that depend on the text: beyond it even a short one may take too long


class Regex:
    """A compiled expression. `names`: of its groups, None for those without; `literal`: a text that every match has."""

    def __init__(self, text: str, *, has_groups: bool = True) -> None:
        """Raises InvalidRegex."""
        self.text = text
        node, self.names = parse_regex(text, has_groups=has_groups)
        self.matcher = LinearMatcher(node, len(self.names))
        self._backtracking = re.compile(_source(node))
        self.literal = _literal(node)
        self._cost = _cost(node)
        self._safe_length = self._cost.safe_length()

    def search(self, text: str) -> Spans | None:
        """Returns start and end of the leftmost match and of its groups (-1 for one that took no part)."""
        if self.literal not in text:
            return None
        if self.needs_linear_matcher(text):
            return self.matcher.search(text)
        found = self._backtracking.search(text)
        if found is None:
            return None
        return tuple(edge for number in range(len(self.names) + 1) for edge in found.span(number))

    def groups(self, text: str) -> tuple[str | None, ...] | None:
        """Returns what the groups hold in the leftmost match, None for one that took no part."""
        if self.literal not in text:
            return None
        if not self.needs_linear_matcher(text):
            found = self._backtracking.search(text)
            return None if found is None else found.groups()
        spans = self.matcher.search(text)
        if spans is None:
            return None
        return tuple(
            text[start:end] if start >= 0 else None for start, end in zip(spans[2::2], spans[3::2], strict=True)
        )

    def groups_of(self, texts: Iterable[str]) -> list[tuple[str | None, ...] | None]:
        """Returns groups() of each text."""
        literal, search, safe_length = self.literal, self._backtracking.search, self._safe_length
        return [
            None
            if literal not in text
            else self.groups(text)
            if len(text) > safe_length
            else (found := search(text)) and found.groups()
            for text in texts
        ]

    def found_in(self, text: str) -> bool:
        if self.literal not in text:
            return False
        if self.needs_linear_matcher(text):
            return self.matcher.search(text) is not None
        return self._backtracking.search(text) is not None

    def needs_linear_matcher(self, text: str) -> bool:
        """Whether backtracking could take too long on a text."""
        return len(text) > self._safe_length and self._cost.steps(text) > MAX_BACKTRACKING_STEPS


# -- as Python writes it --


def _source(node: Node) -> str:
    if isinstance(node, Chars):
        if _is_literal(node):
            return re.escape(_text_of(node))
        return f"[{''.join(_range_source(low, high) for low, high in node.ranges)}]" if node.ranges else r"[^\s\S]"
    if isinstance(node, Edge):
        return {"^": r"\A", "$": r"(?=\n?\Z)", "b": r"(?a:\b)", "B": r"(?a:\B)"}[node.kind]
    if isinstance(node, Sequence):
        return "".join(f"(?:{_source(part)})" if isinstance(part, Either) else _source(part) for part in node.parts)
    if isinstance(node, Either):
        return "|".join(_source(branch) for branch in node.branches)
    if isinstance(node, Group):
        return f"({_source(node.node)})"
    inner = _source(node.node)
    if not isinstance(node.node, Chars | Group):
        inner = f"(?:{inner})"
    bounds = f"{{{node.least},{'' if node.most is None else node.most}}}"
    return inner + bounds + ("" if node.is_greedy else "?")


def _range_source(low: int, high: int) -> str:
    return f"\\U{low:08x}-\\U{high:08x}"


# -- what it has to contain --


def _literal(node: Node) -> str:
    """Returns the longest text that every match contains, as far as it is easily seen."""
    best, run = "", ""
    waiting = [node]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, Sequence):
            waiting[:0] = node.parts
        elif isinstance(node, Group):
            waiting.insert(0, node.node)
        elif _is_literal(node):
            run += _text_of(node)
        elif not isinstance(node, Edge):
            best, run = max(best, run, key=len), ""
    return max(best, run, key=len)


# -- what backtracking may cost --


class _Cost(NamedTuple):
    """An upper bound: `ways` that are multiplied; `degree`: how many more grow with the length of the text;
    `literals`: how many more with how often it contains these, each the text that a repetition has to stop before."""

    ways: float = 1.0
    degree: int = 0
    literals: tuple[str, ...] = ()

    def times(self, other: _Cost) -> _Cost:
        return _Cost(self.ways * other.ways, self.degree + other.degree, self.literals + other.literals)

    def safe_length(self) -> float:
        """Returns up to which length no text can take too many steps."""
        factors = self.degree + len(self.literals)
        if self.ways == INFINITE or factors > MAX_FACTORS:
            return -1
        return (MAX_BACKTRACKING_STEPS / self.ways) ** (1 / factors) - 1 if factors else INFINITE

    def steps(self, text: str) -> float:
        if self.ways == INFINITE or self.degree + len(self.literals) > MAX_FACTORS:
            return INFINITE
        steps = self.ways * float(len(text) + 1) ** self.degree
        for literal in self.literals:
            steps *= text.count(literal) + 1
        return steps


def _mask(ranges: tuple[tuple[int, int], ...]) -> int:
    mask = 0
    for low, high in ranges:
        if low < 128:
            mask |= (1 << (min(high, 127) + 1)) - (1 << low)
        if high >= 128 and low <= LAST_CODE_POINT:
            mask |= NOT_ASCII
    return mask


def _first(node: Node) -> tuple[int, bool]:
    """Returns which characters a match may begin with, and whether it may be empty."""
    if isinstance(node, Chars):
        return _mask(node.ranges), False
    if isinstance(node, Edge):
        return 0, True
    if isinstance(node, Group):
        return _first(node.node)
    if isinstance(node, Repeat):
        mask, is_empty = _first(node.node)
        return mask, is_empty or node.least == 0
    parts = node.parts if isinstance(node, Sequence) else node.branches
    mask = 0
    is_empty = isinstance(node, Sequence)
    for part in parts:
        part_mask, part_is_empty = _first(part)
        mask |= part_mask
        if isinstance(node, Sequence):
            if not part_is_empty:
                return mask, False
        else:
            is_empty = is_empty or part_is_empty
    return mask, is_empty


def _cost(node: Node) -> _Cost:
    parts = node.parts if isinstance(node, Sequence) else (node,)
    scan = _Cost(degree=1)  # what a repetition takes before it gives back
    ways = _ways(node, 0, "", is_last=True).times(scan)
    if parts and parts[0] == Edge("^"):
        return ways
    begin = ""
    for part in parts:
        if not _is_literal(part):
            break
        begin += _text_of(part)
    return ways.times(_Cost(literals=(begin,)) if begin else _Cost(degree=1))


def _is_literal(node: Node) -> bool:
    return isinstance(node, Chars) and len(node.ranges) == 1 and node.ranges[0][0] == node.ranges[0][1]


def _text_of(node: Node) -> str:
    assert isinstance(node, Chars)
    return chr(node.ranges[0][0])


def _ways(node: Node, follow: int, literal: str, *, is_last: bool) -> _Cost:
    """Returns in how many ways a node may match at one place. `follow`: the characters that may come after it;
    `literal`: the text that has to; `is_last`: nothing comes after it that may fail."""
    if isinstance(node, Chars | Edge):
        return _Cost()
    if isinstance(node, Group):
        return _ways(node.node, follow, literal, is_last=is_last)
    if isinstance(node, Either):
        found = [_ways(branch, follow, literal, is_last=is_last) for branch in node.branches]
        return _Cost(sum(cost.ways for cost in found), max(cost.degree + len(cost.literals) for cost in found))
    if isinstance(node, Sequence):
        total = _Cost()
        for part in reversed(node.parts):
            total = total.times(_ways(part, follow, literal, is_last=is_last))
            mask, is_empty = _first(part)
            follow = mask | (follow if is_empty else 0)
            literal = _text_of(part) + literal if _is_literal(part) else ""
            is_last = False
        return total
    if not _is_plain(node.node):
        if node.most == 1:
            inner = _ways(node.node, follow, "", is_last=False)
            return inner._replace(ways=inner.ways + 1)
        return _Cost(INFINITE)
    mask, is_empty = _first(node.node)
    if is_empty:
        return _Cost(INFINITE)
    if is_last or not (mask & follow or node.least == node.most):
        return _Cost()  # one way: what it gives back is nothing that could come next
    if node.least == node.most:
        return _Cost()
    if literal and isinstance(node.node, Chars):
        return _Cost(literals=(literal,))
    return _Cost(1.0, 1) if node.most is None else _Cost(float(node.most - node.least + 1))


def _is_plain(node: Node) -> bool:
    """Whether a node matches a text of one length in one way."""
    if isinstance(node, Chars):
        return True
    if isinstance(node, Group):
        return _is_plain(node.node)
    return isinstance(node, Sequence) and bool(node.parts) and all(_is_plain(part) for part in node.parts)
