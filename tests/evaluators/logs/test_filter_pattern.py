"""Filter patterns: which messages they match, what they extract, and which are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.logs.column_filter import columns_of
from batchyard.evaluators.logs.filter_pattern import compile_filter, compile_pattern, metric_value
from batchyard.evaluators.logs.json_filter import MAX_FOUND, selected


@pytest.mark.parametrize(
    ("pattern", "message", "matches"),
    [
        ("", "anything", True),
        ("   ", "", True),
        ("ERROR", "an ERROR here", True),
        ("ERROR", "an error here", False),
        ("ERROR disk", "disk: ERROR", True),
        ("ERROR disk", "ERROR", False),
        ('"disk full"', "the disk full of it", True),
        ('"disk full"', "full disk", False),
        (r'"say \"hi\""', 'they say "hi"', True),
        ("ERROR -retry", "ERROR at once", True),
        ("ERROR -retry", "ERROR, will retry", False),
        ("-DEBUG", "INFO", True),
        ("-DEBUG", "DEBUG", False),
        ('-"not this"', "not this one", False),
        ("?WARN ?ERROR", "ERROR", True),
        ("?WARN ?ERROR", "INFO", False),
        ('?WARN ?"exit code"', "its exit code", True),
        ("?WARN ERROR", "ERROR alone", True),
        ("?WARN ERROR", "WARN alone", False),
        ("snake_case", "a snake_case b", True),
        ('"{"', "a { b", True),
        ('""', "anything", True),
        ("%ERR[A-Z]*%", "an ERROR", True),
        ("%^ERR%", "an ERROR", False),
        ("%code=[45]\\d\\d% -%retry%", "code=503", True),
        ("%code=[45]\\d\\d% -%retry%", "code=503 retry", False),
        ("?%a+b% ?WARN", "aab", True),
    ],
)
def test_matching(pattern: str, message: str, matches: bool) -> None:
    assert compile_pattern(pattern)(message) is matches


LINE = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("[ip, id, user, ts, request, status, bytes]", True),
        ("[ip, id, user, ts, request, status]", False),
        ("[ip, ...]", True),
        ("[..., bytes]", True),
        ("[ip, ..., status, bytes]", True),
        ("[ip, id, user, ts, request, status, bytes, ...]", True),
        ("[ip, id, user, ts, request, status, bytes, more, ...]", False),
        ("[ip, id, user, ts, request = *.html*, status = 4*, bytes > 1000]", True),
        ("[ip, id, user, ts, request, status = 404, bytes]", True),
        ("[ip, id, user, ts, request, status = 404.0, bytes]", True),
        ("[ip, id, user, ts, request, status != 404, bytes]", False),
        ("[..., status = 5* || status = 4*, bytes <= 1534]", True),
        ("[..., status = 4* && status != 404, bytes]", False),
        ("[..., (status = 5* || status = 4*) && status != 403, bytes]", True),
        ("[ip = 127.0.0.*, id, user = %^f%, ...]", True),
        ('[ip, id, user = "frank", ...]', True),
        ("[ip > 5, ...]", False),
        ("[ts = 10/Oct*, ...]", False),
        ("[ip, id, user, ts = 10/Oct*, ...]", True),
    ],
)
def test_columns(pattern: str, matches: bool) -> None:
    assert compile_pattern(pattern)(LINE) is matches


def test_columns_of_messages() -> None:
    assert columns_of(LINE)[3:5] == ["10/Oct/2000:13:25:15 -0700", "GET /index.html HTTP/1.0"]
    assert columns_of('a  "b [c') == ["a", '"b', "[c"]
    assert columns_of('[a "b c" d] ""e') == ['a "b c" d', "", "e"]
    assert columns_of("") == []


DOCUMENT = {
    "level": "ERROR",
    "ms": 120.5,
    "code": 400,
    "text": "400",
    "ok": True,
    "none": None,
    "a b": {"c": ["x", "y", {"d": 5}]},
    "list": [{"n": 1}, {"n": 2}],
    "ip": "123.123.1.2",
}


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ('{ $.level = "ERROR" }', True),
        ("{ $.level = ERROR }", True),
        ("{$.level=ERR*}", True),
        ('{ $.level = "*R*R" }', True),
        ("{ $.level = ERR }", False),
        ("{ $.level != INFO }", True),
        ("{ $.level = %^E.*R$% }", True),
        ("{ $.level != %^E% }", False),
        ("{ $.ip = 123.123.* }", True),
        ("{ $.ip != 123.123.* }", False),
        ("{ $.ms >= 120.5 && $.code < 4.01e2 }", True),
        ("{ $.ms > 120.5 }", False),
        ("{ $.code = 400 }", True),
        ("{ $.code = 400.0 }", True),
        ("{ $.code != 400 }", False),
        ("{ $.code = 4* }", True),
        ("{ $.text = 400 }", True),
        ("{ $.text > 1 }", False),
        ("{ $.ok IS TRUE }", True),
        ("{ $.ok IS FALSE }", False),
        ("{ $.ok = true }", True),
        ("{ $.none IS NULL }", True),
        ("{ $.absent IS NULL }", False),
        ("{ $.absent NOT EXISTS }", True),
        ("{ $.none EXISTS }", True),
        ("{ $.none NOT EXISTS }", False),
        ("{ $.absent != x }", False),
        ("{ $.list != x }", False),
        ('{ $["a b"].c[0] = x }', True),
        ("{ $['a b'].c[2].d = 5 }", True),
        ("{ $.list[*].n = 2 }", True),
        ("{ $.list[1].n = 1 }", False),
        ("{ $.list[7].n EXISTS }", False),
        ("{ $.code = 1 || $.code = 400 && $.level = ERROR }", True),
        ("{ ($.code = 400 || $.code = 1) && $.level = INFO }", False),
        ("{ $.code = 400 || $.code = 1 && $.level = INFO }", True),
    ],
)
def test_json(pattern: str, matches: bool) -> None:
    assert compile_pattern(pattern)(json.dumps(DOCUMENT)) is matches
    assert not compile_pattern(pattern)("no JSON")
    assert not compile_pattern(pattern)('{"level": "ERROR"')


def test_extracted_values_and_those_of_metrics() -> None:
    pattern = compile_filter("{ $.level = ERROR && $.ms > 1 && $.list EXISTS }")
    message = json.dumps(DOCUMENT)
    assert pattern.extracted(message) == {"$.level": "ERROR", "$.ms": "120.5"}
    assert [metric_value(pattern, selector, message) for selector in ("1", "2.5", "$.ms", "$.text", "$.ok", "$.x")] == [
        1,
        2.5,
        120.5,
        400,
        None,
        None,
    ]
    columns = compile_filter("[ip, ..., status, bytes]")
    assert columns.extracted(LINE) == {"$ip": "127.0.0.1", "$status": "404", "$bytes": "1534"}
    assert [metric_value(columns, selector, LINE) for selector in ("$bytes", "$ip", "$x")] == [1534, None, None]
    assert compile_filter("ERROR").extracted("ERROR") == {}


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ('"never closed', "a double quote is not closed in '\"never closed'"),
        ("file.txt", "Invalid character(s) in term 'file.txt'"),
        ("ERROR a-b", "Invalid character(s) in term 'a-b'"),
        ("-", "Invalid character(s) in term '-'"),
        ("%(a)%", "parentheses"),
        ("%a% %b% %c%", "more than 2 regular expressions"),
        ("{ $.a = }", "a value is expected at '}'"),
        ("{ $.a = 1", "it ends where &&, || or } is expected"),
        ("{ $.a > x }", "> compares with a number, and x is none"),
        ("{ $.a IS 5 }", "IS is followed by NULL, TRUE or FALSE"),
        ("{ $.a }", "one of = != < <= > >= is expected"),
        ("{ a = 5 }", "a selector ($.name) is expected"),
        ("{ $.a = 1 } x", "the end is expected at 'x'"),
        ("{" + "(" * 60 + "$.a = 1" + ")" * 60 + "}", "nested more than 50 deep"),
        ("[a, ..., b, ...]", "... stands in it twice"),
        ("[a, b", "it ends where"),
        ("[a = 1 || b = 2]", "the conditions of one field name a, b"),
        ("[]", "the name of a field is expected at ']'"),
        ("[5 = a]", "the name of a field is expected"),
    ],
)
def test_refused_by_name(pattern: str, sentence: str) -> None:
    with pytest.raises(Refused) as refusal:
        compile_pattern(pattern)
    assert refusal.value.code == "InvalidParameterException"
    assert sentence in refusal.value.message


def test_stars_in_selectors_do_not_multiply_without_end() -> None:
    value: Any = 1
    for _ in range(12):
        value = [value] * 10  # 10 ** 12 values, shared
    assert sum(1 for _ in selected((None,) * 12, value)) <= MAX_FOUND
    assert list(selected((None, 0, 0), [[[5]], [[6]]])) == [5, 6]


WORDS = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "$.a",
    "$.b[0]",
    "=",
    "!=",
    "<",
    "&&",
    "||",
    ",",
    "...",
    "IS",
    "NULL",
    "a",
    "5",
    "%x%",
]


@given(st.lists(st.sampled_from([*WORDS, '"x*"', "NOT", "EXISTS"]), max_size=10), st.text('{}[]"a:5, ', max_size=12))
def test_any_words_are_a_pattern_or_refused(words: list[str], message: str) -> None:
    for pattern in (" ".join(words), "{" + " ".join(words) + "}", "[" + " ".join(words) + "]"):
        try:
            compiled = compile_filter(pattern)
        except Refused:
            continue
        assert compiled.matches(message) in (True, False)
        assert isinstance(compiled.extracted('{"a": 5}'), dict)


@given(st.text(max_size=15), st.text(max_size=15))
def test_any_text_is_a_pattern_or_refused(pattern: str, message: str) -> None:
    try:
        compiled = compile_filter(pattern)
    except Refused:
        return
    assert compiled.matches(message) in (True, False)


@given(st.text('ab" \\', max_size=6), st.text('ab" \\', max_size=10))
def test_a_quoted_phrase_is_looked_for_as_it_is(phrase: str, message: str) -> None:
    quoted = '"' + phrase.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert compile_pattern(quoted)(message) is (phrase in message)
