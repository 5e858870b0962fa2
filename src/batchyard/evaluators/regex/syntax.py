"""Reads regular expressions into nodes: what Java and Python share, without look-around and references back."""

from __future__ import annotations

from typing import NamedTuple, NoReturn

MAX_DEPTH = 30  # of groups within groups
MAX_REPEAT = 1000  # in {n,m}: a repetition is written out for the linear matcher
LAST_CODE_POINT = 0x10FFFF
DIGITS = ((48, 57),)
WORD = ((48, 57), (65, 90), (95, 95), (97, 122))
BLANKS = ((9, 13), (32, 32))
CLASSES = {"d": DIGITS, "w": WORD, "s": BLANKS}
CONTROLS = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "a": 7, "e": 27, "0": 0}
SPECIAL = frozenset(".^$*+?{}[]\\|()")

Ranges = tuple[tuple[int, int], ...]


class InvalidRegex(ValueError):
    """A regular expression that cannot be read, or one of a kind that is not built."""


class Chars(NamedTuple):
    """One character of some ranges of code points."""

    ranges: Ranges

    def matches(self, code: int) -> bool:
        return any(low <= code <= high for low, high in self.ranges)


class Sequence(NamedTuple):
    parts: tuple[Node, ...]


class Either(NamedTuple):
    branches: tuple[Node, ...]


class Repeat(NamedTuple):
    node: Node
    least: int
    most: int | None
    is_greedy: bool


class Group(NamedTuple):
    """What is captured. `number`: from 1 on."""

    node: Node
    number: int


class Edge(NamedTuple):
    """A position: `^`, `$`, `b` or `B`."""

    kind: str


Node = Chars | Sequence | Either | Repeat | Group | Edge


class Parsed(NamedTuple):
    node: Node
    names: tuple[str | None, ...]  # of the groups, in order


def parse_regex(text: str, *, has_groups: bool = True) -> Parsed:
    """Returns the nodes of a regular expression. Raises InvalidRegex. `has_groups`: parentheses are allowed."""
    parser = _Parser(text, has_groups)
    node = parser.either()
    if parser.at < len(text):
        parser.fail("a parenthesis is closed that none opens")
    return Parsed(node, tuple(parser.names))


def inverted(ranges: Ranges) -> Ranges:
    found, start = [], 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    if start <= LAST_CODE_POINT:
        found.append((start, LAST_CODE_POINT))
    return tuple(found)


def ignoring_case(ranges: Ranges) -> Ranges:
    """Returns ranges with the other case of their letters, of ASCII."""
    found = list(ranges)
    for first, last, shift in ((65, 90, 32), (97, 122, -32)):
        for low, high in ranges:
            if max(low, first) <= min(high, last):
                found.append((max(low, first) + shift, min(high, last) + shift))
    return tuple(found)


ANY = inverted(((10, 10),))


class _Parser:
    def __init__(self, text: str, has_groups: bool) -> None:
        self.text = text
        self.has_groups = has_groups
        self.at = 0
        self.depth = 0
        self.names: list[str | None] = []
        self.ignores_case = False
        if has_groups and text.startswith("(?i)"):
            self.ignores_case = True
            self.at = 4

    def fail(self, reason: str) -> NoReturn:
        raise InvalidRegex(f"The regular expression {self.text!r} cannot be used: {reason} (at {self.at}).")

    @property
    def here(self) -> str:
        return self.text[self.at : self.at + 1]

    def either(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"it is nested more than {MAX_DEPTH} deep")
        branches = [self.sequence()]
        while self.here == "|":
            self.at += 1
            branches.append(self.sequence())
        self.depth -= 1
        return branches[0] if len(branches) == 1 else Either(tuple(branches))

    def sequence(self) -> Node:
        parts: list[Node] = []
        while self.here not in ("", "|", ")"):
            parts.append(self.repeated(self.atom()))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def repeated(self, node: Node) -> Node:
        sign = self.here
        if sign not in ("*", "+", "?", "{"):
            return node
        if isinstance(node, Edge):
            self.fail("a position cannot be repeated")
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1), "{": (0, 0)}[sign]
        self.at += 1
        if sign == "{":
            least, most = self.bounds()
        is_greedy = True
        if self.here == "?":
            self.at += 1
            is_greedy = False
        if self.here in ("*", "+", "?", "{"):
            self.fail("a repetition is repeated")
        return Repeat(node, least, most, is_greedy)

    def bounds(self) -> tuple[int, int | None]:
        end = self.text.find("}", self.at)
        low, comma, high = self.text[self.at : max(end, self.at)].partition(",")
        if end < 0 or not (low.isascii() and low.isdigit()) or not (high == "" or (high.isascii() and high.isdigit())):
            self.fail("{ begins {n}, {n,} or {n,m}; as a character it is \\{")
        if max(len(low), len(high)) > 4 or max(int(low), int(high or 0)) > MAX_REPEAT:
            self.fail(f"a repetition is of at most {MAX_REPEAT}")
        self.at = end + 1
        if not comma:
            return int(low), int(low)
        if high and int(high) < int(low):
            self.fail("a repetition ends before it begins")
        return int(low), int(high) if high else None

    def atom(self) -> Node:
        character = self.here
        if character == "(":
            return self.group()
        self.at += 1
        if character == "[":
            return self.chars(self.bracket())
        if character == ".":
            return Chars(ANY)
        if character in "^$":
            return Edge(character)
        if character == "\\":
            if self.here in ("b", "B") and self.here:
                self.at += 1
                return Edge(self.text[self.at - 1])
            return self.chars(self.escape())
        if character in "*+?{":
            self.fail(f"{character} repeats nothing")
        return self.chars(((ord(character), ord(character)),))

    def chars(self, ranges: Ranges) -> Chars:
        return Chars(ignoring_case(ranges) if self.ignores_case else ranges)

    def group(self) -> Node:
        if not self.has_groups:
            self.fail("it has parentheses, which filter patterns do not know; as characters they are \\( and \\)")
        self.at += 1
        name, is_captured = None, True
        if self.here == "?":
            for start in ("?:", "?<", "?P<"):
                if self.text.startswith(start, self.at) and self.text[self.at + 2 : self.at + 3] not in ("=", "!"):
                    self.at += len(start)
                    break
            else:
                self.fail("look-around, flags and other special groups are not built")
            is_captured = start != "?:"
            if is_captured:
                end = self.text.find(">", self.at)
                name = self.text[self.at : max(end, self.at)]
                if not (name.isascii() and name.isidentifier()) or name in self.names:
                    self.fail("the name of a group is no identifier, or there twice")
                self.at = end + 1
        number = 0
        if is_captured:
            self.names.append(name)
            number = len(self.names)
        node = self.either()
        if self.here != ")":
            self.fail("a parenthesis is not closed")
        self.at += 1
        return Group(node, number) if is_captured else Sequence((node,))

    def escape(self) -> Ranges:
        """Returns what an escape stands for; the backslash is behind."""
        character = self.here
        if not character:
            self.fail("it ends with a backslash")
        self.at += 1
        if character.lower() in CLASSES:
            ranges = CLASSES[character.lower()]
            return ranges if character.islower() else inverted(ranges)
        if character in CONTROLS:
            return ((CONTROLS[character], CONTROLS[character]),)
        if character in "xu":
            digits = self.text[self.at : self.at + (2 if character == "x" else 4)]
            try:
                code = int(digits, 16)
            except ValueError:
                self.fail(f"\\{character} wants hexadecimal digits")
            self.at += len(digits)
            return ((code, code),)
        if character.isascii() and character.isalnum():
            self.fail(f"\\{character} is not built")
        return ((ord(character), ord(character)),)

    def bracket(self) -> Ranges:
        """Returns the ranges of a class; its bracket is behind."""
        is_inverted = self.here == "^"
        self.at += is_inverted
        found: list[tuple[int, int]] = []
        is_first = True
        while is_first or self.here != "]":
            is_first = False
            if not self.here:
                self.fail("a bracket is not closed")
            low = self.member()
            if self.here == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.member()
                if len(low) != 1 or len(high) != 1 or low[0][0] > high[0][1]:
                    self.fail("a range of characters ends before it begins")
                low = ((low[0][0], high[0][1]),)
            found += low
        self.at += 1
        ranges = ignoring_case(tuple(found)) if self.ignores_case else tuple(found)
        return inverted(ranges) if is_inverted else ranges

    def member(self) -> Ranges:
        character = self.here
        self.at += 1
        if character == "\\":
            return self.escape()
        if character == "[":
            self.fail("a class within a class is not built; as a character it is \\[")
        return ((ord(character), ord(character)),)
