"""Records, and commands of queries made at random."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from batchyard.evaluators.insights.aggregates import AGGREGATES
from batchyard.evaluators.insights.functions import FUNCTIONS
from batchyard.evaluators.insights.values import LogRecord

START_MS = 1_795_775_760_123  # 2026-11-27 10:36:00.123
NOW_MS = START_MS + 3_600_000


def record(at: int, message: Any, **more: Any) -> LogRecord:
    text = message if isinstance(message, str) else json.dumps(message)
    return LogRecord(START_MS - 60_000 * at, text, "s", "1:/g", START_MS, f"p{at}", more)


JSON_RECORDS = [
    record(0, {"level": "ERROR", "ms": 120, "user": {"name": "bob"}, "tags": ["x", {"k": 5}], "a-b": 1, "ok": True}),
    record(1, {"level": "INFO", "ms": 10.5, "user": {"name": "eve"}, "code": "404"}),
    record(2, {"level": "ERROR", "ms": 30, "user": {"name": "bob"}, "code": 500, "c.d": {"e.f": 1}}),
    record(6, "plain user=ann took 15ms [ERROR] it broke at 10.0.0.7", jobId="j1"),
    record(7, "plain user=bob took 25ms [INFO] fine"),
]


def called(name: str, inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    _, fewest, most = FUNCTIONS[name]
    return st.lists(inner, min_size=fewest, max_size=min(most, fewest + 2)).map(
        lambda arguments: f"{name}({', '.join(arguments)})"
    )


FIELDS = [
    "level",
    "ms",
    "code",
    "user.name",
    "`a-b`",
    "tags.1.k",
    "nope",
    "@message",
    "@timestamp",
    "@logStream",
    "made",
]
EXPRESSIONS = st.recursive(
    st.sampled_from([*FIELDS, "5", "0", "2.5", "'ERROR'", "''", "'10.0.0.1'", "bin(5m)", "bin(1mo)", "now()"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/%^=<"), inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(inner, st.sampled_from([" and ", " or ", " != ", " >= "]), inner).map(
            lambda parts: f"({''.join(parts)})"
        ),
        st.sampled_from(sorted(FUNCTIONS)).flatmap(lambda name: called(name, inner)),
        inner.map(lambda part: f"(not {part})"),
        inner.map(lambda part: f"({part} like /[a-z]+R|5$/)"),
        inner.map(lambda part: f"({part} not in ['x', 5, level])"),
    ),
    max_leaves=5,
)
AGGREGATED = st.tuples(st.sampled_from(sorted(AGGREGATES)), EXPRESSIONS).map(lambda parts: f"{parts[0]}({parts[1]})")
COMMANDS_READ = st.one_of(
    EXPRESSIONS.map(lambda part: f"fields {part} as made, level"),
    EXPRESSIONS.map(lambda part: f"filter {part}"),
    EXPRESSIONS.map(lambda part: f"sort {part} desc, ms"),
    EXPRESSIONS.map(lambda part: f"dedup {part}"),
    EXPRESSIONS.map(lambda part: f"display {part} as made, ms"),
    EXPRESSIONS.map(lambda part: f"parse concat({part}, '') '*R*' as made, more"),
    EXPRESSIONS.map(lambda part: f"parse concat({part}, '') /(?<made>[a-z]+)(?<more>.)?/"),
    st.tuples(AGGREGATED, EXPRESSIONS).map(
        lambda parts: f"stats {parts[0]} as made, pct(ms, 90), count(*) by {parts[1]}"
    ),
    st.tuples(AGGREGATED, AGGREGATED).map(lambda parts: f"stats {parts[0]} / {parts[1]} as made"),
    EXPRESSIONS.map(lambda part: f"pattern {part}"),
    st.integers(1, 5).map(lambda count: f"limit {count}"),
)
