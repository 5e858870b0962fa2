"""Queries of Logs Insights, run over records."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.insights import plan as plans
from batchyard.evaluators.insights import sorting
from batchyard.evaluators.insights.aggregates import TooLarge
from batchyard.evaluators.insights.functions import FUNCTIONS
from batchyard.evaluators.insights.nodes import InvalidQuery
from batchyard.evaluators.insights.plan import plan_query, split_by
from batchyard.evaluators.insights.values import MAX_TEXT_CHARACTERS, LogRecord, discovered_fields, record_fields
from tests.evaluators.insights.query_grammar import COMMANDS_READ, JSON_RECORDS, NOW_MS, START_MS, record


def run(text: str, records: list[LogRecord] | None = None, limit: int = 10_000) -> list[dict[str, str]]:
    execution = plan_query(text, now_ms=NOW_MS, limit=limit).execution()
    for one in JSON_RECORDS if records is None else records:
        if not execution.add(one):
            break
    return execution.rows()


def column(text: str, name: str = "x", records: list[LogRecord] | None = None) -> list[str | None]:
    return [row.get(name) for row in run(text, records)]


def value(expression: str) -> str | None:
    return column(f"fields {expression} as x", records=JSON_RECORDS[:1])[0]


# -- rows --


def test_rows_show_time_and_message_with_a_pointer() -> None:
    rows = run("", JSON_RECORDS[3:])
    assert rows[0] == {
        "@timestamp": "2026-11-27 10:30:00.123",
        "@message": "plain user=ann took 15ms [ERROR] it broke at 10.0.0.7",
        "@ptr": "p6",
    }
    assert len(run("", limit=3)) == 3
    assert len(run("limit 2")) == 2


def test_fields_add_up_and_display_chooses() -> None:
    assert list(run("fields level | fields ms as took, @logStream")[0]) == ["level", "took", "@logStream", "@ptr"]
    assert list(run("fields level, ms | display ms")[0]) == ["ms", "@ptr"]
    assert run("fields @log, @ingestionTime, jobId, nope | filter ispresent(jobId)")[0] == {
        "@log": "1:/g",
        "@ingestionTime": "2026-11-27 10:36:00.123",
        "jobId": "j1",
        "@ptr": "p6",
    }


def test_fields_of_json() -> None:
    assert column("fields user.name as x") == ["bob", "eve", "bob", None, None]
    assert value("tags.1.k") == "5"
    assert value("tags") == '["x",{"k":5}]'
    assert value("`a-b`") == "1"
    assert value("ok") == "true"
    assert value("user.name.x") is None
    assert column("fields c.d.e.f as x", records=JSON_RECORDS[2:3]) == ["1"]
    assert discovered_fields(JSON_RECORDS[0].message) == ["level", "ms", "user.name", "tags.0", "tags.1.k", "a-b", "ok"]
    assert len(discovered_fields(json.dumps({"a": list(range(500))}))) == 200


def test_all_fields_of_a_record() -> None:
    found = record_fields(record(0, {"a": {"b": [1.5, True]}, "c.d": None, "@log": "mine"}, jobId="j"))
    assert found == {
        "@message": '{"a": {"b": [1.5, true]}, "c.d": null, "@log": "mine"}',
        "@timestamp": str(START_MS),
        "@logStream": "s",
        "@log": "1:/g",
        "@ingestionTime": str(START_MS),
        "@ptr": "p0",
        "jobId": "j",
        "a.b.0": "1.5",
        "a.b.1": "true",
    }


@pytest.mark.parametrize(
    ("condition", "pointers"),
    [
        ("level = 'ERROR'", "02"),
        ("level != 'ERROR'", "1"),
        ("ms > 20", "02"),
        ("ms >= 10.5 and ms <= 30", "12"),
        ("code = 404", "1"),
        ("code = '404.0'", "1"),
        ("code < 500 or level = 'ERROR' and ms = 120", "01"),
        ("(code < 500 or level = 'ERROR') and ms = 120", "0"),
        ("not level = 'ERROR'", "167"),
        ("level > 5", ""),
        ("level in ['INFO', 'WARN']", "1"),
        ("code not in [404]", "2"),
        ("ms in [10.5, '120']", "01"),
        ("@message like 'plain'", "67"),
        ('@message like "user=bob"', "7"),
        ("@message like /user=(ann|eve)/", "6"),
        ("@message =~ /(?i)error/", "026"),
        ("@message like /ERROR/i", "026"),
        ("@message not like /plain/", "012"),
        ("user.name like 'o'", "02"),
        ("user.name not like 'o'", "1"),
        ("ispresent(code)", "12"),
        ("ok", "0"),
        ("ok = true", "0"),
        ("@timestamp > 1795775700200", "0"),
        ("strcontains(@message, 'took') = 1", "67"),
        ("isempty(level)", "67"),
        ("true", "01267"),
    ],
)
def test_filters(condition: str, pointers: str) -> None:
    assert "".join(row["@ptr"][1:] for row in run(f"filter {condition}")) == pointers


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3 - -1", "10"),
        ("2 ^ 3 ^ 2", "64"),
        ("7 % 4 + 1 / 4", "3.25"),
        ("1 / 3", "0.3333"),
        ("1 / 0", None),
        ("5 % 0", None),
        ("10 ^ 400", None),
        ("(0 - 8) ^ 0.5", None),
        ("ms * 2", "240"),
        ("level + 1", None),
        ("nope + 1", None),
        ("abs(0 - 5)", "5"),
        ("ceil(1.2)", "2"),
        ("floor(1.8)", "1"),
        ("sqrt(16)", "4"),
        ("sqrt(0 - 1)", None),
        ("log(1)", "0"),
        ("log(0)", None),
        ("greatest(1, 5, nope, 3)", "5"),
        ("least(1, 5, '-2')", "-2"),
        ("coalesce(nope, level)", "ERROR"),
        ("isempty('')", "1"),
        ("isblank('  ')", "1"),
        ("isblank(level)", "0"),
        ("concat(level, '-', ms)", "ERROR-120"),
        ("trim('  a ')", "a"),
        ("ltrim('xxay', 'x')", "ay"),
        ("rtrim('axx', 'x')", "a"),
        ("strlen(level)", "5"),
        ("toupper('aé')", "AÉ"),
        ("tolower(level)", "error"),
        ("substr(level, 1)", "RROR"),
        ("substr(level, 1, 2)", "RR"),
        ("substr(level, 9, 2)", ""),
        ("replace(level, 'R', 'rr')", "ErrrrOrr"),
        ("strcontains(level, 'RR')", "1"),
        ("bin(5m)", "2026-11-27 10:35:00.000"),
        ("bin(1h)", "2026-11-27 10:00:00.000"),
        ("bin(1w)", "2026-11-23 00:00:00.000"),
        ("bin(1mo)", "2026-11-01 00:00:00.000"),
        ("bin(1q)", "2026-10-01 00:00:00.000"),
        ("bin(2y)", "2026-01-01 00:00:00.000"),
        ("datefloor(@timestamp, 1d)", "2026-11-27 00:00:00.000"),
        ("dateceil(@timestamp, 1mo)", "2026-12-01 00:00:00.000"),
        ("dateceil(fromMillis(60000), 1m)", "1970-01-01 00:01:00.000"),
        ("datefloor('x', 1d)", None),
        ("fromMillis(1000)", "1970-01-01 00:00:01.000"),
        ("toMillis(@timestamp)", str(START_MS)),
        ("now()", "2026-11-27 11:36:00.123"),
        ("isValidIp('10.0.0.1')", "1"),
        ("isValidIpV6('10.0.0.1')", "0"),
        ("isIpInSubnet('10.1.2.3', '10.0.0.0/8')", "1"),
        ("isIpv4InSubnet('::1', '::/0')", "0"),
        ("ms > 100", "1"),
        ("`no such` = 1", "0"),
    ],
)
def test_expressions(expression: str, expected: str | None) -> None:
    assert value(expression) == expected


# -- parse --


def test_parse_by_a_glob() -> None:
    text = 'parse @message "user=* took *ms [*] *" as who, took, level, rest'
    assert [list(row.values())[2:] for row in run(text, JSON_RECORDS[3:])] == [
        ["ann", "15", "ERROR", "it broke at 10.0.0.7", "p6"],
        ["bob", "25", "INFO", "fine", "p7"],
    ]
    assert column('parse "took *ms" as x') == [None, None, None, "15", "25"]
    assert column('parse user.name "b*" as x')[:3] == ["ob", None, "ob"]
    assert split_by(["", " b", ""], "a b c b") == ["a", " c b"]
    assert split_by(["x", "y"], "x..") is None


def test_parse_by_a_regular_expression() -> None:
    text = r"parse @message /user=(?<who>\w+) took (?<took>\d+)ms(?<more>x)?/ | filter ispresent(took) | fields took"
    assert [(row["who"], row["took"], row.get("more")) for row in run(text)] == [
        ("ann", "15", None),
        ("bob", "25", None),
    ]
    assert column(r"parse /(?<x>\d+)ms/ | filter x > 20") == ["25"]


# -- stats --


def test_stats() -> None:
    assert run("stats count(*) as n, avg(ms), sum(ms) as s, min(ms), max(ms), pct(ms, 50) as p by level") == [
        {"level": "ERROR", "n": "2", "avg(ms)": "75", "s": "150", "min(ms)": "30", "max(ms)": "120", "p": "75"},
        {"level": "INFO", "n": "1", "avg(ms)": "10.5", "s": "10.5", "min(ms)": "10.5", "max(ms)": "10.5", "p": "10.5"},
        {"n": "2"},
    ]
    assert run("stats count(*), count(code), count_distinct(user.name), stddev(ms), max(ms) - min(ms) as spread") == [
        {
            "count(*)": "5",
            "count(code)": "2",
            "count_distinct(user.name)": "2",
            "stddev(ms)": f"{math.sqrt(((120 - 53.5) ** 2 + (10.5 - 53.5) ** 2 + (30 - 53.5) ** 2) / 3):.4f}",
            "spread": "109.5",
        }
    ]
    assert run("stats earliest(level) as e, latest(level) as l, sortsFirst(level) as f, sortsLast(code) as c") == [
        {"e": "ERROR", "l": "ERROR", "f": "ERROR", "c": "500"}
    ]


def test_stats_by_time() -> None:
    assert run("stats count(*) as n by bin(5m) as t | sort t asc") == [
        {"t": "2026-11-27 10:25:00.000", "n": "1"},
        {"t": "2026-11-27 10:30:00.000", "n": "2"},
        {"t": "2026-11-27 10:35:00.000", "n": "2"},
    ]
    assert [row["bin(5m)"][11:16] for row in run("stats count(*) by bin(5m) | sort bin(5m)")] == [
        "10:25",
        "10:30",
        "10:35",
    ]


def test_stats_of_nothing() -> None:
    assert run("stats count(*), sum(ms) as s", []) == [{"count(*)": "0"}]
    assert run("stats count(*) by level", []) == []
    assert run("filter level = 'X' | stats count(*) as n") == [{"n": "0"}]


def test_commands_after_stats() -> None:
    text = "stats count(*) by level | filter `count(*)` > 1 | sort count(*) desc, level | limit 1"
    assert run(text) == [{"level": "ERROR", "count(*)": "2"}]
    assert run("stats count(*) as n by level | stats max(n) as most, count(*) as levels") == [
        {"most": "2", "levels": "3"}
    ]
    assert run("stats sum(ms) / count(*) as mean by level | fields mean * 2 as double | display level, double")[0] == {
        "level": "ERROR",
        "double": "150",
    }


# -- order --


def test_sort() -> None:
    assert column("fields ms as x | sort ms") == ["10.5", "30", "120", None, None]
    assert column("fields ms as x | sort ms desc | limit 2") == ["120", "30"]
    assert [row["@ptr"] for row in run("sort level desc, ms asc")] == ["p1", "p2", "p0", "p6", "p7"]
    many = [record(at % 97, {"n": at}) for at in range(5000)]
    rows = run("fields n | sort n desc | limit 3", many)
    assert [row["n"] for row in rows] == ["4999", "4998", "4997"]


def test_dedup_keeps_the_first_of_each() -> None:
    assert [row["@ptr"] for row in run("dedup level")] == ["p0", "p1", "p6"]
    assert [row["@ptr"] for row in run("sort ms asc | dedup level, user.name")] == ["p1", "p2", "p6"]


def test_patterns_of_messages() -> None:
    records = [record(at, f"ERROR job {at} failed after {at * 7} s on host-{at}") for at in range(6)]
    records += [record(9, "INFO all is well"), record(10, "")]
    assert run("pattern @message", records) == [
        {
            "@pattern": "ERROR job <*> failed after <*> s on <*>",
            "@sampleCount": "6",
            "@ratio": "0.75",
            "@severityLabel": "ERROR",
        },
        {"@pattern": "INFO all is well", "@sampleCount": "1", "@ratio": "0.125", "@severityLabel": "INFO"},
        {"@pattern": "", "@sampleCount": "1", "@ratio": "0.125", "@severityLabel": ""},
    ]


# -- running --


def test_an_execution_is_full_when_no_more_can_change_it() -> None:
    execution = plan_query("filter level = 'ERROR' | limit 2", now_ms=NOW_MS).execution()
    assert [execution.add(one) for one in JSON_RECORDS[:3]] == [True, True, False]
    assert execution.is_full
    assert tuple(execution.statistics) == (2, 3, sum(len(one.message) for one in JSON_RECORDS[:3]))
    counting = plan_query("stats count(*) as n", now_ms=NOW_MS).execution()
    found = []
    for one in JSON_RECORDS[:3]:
        assert counting.add(one)
        found.append(counting.rows()[0]["n"])
    assert found == ["1", "2", "3"], "rows are there while records still come"


def test_texts_that_every_match_has() -> None:
    def texts(text: str) -> set[str]:
        return set(plan_query(text, now_ms=NOW_MS).texts)

    assert texts("filter @message like 'a' and @message like /user=(x|y)/ | filter @message like 'c'") == {
        "a",
        "user=",
        "c",
    }
    assert texts("filter @message like 'a' or @message like 'b'") == set()
    assert texts("filter @message not like 'a' | filter level like 'b'") == set()
    assert texts("stats count(*) as n | filter @message like 'a'") == set()
    assert texts("parse level '*' as `@message` | filter @message like 'a'") == set()


def test_groups_of_a_source() -> None:
    plan = plan_query('SOURCE "/a", "/b" START=1000 END=1999 | filter ms > 1', now_ms=NOW_MS)
    assert plan.groups == ("/a", "/b")


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MAX_COLLECTED_ROWS", 50)
    monkeypatch.setattr(sorting, "MAX_COLLECTED_ROWS", 50)
    many = [record(at, {"n": at}) for at in range(60)]
    for text in ("sort n | dedup n", "dedup n", "sort n | filter n > 1"):
        with pytest.raises(TooLarge):
            run(text, many)
    assert len(run("sort n | limit 3", many)) == 3
    monkeypatch.setattr("batchyard.evaluators.insights.stats.MAX_GROUPS", 50)
    with pytest.raises(TooLarge, match="50 groups"):
        run("stats count(*) by n", many)


def test_texts_do_not_grow_without_end() -> None:
    doubling = " | ".join(["fields concat(x, x) as x"] * 60)
    assert value("replace(@message, '', 'x')") == JSON_RECORDS[0].message
    assert column(f"fields @message as x | {doubling}", records=JSON_RECORDS[:1]) == [""]
    nested = "level"
    for _ in range(12):
        nested = f"replace({nested}, 'R', 'RRRRRRRRRR')"
    found = value(nested)
    assert found is None or len(found) <= MAX_TEXT_CHARACTERS


# -- what cannot be read --


@pytest.mark.parametrize(
    ("text", "sentence", "start"),
    [
        ("nope @message", "'nope' where a command", 0),
        ("fields @message | diff", "The command diff is not built", 18),
        ("fields", "the end where a field, a value or a function is expected", 6),
        ("fields a b", "'b' where | or the end is expected", 9),
        ("filter a =", "the end where a field", 10),
        ("filter a like b", "a text or a /regular expression/ is expected", 14),
        ("filter a like /(/", "a parenthesis is not closed", 14),
        ("filter a like /x", "a regular expression is not closed", 14),
        ("filter a not b", "like or in is expected", 13),
        ("filter (a = 1", "the end where ) is expected", 13),
        ("filter a = 'x", '"\'" where a field', 11),
        ("stats level", "level in stats is no aggregate", 0),
        ("stats nope(a)", "nope(a) in stats is no aggregate", 0),
        ("stats pct(a, 101)", "pct takes a field and a percentage", 6),
        ("stats count(a, b)", "count takes 1 arguments, and has 2", 6),
        ("fields count(*)", "There is no function count here", 7),
        ("fields abs(1, 2)", "abs takes 1 arguments, and has 2", 7),
        ("fields bin(5)", "bin takes a period such as 5m", 7),
        ("fields bin(5x)", "a period such as 30s", 11),
        ("fields bin(0m)", "a period such as 30s", 11),
        ("limit 0", "A limit is from 1 to 100000", 7),
        ("limit x", "a whole number is expected", 6),
        ("parse @message 'a*b*' as x", "parse has 2 wildcards and 1 names", 26),
        ("parse @message /a/", "has no named group", 18),
        ("parse @message 'a*'", "as, and a name for each *", 19),
        ("SOURCE logGroups()", "SOURCE is followed by log groups in quotes", 7),
        ("stats count(*) | stats count(*) | stats count(*)", "at most 2 stats commands", 48),
        ("fields " + "(" * 60 + "1" + ")" * 60, "nested more than 50 deep", 57),
        ("fields 5m", "The period 5m is an argument", 0),
        ("x" * 10_001, "10001 characters, at most 10000", 10_000),
    ],
)
def test_refused(text: str, sentence: str, start: int) -> None:
    with pytest.raises(InvalidQuery) as refusal:
        plan_query(text, now_ms=NOW_MS)
    assert refusal.value.code == "MalformedQueryException"
    assert sentence in refusal.value.message
    assert refusal.value.start == start
    assert refusal.value.start <= refusal.value.end


def test_comments_and_long_chains() -> None:
    assert run("# all of them\nfields level # the level\n| limit 1\n")[0]["level"] == "ERROR"
    assert len(run("filter " + " or ".join(["ms = 1"] * 900) + " or ms = 30")) == 1
    assert value("+".join(["1"] * 2000)) == "2000"


COMMANDS = "fields filter stats sort limit parse display dedup pattern by as and or not like in asc desc"
SIGNS = "| | | ( ) , [ ] = != < + - * / ^ count avg max bin 5m 1 'a*' /a/ @message @timestamp level ms nope.0"
WORDS = [*FUNCTIONS, *COMMANDS.split(), *SIGNS.split()]
QUERIES = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)


@given(QUERIES)
def test_any_words_are_a_query_or_refused(text: str) -> None:
    try:
        execution = plan_query(text, now_ms=NOW_MS).execution()
    except InvalidQuery:
        return
    for one in JSON_RECORDS:
        execution.add(one)
    assert all(isinstance(shown, str) for row in execution.rows() for shown in row.values())


@given(st.lists(COMMANDS_READ, max_size=5))
def test_queries_of_the_grammar_have_rows_of_texts(commands: list[str]) -> None:
    if sum(command.startswith("stats") for command in commands) > 2:
        commands = [command for command in commands if not command.startswith("stats")]
    execution = plan_query(" | ".join(commands), now_ms=NOW_MS).execution()
    for one in JSON_RECORDS:
        execution.add(one)
    first = execution.rows()
    assert all(isinstance(shown, str) for row in first for shown in row.values())
    assert execution.rows() == first, "asking changes nothing"


@given(st.text(max_size=25), st.text(max_size=25))
def test_any_text_is_a_query_or_refused(text: str, message: str) -> None:
    for query in (text, f"fields {text} as x", f"filter {text}", f"parse {text} as a", f"stats {text}"):
        try:
            run(query, [record(0, message)])
        except InvalidQuery:
            continue


@given(st.lists(st.integers(-50, 50) | st.none(), max_size=30))
def test_stats_are_those_of_the_values(values: list[int | None]) -> None:
    records = [record(at, {"n": number} if number is not None else {}) for at, number in enumerate(values)]
    there = [number for number in values if number is not None]
    (row,) = run("stats count(*) as n, count(n) as c, sum(n) as s, min(n) as low, max(n) as high", records)
    assert (row["n"], row["c"]) == (str(len(values)), str(len(there)))
    if there:
        assert (row["s"], row["low"], row["high"]) == (str(sum(there)), str(min(there)), str(max(there)))
    ordered = [row["n"] for row in run("fields n | sort n asc", records) if "n" in row]
    assert ordered == [str(number) for number in sorted(there)]
