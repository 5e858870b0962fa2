"""What EC2's Describe operations have in common: ids, filters, pages, DryRun (EC2 API reference)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from batchyard.api.checks import quoted
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

Values = Callable[[Document], list[str]]  # returns the values of a thing that a filter compares
Check = Callable[[Document], bool]

MIN_PAGE = 5  # EC2 API reference: MaxResults
MAX_FILTER_VALUES = 200  # of one filter, as on EC2
MAX_FILTERS = 50  # of one request, as on EC2
MAX_VALUE_CHARACTERS = 1024  # more than any id, name or tag: each is compared with each thing, letter by letter
TAG_FILTER = "tag:"
ANY_TEXT, ANY_LETTER = "**", "??"  # what `*` and `?` in a filter's value become; no letter is equal to these


def check_alone(request: Document, members: Sequence[str], called: Mapping[str, str] | None = None) -> None:
    """Refuses a list of ids or names together with paging members. `called`: EC2's name of a member in its refusal."""
    for member in members:
        if request.get(member) and request.get("MaxResults") is not None:
            name = (called or {}).get(member, member)
            page = "maxResults" if called else "MaxResults"
            raise Refused(
                f"The parameter {name} cannot be used with the parameter {page}", "InvalidParameterCombination"
            )


def select(
    request: Document, things: Mapping[str, Document], served: Mapping[str, Values], most: int
) -> tuple[list[Document], Document]:
    """Returns the things (by id) of one page that pass every filter, in the order of their ids, and the NextToken
    member, empty on the last page, which names the last thing shown. `most`: the size of a page."""
    limit, after = _page_size(request, most), str(request.get("NextToken") or "")
    checks = checks_of(request.get("Filters", []), served)
    if request.get("DryRun"):
        raise Refused("Request would have succeeded, but DryRun flag is set.", "DryRunOperation")
    passed = [name for name in sorted(things) if name > after and all(check(things[name]) for check in checks)]
    token = {"NextToken": passed[limit - 1]} if len(passed) > limit else {}
    return [things[name] for name in passed[:limit]], token


def _page_size(request: Document, most: int) -> int:
    wanted = request.get("MaxResults")
    if wanted is None:
        return most
    if not MIN_PAGE <= wanted <= most:
        raise Refused(f"MaxResults must be between {MIN_PAGE} and {most}, got {wanted}.", "InvalidParameterValue")
    return int(wanted)


def checks_of(documents: Sequence[Document], served: Mapping[str, Values]) -> list[Check]:
    """Returns the checks of a request's filters."""
    if len(documents) > MAX_FILTERS:
        raise Refused(
            f"A request must have at most {MAX_FILTERS} filters, got {len(documents)}.", "FilterLimitExceeded"
        )
    return [check_of(each, served) for each in documents]


def check_of(document: Document, served: Mapping[str, Values]) -> Check:
    """Returns the check of one filter, which must be one of those `served`. Values may contain `*` and `?`; a
    backslash escapes them."""
    name, values = document.get("Name", ""), document.get("Values", [])
    if len(values) > MAX_FILTER_VALUES:
        raise Refused(
            f"The filter '{quoted(name)}' must have at most {MAX_FILTER_VALUES} values, got {len(values)}.",
            "FilterLimitExceeded",
        )
    longest = max(map(len, values), default=0)
    if longest > MAX_VALUE_CHARACTERS:
        raise Refused(
            f"Values of filter '{quoted(name)}' must have at most {MAX_VALUE_CHARACTERS} characters, got {longest}.",
            "InvalidParameterValue",
        )
    patterns = [pattern_of(value) for value in values]
    if name.startswith(TAG_FILTER):
        key = name.removeprefix(TAG_FILTER)
        return lambda thing: _matches(patterns, [tag["Value"] for tag in thing.get("Tags", []) if tag["Key"] == key])
    read = served.get(name)
    if read is None:
        known = ", ".join([*served, "tag:<key>"])
        raise Refused(f"The filter '{quoted(name)}' is invalid: served are {known}.", "InvalidParameterValue")
    return lambda thing: _matches(patterns, read(thing))


def _matches(patterns: list[list[str]], values: list[str]) -> bool:
    return any(fits(pattern, value) for pattern in patterns for value in values)


def pattern_of(value: str) -> list[str]:
    """Parses a pattern to one entry for each letter: ANY_LETTER, ANY_TEXT, or the letter itself."""
    parts: list[str] = []
    letters = iter(value)
    for letter in letters:
        if letter == "\\":
            parts += [next(letters, "\\")]
        else:
            parts += [{"*": ANY_TEXT, "?": ANY_LETTER}.get(letter, letter)]
    return parts


def fits(pattern: list[str], text: str) -> bool:
    """Whether a text matches a pattern. Does not recurse, and takes at most the product of the lengths in time,
    whatever the pattern: only the last star that was passed may take more letters."""
    at = mark = 0
    star = -1
    i = 0
    while i < len(text):
        if at < len(pattern) and pattern[at] == ANY_TEXT:
            star, mark = at, i
            at += 1
        elif at < len(pattern) and pattern[at] in (ANY_LETTER, text[i]):
            at, i = at + 1, i + 1
        elif star >= 0:
            mark += 1
            at, i = star + 1, mark
        else:
            return False
    return all(part == ANY_TEXT for part in pattern[at:])
