"""`batchyard logs query`: asks Logs Insights, waits for the result, and prints it as a table."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

import typer

from batchyard.cli.client import LOGS, Client, ServiceError
from batchyard.cli.formats import counted, now_ms, table
from batchyard.cli.terminal_output import print_json, say, tell

JOBS_GROUP = "/aws/batch/job"  # where jobs without a group of their own write
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.02, 0.5
ACTIVE = ("Scheduled", "Running")
UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
DURATION = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)


def milliseconds(text: str) -> int:
    """Returns a parser of spans of time such as 15m, 3h or 7d."""
    found = DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"must be a number and s, m, h, d or w, such as 3h, not {text!r}.")
    return int(found[1]) * UNITS_MS[found[2]]


def query_logs(client: Client, text: str, groups: Sequence[str], span_ms: int, *, as_json: bool) -> int:
    """Prints the rows of a query over the last `span_ms`. Ctrl-C stops the query."""
    end_ms = now_ms()
    # Lines may be ahead of this machine's clock by what a request takes.
    request = {
        "queryString": text,
        "startTime": max(0, end_ms - span_ms),
        "endTime": end_ms + 1000,
        "logGroupNames": list(groups) or [JOBS_GROUP],
    }
    query_id = client.call("StartQuery", request, LOGS)["queryId"]
    try:
        answer = _wait(client, query_id)
    except KeyboardInterrupt:
        _stop(client, query_id)
        raise
    if as_json:
        print_json(answer)
        return 0
    rows = [{cell["field"]: cell["value"] for cell in row} for row in answer["results"]]
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "@ptr"]
    if rows:
        say(table(columns, [[row.get(name, "") for name in columns] for row in rows]))
    found = answer["statistics"]
    tell(f"{counted(len(rows), 'row')} of {counted(int(found['recordsScanned']), 'line')}.")
    return 0


def _wait(client: Client, query_id: str) -> dict[str, Any]:
    """Returns the answer of a query that has ended, with the results of all pages."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        answer = client.call("GetQueryResults", {"queryId": query_id}, LOGS)
        if answer["status"] not in ACTIVE:
            break
        time.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE_SECONDS)
    page = answer
    while "nextToken" in page:
        page = client.call("GetQueryResults", {"queryId": query_id, "nextToken": page["nextToken"]}, LOGS)
        answer["results"] += page["results"]
    answer.pop("nextToken", None)
    return answer


def _stop(client: Client, query_id: str) -> None:
    try:
        client.call("StopQuery", {"queryId": query_id}, LOGS)
    except ServiceError as refusal:
        if refusal.code != "InvalidParameterException":  # it has ended meanwhile
            raise
