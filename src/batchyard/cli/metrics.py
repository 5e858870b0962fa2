"""`batchyard metrics` and `batchyard alarms`: what queues did, drawn in the terminal, and the states of alarms."""

from __future__ import annotations

import math
import shutil
import sys
from typing import NamedTuple

from batchyard.cli.client import BATCH, CLOUDWATCH, Client, ClientError, Document
from batchyard.cli.formats import clock, counted, duration, now_ms, table
from batchyard.cli.terminal_output import print_json, say, shown, tell

BLOCKS = "▁▂▃▄▅▆▇█"
NO_DATA = " "
MINUTE_SECONDS = 60
WIDTH_OF_FILE = 80  # columns where the output is no terminal
MAX_COLUMNS = 240  # of a drawing: wider ones say no more
ROOM_OF_NUMBERS = 36  # columns beside a drawing: the name, the newest and the highest value
GAUGE, ENDED = "JobQueue", "JobQueueName"  # dimensions of gauges, and of AWS's own metrics
HISTORY_SHOWN = 10
ACTION_LISTS = ("AlarmActions", "OKActions", "InsufficientDataActions")
SHORT_STATES = {"INSUFFICIENT_DATA": "NO DATA"}


class Row(NamedTuple):
    """One line of the drawing. `is_time`: values are milliseconds; `is_sum`: the last number is that of all periods."""

    label: str
    metric: str
    dimension: str
    statistic: str
    is_time: bool = False
    is_sum: bool = False


ROWS = (
    Row("pending", "PendingJobCount", GAUGE, "Maximum"),
    Row("runnable", "RunnableJobCount", GAUGE, "Maximum"),
    Row("starting", "StartingJobCount", GAUGE, "Maximum"),
    Row("running", "RunningJobCount", GAUGE, "Maximum"),
    Row("submitted", "JobsSubmitted", ENDED, "Sum", is_sum=True),
    Row("succeeded", "SucceededJobCount", GAUGE, "Sum", is_sum=True),
    Row("failed", "FailedJobCount", GAUGE, "Sum", is_sum=True),
    Row("waited, p95", "JobAttemptRunnableToStartingDuration", ENDED, "p95", is_time=True),
    Row("ran, p50", "JobAttemptExecutionDuration", ENDED, "p50", is_time=True),
    Row("ran, p95", "JobAttemptExecutionDuration", ENDED, "p95", is_time=True),
)


def show_metrics(client: Client, queue: str, span_ms: int, *, as_json: bool) -> int:
    """Draws the metrics of a queue over the last `span_ms`."""
    found = client.call("DescribeJobQueues", {"jobQueues": [queue]}, BATCH)["jobQueues"]
    if not found:
        raise ClientError(f"There is no job queue {queue}. `batchyard queues` lists those there are.")
    name = found[0]["jobQueueName"]
    columns = _columns()
    period = max(1, math.ceil(span_ms / 1000 / MINUTE_SECONDS / columns)) * MINUTE_SECONDS
    end = now_ms() // 1000 // period * period + period
    start = end - max(1, math.ceil(span_ms / 1000 / period)) * period
    series = _series(client, name, start, end, period)
    if as_json:
        rows = [
            {"metric": row.metric, "statistic": row.statistic, "values": [[at, values[at]] for at in sorted(values)]}
            for row, values in zip(ROWS, series, strict=True)
        ]
        print_json({"jobQueue": name, "period": period, "series": rows})
        return 0
    if not any(series):
        tell(f"There are no metrics of {shown(name)} in that time: the first comes a minute after the service started.")
        return 0
    times = range(start, end, period)
    lines = [_line(row, values, times) for row, values in zip(ROWS, series, strict=True)]
    heading = ["", f"{clock(start * 1000)} to {clock(end * 1000)[11:]}, {duration(period * 1000)} a column"]
    say(table([*heading, "NOW/SUM", "HIGHEST"], lines))
    return 0


def _columns() -> int:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH_OF_FILE
    return max(20, min(width - ROOM_OF_NUMBERS, MAX_COLUMNS))


def _series(client: Client, queue: str, start: int, end: int, period: int) -> list[dict[int, float]]:
    """Returns the values by time of each row."""
    queries = [
        {
            "Id": f"r{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/Batch",
                    "MetricName": row.metric,
                    "Dimensions": [{"Name": row.dimension, "Value": queue}],
                },
                "Period": period,
                "Stat": row.statistic,
            },
        }
        for number, row in enumerate(ROWS)
    ]
    request: Document = {"MetricDataQueries": queries, "StartTime": start, "EndTime": end}
    found: dict[str, dict[int, float]] = {query["Id"]: {} for query in queries if isinstance(query["Id"], str)}
    while True:
        answer = client.call("GetMetricData", request, CLOUDWATCH)
        for one in answer["MetricDataResults"]:
            found[one["Id"]] |= dict(zip(map(int, one["Timestamps"]), one["Values"], strict=True))
        if "NextToken" not in answer:
            return list(found.values())
        request["NextToken"] = answer["NextToken"]


def _line(row: Row, values: dict[int, float], times: range) -> list[str]:
    highest = max(values.values(), default=0.0)
    drawn = "".join(_block(values.get(at), highest) for at in times)
    last = sum(values.values()) if row.is_sum else values[max(values)] if values else None
    return [row.label, drawn, _number(row, last), _number(row, highest if values else None)]


def _block(value: float | None, highest: float) -> str:
    if value is None:
        return NO_DATA
    if not value or not highest:
        return BLOCKS[0]
    return BLOCKS[min(len(BLOCKS) - 1, 1 + int(value / highest * (len(BLOCKS) - 2)))]


def _number(row: Row, value: float | None) -> str:
    if value is None:
        return "-"
    return duration(round(value)) if row.is_time else f"{value:,.0f}"


# -- alarms --


def show_alarms(client: Client, *, as_json: bool) -> int:
    """Lists all alarms, those in ALARM first."""
    alarms = _alarms(client)
    if as_json:
        print_json(alarms)
        return 0
    if not alarms:
        tell("There are no alarms. docs/how-to/metrics-and-alarms.md has some that are worth having.")
        return 0
    rows = [
        [_state(alarm), shown(alarm["AlarmName"]), _since(alarm), _watches(alarm), shown(alarm["StateReason"])]
        for alarm in sorted(alarms, key=lambda one: (one["StateValue"] != "ALARM", one["AlarmName"]))
    ]
    say(table(["STATE", "NAME", "SINCE", "WATCHES", "REASON"], rows))
    return 0


def show_alarm(client: Client, name: str, *, as_json: bool) -> int:
    """Shows one alarm: its state, and what happened to it last."""
    alarm = next((one for one in _alarms(client) if one["AlarmName"] == name), None)
    if alarm is None:
        raise ClientError(f"There is no alarm {name}. `batchyard alarms` lists those there are.")
    request = {"AlarmName": name, "MaxRecords": HISTORY_SHOWN}
    history = client.call("DescribeAlarmHistory", request, CLOUDWATCH)["AlarmHistoryItems"]
    if as_json:
        print_json(alarm | {"History": history})
        return 0
    say(f"{shown(name)}: {_state(alarm)} for {_since(alarm)}. {shown(alarm['StateReason'])}")
    say(f"It watches {_watches(alarm)}" + ("." if alarm["ActionsEnabled"] else "; its actions are disabled."))
    actions = [action for member in ACTION_LISTS for action in alarm[member]]
    if actions:
        say(f"{counted(len(actions), 'action')}: {', '.join(map(shown, actions))}")
    rows = [[clock(round(item["Timestamp"] * 1000)), shown(item["HistorySummary"])] for item in history]
    say("\n" + table(["TIME", "WHAT"], rows))
    return 0


def _alarms(client: Client) -> list[Document]:
    request: Document = {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"], "MaxRecords": 100}
    found: list[Document] = []
    while True:
        answer = client.call("DescribeAlarms", request, CLOUDWATCH)
        found += answer["MetricAlarms"] + answer["CompositeAlarms"]
        if "NextToken" not in answer:
            return found
        request["NextToken"] = answer["NextToken"]


def _state(alarm: Document) -> str:
    state: str = alarm["StateValue"]
    return SHORT_STATES.get(state, state)


def _since(alarm: Document) -> str:
    return duration(now_ms() - round(alarm["StateTransitionedTimestamp"] * 1000))


def _watches(alarm: Document) -> str:
    if "AlarmRule" in alarm:
        return shown(alarm["AlarmRule"])
    if "Metrics" in alarm:
        return "metric math"
    dimensions = ", ".join(one["Value"] for one in alarm["Dimensions"])
    return shown(alarm["MetricName"] + (f" of {dimensions}" if dimensions else ""))
