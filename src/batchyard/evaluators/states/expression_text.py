"""The text of a JSONata expression: its marks `{% %}`, and the variables that are written in it."""

from __future__ import annotations

import re
from typing import Any

MARKS = "{%", "%}"
# Where a `$` is no variable: strings, quoted names, comments. A regular expression begins where no operand precedes.
# What is not closed goes to the end of the text, so that each character is looked at once.
_TOKEN = re.compile(
    r"""(?P<skipped>"(?:[^"\\]|\\.)*+(?:"|\Z)|'(?:[^'\\]|\\.)*+(?:'|\Z)|`[^`]*+(?:`|\Z)|/\*.*?(?:\*/|\Z)|\s+)"""
    r"""|(?P<variable>\$(?:\$|[^\W]\w*)?)|(?P<operator>(?:and|or|in)\b)|(?P<operand>\w+|[)\]}])|(?P<slash>/)|(?P<other>.)""",
    re.S,
)
# Names that an expression binds itself: by assignment, as positions or values of a step, as parameters (whose brackets
# have at most 500 characters, since the end of the text may be far).
_BOUND = re.compile(r"\$(\w+)\s*:=|[@#]\s*\$(\w+)|(?:function|λ)\s*\(([^()]{0,500})\)")
_REGEX = re.compile(r"/(?:[^/\\]|\\.)++/[im]*", re.S)


def is_expression(value: Any) -> bool:
    """Whether a value of a definition is an expression: a string that is wholly between the marks."""
    return isinstance(value, str) and len(value) >= 4 and value.startswith(MARKS[0]) and value.endswith(MARKS[1])


def text_of(value: str) -> str:
    """Returns the expression between the marks, as errors print it."""
    return value[2:-2].strip()


def variable_names(text: str) -> list[str]:
    """Returns the names after each `$`, in their order: "" for `$` itself and "$" for `$$`."""
    found: dict[str, None] = {}
    position, follows_operand = 0, False
    while position < len(text):
        token = _TOKEN.match(text, position)
        assert token is not None, "each character is a token"
        position = token.end()
        if token["skipped"] is not None:
            follows_operand = follows_operand if token[0].isspace() or token[0].startswith("/*") else True
        elif token["variable"] is not None:
            found[token[0][1:]] = None
            follows_operand = True
        elif token["slash"] is not None and not follows_operand:
            regex = _REGEX.match(text, token.start())
            position, follows_operand = (regex.end() if regex else position), True
        else:
            follows_operand = token["operand"] is not None
    return list(found)


def bound_names(text: str) -> set[str]:
    """Returns names that the expression gives values to itself, and perhaps some that only look like it."""
    found: set[str] = set()
    for assigned, step, parameters in _BOUND.findall(text):
        found |= {assigned, step} | {name.strip().removeprefix("$") for name in parameters.split(",")}
    return found - {""}
