"""Regular expressions: the same matches by both ways, and bounded work."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.regex.regex import Regex
from batchyard.evaluators.regex.syntax import InvalidRegex

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "\\d", "\\w", "\\s", "^", "$", "\\b", " "])
REPEATS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?", "??"])
REGEXES = st.recursive(
    st.tuples(ATOMS, REPEATS).map(lambda parts: parts[0] if parts[0] in "^$\\b" else "".join(parts)),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        st.tuples(inner, REPEATS).map(lambda parts: f"({parts[0]}){parts[1]}"),
        inner.map(lambda part: f"(?:{part})"),
    ),
    max_leaves=6,
)
TEXTS = st.text("aab1 \n_-", max_size=8)


def has_repeated_empty(text: str) -> bool:
    """Whether something that may be empty is repeated: there engines differ in what its groups hold."""
    return any(
        re.fullmatch(f"(?:{part})", "") is not None or re.fullmatch(f"(?:{without_edges(part)})", "") is not None
        for start in range(len(text))
        if text[start] == "("
        for part in [inside(text, start)]
        if text[start + len(part) :][:1] in ("*", "+", "{", "?")
    )


def without_edges(part: str) -> str:
    """An expression without what matches places alone: the edges of words, lines and texts."""
    return part.replace("\\b", "").replace("^", "").replace("$", "")


def inside(text: str, start: int) -> str:
    """The group that begins at a parenthesis."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return text[start : at + 1]
    raise AssertionError(text)


@given(REGEXES, TEXTS)
def test_the_linear_matcher_finds_what_backtracking_finds(source: str, text: str) -> None:
    regex = Regex(source)
    found = regex.matcher.search(text)
    expected = re.search(source.replace("\\d", "[0-9]"), text, re.ASCII)
    assert (found is None) is (expected is None)
    assert regex.found_in(text) is (expected is not None)
    if found is not None and expected is not None and not has_repeated_empty(source):
        spans = tuple(edge for number in range(len(regex.names) + 1) for edge in expected.span(number))
        assert found == spans
        assert regex.search(text) == spans


@pytest.mark.parametrize(
    ("source", "text", "groups"),
    [
        (r"user=(?<user>\w+) took (?<ms>\d+)", "a user=bob took 15ms", ["bob", "15"]),
        (r"(?P<x>a+?)(b*)", "aabb", ["a", ""]),
        (r"\[(?<level>[A-Z]+)\] (.*)", "x [ERROR] it", ["ERROR", "it"]),
        (r"(?i)error: (\w+)", "ERROR: x", ["x"]),
        (r"(a)|(b)", "b", [None, "b"]),
        (r"\x41\u0042\t", "AB\t", []),
        (r"[\]\-a-c]+(.)", "]-ab1", ["1"]),
        (r"é+(.)", "éé!", ["!"]),
        (r"end$", "the end\n", []),
    ],
)
def test_groups(source: str, text: str, groups: list[str | None]) -> None:
    regex = Regex(source)
    for spans in (regex.search(text), regex.matcher.search(text)):
        assert spans is not None
        found = [text[at:end] if at >= 0 else None for at, end in zip(spans[2::2], spans[3::2], strict=True)]
        assert found == groups
    assert regex.groups(text) == tuple(groups)
    assert regex.groups("\x00") is None


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("(a", "a parenthesis is not closed"),
        ("a)", "a parenthesis is closed that none opens"),
        ("[a", "a bracket is not closed"),
        ("*a", "* repeats nothing"),
        ("a**", "a repetition is repeated"),
        ("a{", "{ begins {n}"),
        ("a{2000}", "a repetition is of at most 1000"),
        ("a{3,2}", "ends before it begins"),
        ("[b-a]", "ends before it begins"),
        ("a\\", "it ends with a backslash"),
        ("(?=a)", "look-around"),
        ("(?<=a)", "look-around"),
        (r"(a)\1", r"\1 is not built"),
        (r"\p{L}", r"\p is not built"),
        ("(?<1>a)", "no identifier"),
        ("(?<a>a)(?<a>b)", "no identifier, or there twice"),
        ("(" * 40 + ")" * 40, "nested more than 30 deep"),
        ("((a{100}){100}){100}", "too large"),
    ],
)
def test_refused(source: str, sentence: str) -> None:
    with pytest.raises(InvalidRegex, match=re.escape(sentence)):
        Regex(source)


def test_nothing_may_be_repeated_without_end() -> None:
    source = "a" + "(?:" * 20 + "){1000}" * 20
    assert len(Regex(source).matcher.program) == 2
    assert Regex(source).found_in("ba")


def test_filter_patterns_have_no_groups() -> None:
    assert Regex("a|b+", has_groups=False).found_in("xb")
    with pytest.raises(InvalidRegex, match="parentheses"):
        Regex("(a)", has_groups=False)


@pytest.mark.parametrize(
    "source", ["(a+)+$", "(a|a)*b", "(a|aa)+$", "a?" * 30 + "a" * 30, ".*.*.*.*=", "(.*)*x", "(a*)*b", "(x+x+)+y"]
)
def test_what_would_take_exponential_time_takes_linear_steps(source: str) -> None:
    regex = Regex(source)
    text = "a" * 5000 + "!"
    assert regex.needs_linear_matcher(text)
    before = regex.matcher.steps
    regex.matcher.search(text)
    assert regex.matcher.steps - before <= len(regex.matcher.program) * (len(text) + 1)
    assert regex.found_in(text) is (source == "a?" * 30 + "a" * 30)


@pytest.mark.parametrize(
    "source", [r"level=(\w+) ", r"^\S+ (\d+)", r"user=(?<user>\w+).*took (?<ms>\d+)", "ERROR|WARN"]
)
def test_ordinary_expressions_on_ordinary_lines_are_left_to_re(source: str) -> None:
    line = "2026-11-27 10:36:00 level=INFO user=bob GET /a/b/c?x=1 took 15 ms " * 5
    assert not Regex(source).needs_linear_matcher(line)


@given(st.text("ab()[]{}*+?|\\^$.,-12<>:", max_size=12), TEXTS)
def test_any_text_is_an_expression_or_refused(source: str, text: str) -> None:
    try:
        regex = Regex(source)
    except InvalidRegex:
        return
    assert regex.found_in(text) is (regex.matcher.search(text) is not None)
