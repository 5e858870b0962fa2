"""What `batchyard workflows`, `workflows start`, `history` and `redrive` do."""

from __future__ import annotations

import json
import shutil
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from batchyard.analysis.execution_paths import events_after, path_rows
from batchyard.analysis.state_visits import RUNNING, Event, Visits, details_of
from batchyard.cli.client import STATES, YARD, Client, ClientError
from batchyard.cli.formats import clock, duration, now_ms, table
from batchyard.cli.job_lookup import FINISHED, MAX_DESCRIBE_IDS, describe
from batchyard.cli.terminal_output import print_json, redraw, say, shown, tell
from batchyard.cli.workflow_lookup import (
    answered,
    find_execution,
    machine_arn,
    machines,
    milliseconds,
    newest,
)
from batchyard.cli.workflow_view import Known, is_terminal, lines_of, result_of, where_time_went

SUCCESS = "ExecutionSucceeded"
LOOK_SECONDS = 0.5  # between looks at an execution that is followed
PATIENCE_SECONDS = 60.0  # a follower outlives a restart of the service
ROLE = "arn:aws:iam::123456789012:role/workflows"  # AWS requires one; none is needed here
NO_WORKFLOW = "There is no workflow: batchyard workflows start FILE makes one of a definition in the States Language."
EXPLAINED = 5  # jobs that wait, whose reason is asked for at each look
NOT_STARTED = ("SUBMITTED", "PENDING", "RUNNABLE")
MACHINE_HEADINGS = ("WORKFLOW", "TYPE", "LAST", "STARTED", "TOOK")
EXECUTION_HEADINGS = ("EXECUTION", "STATUS", "STARTED", "TOOK", "REDRIVES")


# -- workflows --


def show_machines(client: Client, pattern: str, limit: int, *, as_json: bool) -> int:
    """Prints state machines, newest first, each with its newest execution. `pattern`: of their names; empty: any;
    `limit`: how many, 0: all."""
    every = [one for one in reversed(machines(client)) if not pattern or fnmatchcase(one["name"], pattern)]
    found = every[: limit or None]
    last = {one["stateMachineArn"]: newest(client, one["stateMachineArn"], 1) for one in found}
    if as_json:
        print_json({"stateMachines": [one | {"executions": last[one["stateMachineArn"]]} for one in found]})
        return 0
    if not found:
        if pattern:
            tell(f"No workflow's name is like {shown(pattern)}.")
        else:
            tell(NO_WORKFLOW)
        return 0
    rows = []
    for one in found:
        executions = last[one["stateMachineArn"]]
        row = _times(executions[0]) if executions else ("-", "-", "-")
        rows.append((one["name"], one["type"], *row))
    say(table(MACHINE_HEADINGS, rows, status_column=2))
    if len(every) > len(found):
        tell(f"{len(every) - len(found)} older ones are not shown: --limit 0 shows all, 'NAME*' those of such names.")
    return 0


def show_executions(client: Client, name: str, limit: int, status: str, *, as_json: bool) -> int:
    """Prints the newest executions of a state machine, by its name or ARN. `limit`: how many, 0: all; `status`: only
    those that have it."""
    found = newest(client, machine_arn(client, name), limit + 1 if limit else 0, status)
    has_more = bool(limit) and len(found) > limit
    found = found[: limit or None]
    if as_json:
        print_json({"executions": found})
        return 0
    if not found:
        tell(f"The workflow {shown(name)} has no executions{f' that are {status}' if status else ''}.")
        return 0
    rows = [(one["name"], *_times(one), str(one.get("redriveCount", 0))) for one in found]
    say(table(EXECUTION_HEADINGS, rows, status_column=1))
    if has_more:
        tell("Older ones are not shown: --limit 0 shows all.")
    return 0


def _times(execution: dict[str, Any]) -> tuple[str, str, str]:
    started = milliseconds(execution["startDate"])
    stopped = milliseconds(execution["stopDate"]) if "stopDate" in execution else now_ms()
    return execution["status"], clock(started), duration(stopped - started)


# -- starting --


class Start(NamedTuple):
    """What `workflows start` was asked: a file with a definition, or the name of a state machine; the input as JSON
    text; names that the caller chose, or empty."""

    source: str
    input: str
    machine: str
    execution: str


def start(client: Client, wanted: Start, *, follows: bool, as_json: bool) -> int:
    """Starts an execution; of a file, after its state machine was made, or changed to it."""
    arn = _prepared(client, wanted)
    request = {"stateMachineArn": arn, "input": wanted.input}
    if wanted.execution:
        request["name"] = wanted.execution
    answer = client.call("StartExecution", request, STATES)
    if not follows:
        if as_json:
            print_json(answer)
        else:
            say(shown(answer["executionArn"]))
        return 0
    return follow(client, answer["executionArn"], as_json=as_json)


def _prepared(client: Client, wanted: Start) -> str:
    """Returns the ARN of the state machine to start."""
    path = Path(wanted.source)
    if not path.is_file():
        if path.suffix or "/" in wanted.source:
            raise ClientError(f"There is no file {wanted.source}.")
        return machine_arn(client, wanted.source)
    try:
        definition = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ClientError(f"The definition {wanted.source} cannot be read: {error}.") from error
    name = wanted.machine or path.name.partition(".")[0]
    for one in machines(client):
        if one["name"] == name:
            changed = {"stateMachineArn": one["stateMachineArn"], "definition": definition}
            client.call("UpdateStateMachine", changed, STATES)
            return str(one["stateMachineArn"])
    made = client.call("CreateStateMachine", {"name": name, "definition": definition, "roleArn": ROLE}, STATES)
    return str(made["stateMachineArn"])


# -- following --


class Followed:
    """One execution that is looked at again and again. `jobs`: of the visits, as DescribeJobs has them."""

    def __init__(self, client: Client, arn: str) -> None:
        self.client, self.arn = client, arn
        self.visits = Visits()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.map_runs: dict[str, dict[str, Any]] = {}  # as DescribeMapRun has them, by ARN

    def look(self) -> list[Event]:
        """Reads what is new; returns the new events."""
        new = answered(self.client, events_after(self.arn, self.visits.last_id))
        for event in new:
            self.visits.add(event)
        wanted = [
            job_id
            for visit in self.visits.all
            for job_id in visit.job_ids
            if self.jobs.get(job_id, {}).get("status") not in FINISHED
        ]
        for start_at in range(0, len(wanted), MAX_DESCRIBE_IDS):
            found = describe(self.client, wanted[start_at : start_at + MAX_DESCRIBE_IDS])
            self.jobs |= {job["jobId"]: job for job in found}
        for job in [job for job in self.jobs.values() if job["status"] in NOT_STARTED][:EXPLAINED]:
            job["why"] = self.client.call("ExplainJob", {"jobId": job["jobId"]}, YARD).get("text", "")
        for arn in {visit.map_run_arn for visit in self.visits.all if visit.map_run_arn}:
            if "stopDate" not in self.map_runs.get(arn, {}):
                self.map_runs[arn] = self.client.call("DescribeMapRun", {"mapRunArn": arn}, STATES)
        return new

    @property
    def known(self) -> Known:
        return Known(self.jobs, self.map_runs)


def follow(client: Client, arn: str, *, as_json: bool) -> int:
    """Draws an execution until it has ended; returns 0 where it succeeded. Ctrl-C ends the drawing alone. JSON: a line
    for each event."""
    client.patience_seconds = PATIENCE_SECONDS
    followed = Followed(client, arn)
    is_live = is_terminal() and not as_json
    while True:
        new = followed.look()
        if as_json:
            for event in new:
                print_json(event, line=True)
        elif is_live:
            redraw(_screen(followed))
        else:
            for event in new:
                _say_event(event)
        if followed.visits.end is not None:
            break
        time.sleep(LOOK_SECONDS)
    if not as_json:
        if not is_live:
            say(result_of(followed.visits))
        say_path(followed)
    return 0 if followed.visits.end["type"] == SUCCESS else 1


def _screen(followed: Followed) -> str:
    """Returns what a terminal shows: the states that fit, the newest last, and how the execution is."""
    height = max(3, shutil.get_terminal_size().lines - 4)
    lines = lines_of(followed.visits, followed.known, now_ms())
    cut = [f"... {len(lines) - height} states before", *lines[-height:]] if len(lines) > height else lines
    end = result_of(followed.visits) or f"{RUNNING} for {duration(now_ms() - followed.visits.started_ms)}"
    return "\n".join([shown(followed.arn), *cut, end])


def _say_event(event: Event) -> None:
    """Prints an event in one line."""
    details = details_of(event)
    about = shown(str(details.get("name") or details.get("resource") or details.get("error") or ""))
    say(f"{clock(milliseconds(event['timestamp']))}  {event['id']:>5}  {event['type']:<24}  {about}".rstrip())


def say_path(followed: Followed) -> None:
    text = where_time_went(answered(followed.client, path_rows(followed.visits)))
    if text:
        say()
        say(text)


# -- history, redrive --


def show_history(client: Client, reference: str, *, follows: bool, every: bool, as_json: bool) -> int:
    """Prints the states of an execution, or with `every` all its events."""
    arn = find_execution(client, reference)
    if follows:
        return follow(client, arn, as_json=as_json)
    followed = Followed(client, arn)
    events = followed.look()
    if as_json:
        print_json({"events": events})
        return 0
    if every:
        for event in events:
            _say_event(event)
    else:
        say(shown(arn))
        for line in lines_of(followed.visits, followed.known, now_ms()):
            say(line)
    say(result_of(followed.visits) or RUNNING)
    if not every:
        say_path(followed)
    return 0


def redrive(client: Client, reference: str, *, follows: bool, as_json: bool) -> int:
    """Continues an execution that did not succeed."""
    arn = find_execution(client, reference)
    answer = client.call("RedriveExecution", {"executionArn": arn}, STATES)
    if follows:
        return follow(client, arn, as_json=as_json)
    if as_json:
        print_json(answer | {"executionArn": arn})
    else:
        say(shown(arn))
    return 0


def checked_input(text: str) -> str:
    """Returns the input of an execution: JSON text, or what a file named with @ has. Raises ClientError."""
    if not text:
        return "{}"
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ClientError(f"The input {text[1:]} cannot be read: {error}.") from error
    try:
        json.loads(text)
    except ValueError as error:
        example = """--input '{"date": "2026-01-01"}'"""
        raise ClientError(f"The input is no JSON ({error}). An object, for example: {example}") from error
    return text
