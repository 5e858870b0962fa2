"""Filter patterns: which messages a pattern of plain terms matches, and which patterns are refused."""

import pytest

from batchyard.core.model.refusal import Refused
from batchyard.observe.logpattern import compile_pattern


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
    ],
)
def test_matching(pattern: str, message: str, matches: bool) -> None:
    assert compile_pattern(pattern)(message) is matches


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ('{ $.level = "ERROR" }', "a JSON pattern"),
        ("[ip, user, status=404]", "a space-delimited pattern"),
        ("%ERR.*%", "a regular expression"),
        ('"never closed', "a double quote is not closed in '\"never closed'"),
        ("file.txt", "Invalid character(s) in term 'file.txt'"),
        ("ERROR a-b", "Invalid character(s) in term 'a-b'"),
        ("-", "Invalid character(s) in term '-'"),
    ],
)
def test_refused_by_name(pattern: str, sentence: str) -> None:
    with pytest.raises(Refused) as refusal:
        compile_pattern(pattern)
    assert refusal.value.code == "InvalidParameterException"
    assert sentence in refusal.value.message
