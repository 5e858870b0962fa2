"""Filter patterns of CloudWatch Logs (spec 17): terms, JSON and columns.

Space-separated terms must all be in the message, `"a phrase"` is one term, `%a.*b%` a regular expression, `-term` must
not be in it, and of `?a ?b` one must be. As on AWS, `?` terms count only where no other terms are given, and matching
is case-sensitive. `{ ... }` is a pattern for JSON, `[ ... ]` one for columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from batchyard.evaluators.logs.column_filter import ColumnFilter
from batchyard.evaluators.logs.filter_tokens import MAX_REGEXES, compile_term_regex, fail
from batchyard.evaluators.logs.json_filter import JsonFilter, parse_message, parse_selector, scalar_text, selected

Matches = Callable[[str], bool]

# One term: an optional operator, then a quoted phrase (with \" inside), a regular expression or a word.
TERM = re.compile(
    r'\s*(?P<operator>[-?]?)(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|(?P<regex>%(?:[^%\\]|\\.)+%)|(?P<word>[^\s"]+))(?=\s|$)',
    re.DOTALL,
)


class TermFilter:
    """A compiled pattern of terms."""

    def __init__(self, pattern: str) -> None:
        """Raises Refused."""
        self._required, self._excluded, self._optional = _terms(pattern)

    def matches(self, message: str) -> bool:
        if self._required or self._excluded:
            return all(term(message) for term in self._required) and not any(term(message) for term in self._excluded)
        return not self._optional or any(term(message) for term in self._optional)

    def extracted(self, message: str) -> dict[str, str]:
        return {}


FilterPattern = TermFilter | JsonFilter | ColumnFilter


def compile_filter(pattern: str) -> FilterPattern:
    """Returns a compiled pattern, with `matches` and `extracted`. Raises Refused (InvalidParameterException)."""
    pattern = pattern.strip()
    if pattern.startswith("{"):
        return JsonFilter(pattern)
    if pattern.startswith("["):
        return ColumnFilter(pattern)
    return TermFilter("" if pattern == '""' else pattern)


def compile_pattern(pattern: str) -> Matches:
    """Returns a function that returns whether a message matches. Raises Refused (InvalidParameterException)."""
    return compile_filter(pattern).matches


def metric_value(pattern: FilterPattern, selector: str, message: str) -> float | None:
    """Returns what a metric filter counts for a message that matches: the number that `metricValue` is, or the one that
    `$.field` or `$field` finds; None where it finds none."""
    if not selector.startswith("$"):
        return _number(selector)
    if isinstance(pattern, ColumnFilter):
        return _number(pattern.extracted(message).get(selector, ""))
    document = parse_message(message)
    for value in selected(parse_selector(selector), document):
        if not isinstance(value, dict | list | bool) and value is not None:
            return _number(scalar_text(value))
    return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _contains(term: str) -> Matches:
    return lambda message: term in message


def _terms(pattern: str) -> tuple[list[Matches], list[Matches], list[Matches]]:
    required: list[Matches] = []
    excluded: list[Matches] = []
    optional: list[Matches] = []
    position = regexes = 0
    while position < len(pattern):
        found = TERM.match(pattern, position)
        if found is None:
            fail(f"a double quote is not closed in {pattern[position:].strip()!r}")
        word, regex = found["word"], found["regex"]
        term: Matches
        if regex is not None:
            regexes += 1
            if regexes > MAX_REGEXES:
                fail(f"it has more than {MAX_REGEXES} regular expressions")
            term = compile_term_regex(regex).found_in
        elif word is None:
            term = _contains(re.sub(r"\\(.)", r"\1", found["phrase"], flags=re.DOTALL))
        elif word.replace("_", "").isalnum():
            term = _contains(word)
        else:
            _refuse_characters(word)
        {"-": excluded, "?": optional}.get(found["operator"], required).append(term)
        position = found.end()
    return required, excluded, optional


def _refuse_characters(word: str) -> NoReturn:
    fail(
        f"Invalid character(s) in term '{word}'. Put terms that have other characters than letters, digits and "
        "underscores in double quotes"
    )
