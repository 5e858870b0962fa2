"""Queries over batches of records have the rows that they have over one record after the other."""

from __future__ import annotations

import itertools
import json
import math
import os

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchyard.evaluators.insights import sorting
from batchyard.evaluators.insights.batches import Batch, Lines
from batchyard.evaluators.insights.plan import plan_query
from batchyard.evaluators.insights.values import LogRecord
from tests.evaluators.insights.query_grammar import COMMANDS_READ, JSON_RECORDS, NOW_MS, START_MS

BATCH_EXAMPLES = int(os.environ.get("BATCHYARD_QUERY_EXAMPLES", "100"))
BATCHED_COMMANDS = COMMANDS_READ.filter(lambda command: not command.startswith("limit"))
MESSAGES = st.one_of(
    st.sampled_from([one.message for one in JSON_RECORDS]),
    st.tuples(st.sampled_from(["ERROR", "INFO", "5", "\u00c9R"]), st.integers(-3, 3)).map(
        lambda parts: json.dumps({"level": parts[0], "ms": parts[1], "code": str(parts[1] / 2)})
    ),
    st.text("aR5 \u00e9\n", max_size=6),
)


def batch_of(records: list[LogRecord]) -> Batch:
    """The records as they come from one stream; the place of each is its position."""

    def make(at_ms: int, place: int, ingested_ms: int, text: str) -> LogRecord:
        return LogRecord(at_ms, text, "s", "1:/g", ingested_ms, f"p{place}", {"jobId": "j1"})

    times, texts = [one.at_ms for one in records], [one.message for one in records]
    places = [int(one.ptr[1:]) for one in records]
    return Batch(Lines(times, texts, lambda: places, lambda: [START_MS] * len(times)), make)


def are_alike(rows: list[dict[str, str]], others: list[dict[str, str]]) -> bool:
    """Whether rows are equal; sums of floats depend on their order in the last digits."""

    def are_near(one: str, other: str) -> bool:
        try:
            return math.isclose(float(one), float(other), rel_tol=1e-9, abs_tol=1e-3)
        except ValueError:
            return False

    return [list(row) for row in rows] == [list(row) for row in others] and all(
        row[name] == other[name] or are_near(row[name], other[name])
        for row, other in zip(rows, others, strict=True)
        for name in row
    )


@settings(max_examples=BATCH_EXAMPLES)
@given(
    messages=st.lists(MESSAGES, max_size=12),
    commands=st.lists(BATCHED_COMMANDS, max_size=4),
    last=st.sampled_from(["", " | limit 2", " | sort made desc | limit 3", " | stats count(*), max(made) by level"]),
    cuts=st.lists(st.integers(0, 12), max_size=3),
    spare=st.sampled_from([0, 1000]),
)
def test_batches_have_the_rows_of_their_records(
    messages: list[str], commands: list[str], last: str, cuts: list[int], spare: int
) -> None:
    if sum(command.startswith("stats") for command in commands) + ("stats" in last) > 2:
        commands = [command for command in commands if not command.startswith("stats")]
    records = [
        LogRecord(START_MS - 70_000 * at, message, "s", "1:/g", START_MS, f"p{at}", {"jobId": "j1"})
        for at, message in enumerate(messages)
    ]
    plan = plan_query(" | ".join(commands or ["fields level"]) + last, now_ms=NOW_MS)
    one_by_one, in_batches = plan.execution(), plan.execution()
    assume(in_batches.takes_batches)
    for record in records:
        one_by_one.add(record)
    edges = sorted({0, len(records), *(min(cut, len(records)) for cut in cuts)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "SPARE_ROWS", spare)
        for start, stop in itertools.pairwise(edges):
            in_batches.add_batch(batch_of(records[start:stop]))
    assert are_alike(in_batches.rows(), one_by_one.rows()), plan.query
    assert in_batches.statistics == one_by_one.statistics


@pytest.mark.parametrize(
    "text",
    [
        "fields ms - 3 as x, ms / 2 as y, ms * ms + 1 as z, ms ^ 2 % 7 as w, code - 1 as v | sort z desc, x",
        "fields ms / (ms - 10.5) as x | stats sum(x), avg(ms), stddev(ms), max(ms), pct(ms, 50), count(code)",
        "stats sum(ms), count(*), latest(level), earliest(ms), sortsFirst(code), min(code) by user.name, bin(5m)",
        "stats count_distinct(level), count_distinct(@message) by bin(1mo), @logStream",
        "filter level = 'ERROR' and ms >= 30 | stats count(*) by level, ms",
        "filter ms > 10 or not ispresent(ms) | parse @message 'user=* took *ms' as u, took | stats avg(took) by u",
        "parse @message /user=(?<u>[a-z]+) took (?<took>[0-9]+)/ | filter took < 20 | stats max(took), count(*) by u",
        "filter @message not like /E.R/ and strlen(@message) > 3 | stats count(*)",
        "fields toupper(level) as x, concat(level, '-', code) as y | dedup x | sort y",
        "fields @timestamp | sort @timestamp asc | limit 3",
        "filter code in ['404', 500] | pattern @message",
    ],
)
@pytest.mark.parametrize("cut", [1, 3])
def test_each_part_of_the_language_is_alike_in_batches(text: str, cut: int) -> None:
    plan = plan_query(text, now_ms=NOW_MS)
    one_by_one, in_batches = plan.execution(), plan.execution()
    records = [one._replace(fields={"jobId": "j1"}) for one in JSON_RECORDS]
    for record in records:
        one_by_one.add(record)
    for part in (records[:cut], records[cut:]):
        in_batches.add_batch(batch_of(part))
    assert in_batches.rows()
    assert in_batches.rows() == one_by_one.rows()
