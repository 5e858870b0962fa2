"""Metrics with their pictures, log groups and streams, and queries of Logs Insights."""

import json
from html import unescape
from typing import Any

import pytest

from batchyard.console.charts import amount, chart_of
from batchyard.console.pages import insights
from batchyard.console.pages.insights import bars_of
from batchyard.console.site import PageRequest
from tests.api.service import START_MS
from tests.console.site import VISITOR, Console, header_of, links_of, text_of

HOSTILE = "<img src=x onerror=alert(1)>"
AT_SECONDS = START_MS // 1000


def put(console: Console, name: str, *values: float, **dimensions: str) -> None:
    """Puts a value for each of the last minutes, the newest last."""
    named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    data = [
        {"MetricName": name, "Dimensions": named, "Value": value, "Timestamp": AT_SECONDS - 60 * (len(values) - number)}
        for number, value in enumerate(values)
    ]
    console.client("cloudwatch").put_metric_data(Namespace="App", MetricData=data)


def data_of(page: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(unescape(page.partition('data-chart="')[2].partition('"')[0]))
    return found


def test_without_numbers_the_page_says_how_they_come(console: Console) -> None:
    assert "Nothing is measured yet" in text_of(console.get("metrics"))


def test_a_metric_is_drawn_with_a_line_for_each_of_its_dimensions(console: Console) -> None:
    put(console, "Depth", 1, 2, 30, Queue="hi")
    put(console, "Depth", 5, Queue=HOSTILE)
    put(console, "FailedThings", 1)
    assert "App 2 metrics" in text_of(console.get("metrics"))
    assert "/console/metrics?namespace=App&name=Depth" in links_of(console.get("metrics", namespace="App"))
    page = console.get("metrics", namespace="App", name="Depth", range="1h")
    assert HOSTILE not in page
    lines = data_of(page)["lines"]
    assert [(line["n"], [value for _, value in line["p"]]) for line in lines] == [("hi", [1, 2, 30]), (HOSTILE, [5])]
    assert "Queue=hi 30 1 30 33" in text_of(page)
    assert 'aria-label="Latest: hi 30, ' in page
    one = console.get("metrics", namespace="App", name="Depth", range="1h", dimension="Queue=hi")
    assert [line["n"] for line in data_of(one)["lines"]] == ["hi"]
    summed = console.get("metrics", namespace="App", name="Depth", statistic="Sum", period="3600", range="1d")
    assert 33 in [value for line in data_of(summed)["lines"] for _, value in line["p"]]
    assert "Sum of 1 min" in text_of(console.get("metrics", namespace="App", name="FailedThings", range="1h"))


@pytest.mark.parametrize(
    "query", [{"statistic": "x"}, {"period": "7"}, {"range": "9y"}, {"name": "none"}, {"namespace": "none"}]
)
def test_words_that_are_no_choice_are_passed_over(console: Console, query: dict[str, str]) -> None:
    put(console, "Depth", 1)
    console.get("metrics", **({"namespace": "App", "name": "Depth"} | query))


def test_pictures_hold_their_lines_below_zero_too() -> None:
    drawn = chart_of([("a", "a", {0: -5.0, 3600: 3.0})], 0, 3600, threshold=4)
    assert drawn is not None
    places = [tuple(map(float, place.split())) for place in drawn.lines[0].d[1:].split("L")]
    assert all(drawn.top <= y <= drawn.base for _, y in places)
    assert drawn.threshold is not None
    assert drawn.top <= drawn.threshold < places[1][1] < places[0][1]
    flat = chart_of([("a", "a", {0: 0.0})], 0, 3600)
    assert flat is not None
    assert flat.lines[0].d.startswith(f"M{flat.left}.0 {flat.base}.0")
    assert [amount(value) for value in (0, 0.25, 2500, 25_000, 3e7)] == ["0", "0.25", "2500", "25k", "30M"]


# -- logs --


def write(console: Console, *messages: str, group: str = "/app", stream: str = "web/1") -> None:
    logs = console.client("logs")
    if not any(one["logGroupName"] == group for one in logs.describe_log_groups()["logGroups"]):
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": START_MS - 1000 + number, "message": text} for number, text in enumerate(messages)]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def test_a_group_has_its_streams_and_a_stream_its_lines(console: Console) -> None:
    write(console, "one", HOSTILE, "\x1b[31mred\x1b[0m")
    assert "/console/log-group?name=%2Fapp" in links_of(console.get("log-groups"))
    group = console.get("log-group", name="/app")
    assert "/console/log-stream?group=%2Fapp&stream=web%2F1" in links_of(group)
    page = console.get("log-stream", group="/app", stream="web/1")
    assert HOSTILE in text_of(page)
    assert HOSTILE not in page
    assert '<span class="a31">red</span>' in page
    assert "has no stream whose name begins with x" in text_of(console.get("log-group", name="/app", prefix="x"))
    for query in ({"name": "/none"}, {}):
        assert console.ask(PageRequest("log-group", VISITOR, query=query)).status == 404
    assert console.ask(PageRequest("log-stream", VISITOR, query={"group": "/app", "stream": "x"})).status == 404


def test_a_stream_is_read_on_from_where_its_page_ends(console: Console) -> None:
    write(console, "one")
    page = console.get("log-stream", group="/app", stream="web/1")
    stop = page.partition('data-stop="')[2].partition('"')[0]
    later = [{"timestamp": START_MS, "message": "two"}]
    console.client("logs").put_log_events(logGroupName="/app", logStreamName="web/1", logEvents=later)
    more = text_of(console.get("log-stream", group="/app", stream="web/1", after=stop))
    assert "two" in more
    assert "one" not in more.replace("one line", "")


def test_lines_of_all_streams_are_found_by_a_pattern(console: Console) -> None:
    write(console, "an error here", "fine")
    write(console, "another error", stream="web/2")
    page = console.get("log-group", name="/app", pattern="error")
    assert "2 lines, oldest first" in text_of(page)
    assert "fine" not in text_of(page)
    assert "/console/log-stream?group=%2Fapp&stream=web%2F2" in links_of(page)
    assert "No line of the last 1 day matches none" in text_of(console.get("log-group", name="/app", pattern="none"))


# -- insights --


def test_a_query_is_run_and_its_address_can_be_shared(console: Console) -> None:
    write(console, "a", "b", HOSTILE)
    page = console.get("insights", q="fields @message | sort @message", groups="/app", range="1d")
    assert "3 rows; 3 of 3 lines matched" in text_of(page)
    assert HOSTILE in text_of(page)
    assert HOSTILE not in page
    counted = console.get("insights", q="stats count(*) as lines by bin(1m)", groups="/app", range="1d")
    assert [line["n"] for line in data_of(counted)["lines"]] == ["lines"]
    bars = console.get("insights", q="stats count(*) as lines by @message", groups="/app", range="1d")
    assert 'class="bars"' in bars


def test_what_is_no_query_is_refused_with_the_reason_and_stays_in_its_field(console: Console) -> None:
    found = console.ask(
        PageRequest("insights", VISITOR, query={"q": "fields @message | nonsense", "groups": "/aws/batch/job"})
    )
    assert found.status == 400
    assert 'role="alert"' in found.body.decode()
    assert "fields @message | nonsense</textarea>" in found.body.decode()
    gone = console.ask(PageRequest("insights", VISITOR, query={"q": "fields @message", "id": "gone"}))
    assert gone.status == 400


def test_a_query_that_lasts_has_a_page_that_looks_again(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "WAIT_SECONDS", insights.LOOK_SECONDS)

    async def running(call: Any, request: dict[str, Any]) -> dict[str, Any]:
        return {"status": "Running", "results": [], "statistics": {"recordsScanned": 7.0, "recordsMatched": 0.0}}

    console.handlers["logs", "GetQueryResults"] = running
    write(console, "a")
    sent = console.ask(PageRequest("insights", VISITOR, query={"q": "fields @message", "groups": "/app"}))
    assert sent.status == 303
    assert "&id=" in header_of(sent, "location")
    page = console.get("insights", q="fields @message", groups="/app", id="x")
    assert "It is running: 7 lines were read" in text_of(page)
    assert "data-poll" in page


def test_saved_queries_and_examples_are_links(console: Console) -> None:
    console.client("logs").put_query_definition(name=HOSTILE, queryString="fields @message", logGroupNames=["/app"])
    page = console.get("insights")
    assert HOSTILE not in page
    assert "/console/insights?q=fields+%40message&groups=%2Fapp&range=1d" in links_of(page)


def test_bars_are_made_of_counts_alone() -> None:
    assert [bar.part for bar in bars_of(["a", "n"], [["x", "4"], ["y", "1"]])] == [1000, 250]
    assert bars_of(["a", "n"], [["x", "4"], ["y", "many"]]) == []
    assert bars_of(["a", "n"], [["x", "0"]]) == []
    assert bars_of(["n"], [["4"]]) == []
