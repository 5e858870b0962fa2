"""Rewords AWS's refusals for users: the texts of its validators explain neither patterns nor remedies.

The service answers in AWS's own texts, which clients compare; here they are reworded for the user of a command.
"""

from __future__ import annotations

import re

VALIDATION = re.compile(r"\A\d+ validation errors? detected: ")
CONSTRAINT = re.compile(r"Value (?P<value>.*?) at '(?P<path>[^']*)' failed to satisfy constraint: (?P<rule>[^;]*)")
NULL_RULE = "Member must not be null"
MEMBER = re.compile(r"\bMember must ")
PATTERN = re.compile(r"(?P<subject>[A-Za-z ]+?) (name )?should match (a )?valid pattern\.?")
BOUNDS = (
    ("have length less than or equal to ", "have at most {} characters or entries"),
    ("have length greater than or equal to ", "have at least {} characters or entries"),
    ("have value less than or equal to ", "be {} at most"),
    ("have value greater than or equal to ", "be {} at least"),
    ("satisfy enum value set: ", "be one of {}"),
    ("satisfy regular expression pattern: ", "match the pattern {}"),
)
NAMES = "may hold letters, digits, - and _, and have 1 to 128 characters"
PATTERNS = {
    "Job": f"{NAMES}, the first a letter or digit",
    "ShareIdentifier": "may hold letters, digits, - and _, and have 1 to 255 characters",
}


def in_words(message: str) -> str:
    """Returns `message` with a validator's wording replaced by plain words."""
    text = CONSTRAINT.sub(_constraint, VALIDATION.sub("", message))
    text = PATTERN.sub(_pattern, text)
    return _bounds(MEMBER.sub("must ", text))


def _constraint(found: re.Match[str]) -> str:
    if found["rule"].startswith(NULL_RULE):
        return f"{found['path']} is missing."
    return f"{found['path']} {found['rule'].replace('Member must', 'must')} (it is {found['value']})"


def _pattern(found: re.Match[str]) -> str:
    subject = found["subject"].strip()
    kind = subject.removesuffix(" name")
    return f"{subject if subject != kind else f'{kind} name'}: it {PATTERNS.get(kind, NAMES)}."


def _bounds(text: str) -> str:
    for said, plain in BOUNDS:
        text = re.sub(rf"must {said}(\[[^\]]*\]|[^\s,;)]+)", lambda found, p=plain: "must " + p.format(found[1]), text)  # type: ignore[misc]
    return text
