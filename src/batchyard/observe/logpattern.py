"""Filter patterns of FilterLogEvents: plain terms (CloudWatch Logs user guide, "Filter pattern syntax").

Space-separated terms must all be in the message, `"a phrase"` is one term, `-term` must not be in it, and of `?a ?b`
one must be. As on AWS, `?` terms count only where no other terms are given, and matching is case-sensitive. Patterns
for JSON (`{ ... }`), for columns (`[ ... ]`) and regular expressions (`%...%`) are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from batchyard.core.model.refusal import Refused

Matches = Callable[[str], bool]

# One term: an optional operator, then a quoted phrase (with \" inside) or a word up to the next space.
TERM = re.compile(r'\s*(?P<operator>[-?]?)(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|(?P<word>[^\s"]+))(?=\s|$)', re.DOTALL)
UNBUILT = {"{": "a JSON pattern", "[": "a space-delimited pattern", "%": "a regular expression"}


def invalid(message: str) -> Refused:
    return Refused(message, code="InvalidParameterException")


def compile_pattern(pattern: str) -> Matches:
    """Returns a function that returns whether a message matches. Raises Refused (InvalidParameterException)."""
    pattern = pattern.strip()
    kind = UNBUILT.get(pattern[:1])
    if kind:
        raise invalid(
            f"Invalid filter pattern: {kind} ({pattern[:1]}...) is not supported here. "
            'Use plain terms: ERROR, "a phrase", -excluded, ?either ?or.'
        )
    required, excluded, optional = _terms(pattern)
    if required or excluded:
        return lambda message: (
            all(term in message for term in required) and not any(term in message for term in excluded)
        )
    if optional:
        return lambda message: any(term in message for term in optional)
    return lambda message: True


def _terms(pattern: str) -> tuple[list[str], list[str], list[str]]:
    required: list[str] = []
    excluded: list[str] = []
    optional: list[str] = []
    position = 0
    while position < len(pattern):
        found = TERM.match(pattern, position)
        if found is None:
            raise invalid(f"Invalid filter pattern: a double quote is not closed in {pattern[position:].strip()!r}.")
        word = found["word"]
        if word is not None and not word.replace("_", "").isalnum():
            raise invalid(
                f"Invalid character(s) in term '{word}'. Put terms that have other characters than letters, digits and "
                "underscores in double quotes."
            )
        term = word if word is not None else re.sub(r"\\(.)", r"\1", found["phrase"], flags=re.DOTALL)
        {"-": excluded, "?": optional}.get(found["operator"], required).append(term)
        position = found.end()
    return required, excluded, optional
