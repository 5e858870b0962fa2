"""`batchyard workflows`, `history` and `redrive`: what histories show, and the commands against the service itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from batchyard.cli import workflows
from batchyard.cli.app import app
from batchyard.cli.state_visits import ABORTED, CAUGHT, FAILED, RUNNING, SUCCEEDED, Visits, critical_path
from batchyard.cli.workflow_view import lines_of, note_of, result_of, short_cause, spent_ms, where_time_went
from tests.server.running import Server

Row = tuple[int, str, Any]  # the id of the event before, the type, and the name of a state, or details

JOBS = [json.dumps({"JobId": f"job-{number}"}) for number in (1, 2)]
SUBMIT = {"resource": "submitJob.sync", "resourceType": "batch"}
RETRIED: list[Row] = [
    (0, "ExecutionStarted", None),
    (0, "TaskStateEntered", "Ingest"),
    (2, "TaskScheduled", SUBMIT),
    (3, "TaskStarted", None),
    (4, "TaskSubmitted", {"output": JOBS[0]}),
    (5, "TaskFailed", {"error": "States.TaskFailed"}),
    (6, "TaskScheduled", SUBMIT),
    (7, "TaskStarted", None),
    (8, "TaskSubmitted", {"output": JOBS[1]}),
    (9, "TaskSucceeded", None),
    (10, "TaskStateExited", "Ingest"),
    (11, "ParallelStateEntered", "Both"),
    (12, "ParallelStateStarted", None),
    (13, "WaitStateEntered", "Left"),
    (13, "PassStateEntered", "Right"),
    (15, "PassStateExited", "Right"),
    (16, "PassStateEntered", "Further"),
    (17, "PassStateExited", "Further"),
    (14, "WaitStateExited", "Left"),
    (19, "ParallelStateSucceeded", None),
    (19, "ParallelStateExited", "Both"),
    (21, "ExecutionSucceeded", None),
]


def visits_of(rows: list[Row], seconds: dict[int, float] | None = None) -> Visits:
    """Returns the visits of events, one a second, or at these times by id."""
    found = Visits()
    for number, (before, kind, about) in enumerate(rows, 1):
        member = f"{kind[0].lower()}{kind[1:]}EventDetails"
        if kind.endswith(("StateEntered", "StateExited")):
            member = "stateEnteredEventDetails" if kind.endswith("Entered") else "stateExitedEventDetails"
            about = {"name": about}
        at = (seconds or {}).get(number, float(number))
        event = {"id": number, "previousEventId": before, "type": kind, "timestamp": at}
        found.add(event | ({member: about} if about is not None else {}))
    return found


def shown(visits: Visits) -> list[tuple[str, str, int]]:
    return [(visit.name, visit.status, visit.depth) for visit in visits.all]


def test_states_of_branches_stand_in_their_state() -> None:
    visits = visits_of(RETRIED)
    assert shown(visits) == [
        ("Ingest", SUCCEEDED, 0),
        ("Both", SUCCEEDED, 0),
        ("Left", SUCCEEDED, 1),
        ("Right", SUCCEEDED, 1),
        ("Further", SUCCEEDED, 1),
    ]
    assert [visit.branch for visit in visits.all[2:]] == [1, 2, 2]
    assert [visit.name for visit in critical_path(visits)] == ["Ingest", "Both", "Left"]
    ingest = visits.all[0]
    assert (ingest.tries, ingest.retry_ms, ingest.job_ids) == (2, 1000, ["job-1", "job-2"])
    assert result_of(visits).endswith("in 21s")


@pytest.mark.parametrize(
    ("length", "note"),
    [
        (5, "job job-1 is RUNNABLE: no room"),
        (6, "waits for its next try, States.TaskFailed"),
        (9, "job job-2, try 2"),
        (22, "2 tries"),
    ],
)
def test_a_running_state_says_what_it_waits_for(length: int, note: str) -> None:
    visits = visits_of(RETRIED[:length])
    jobs = {"job-1": {"jobId": "job-1", "status": "RUNNABLE", "why": "no room"}}
    assert note_of(visits.all[0], jobs) == note
    assert (visits.all[0].status == RUNNING) == (length < 11)


def test_what_is_caught_and_what_is_cut_off() -> None:
    visits = visits_of(
        [
            (0, "ExecutionStarted", None),
            (0, "ParallelStateEntered", "Both"),
            (2, "ParallelStateStarted", None),
            (3, "TaskStateEntered", "Waits"),
            (3, "FailStateEntered", "Fails"),
            (5, "TaskStateAborted", None),
            (5, "ParallelStateFailed", None),
            (7, "ParallelStateExited", "Both"),
            (8, "FailStateEntered", "End"),
            (9, "ExecutionFailed", {"error": "E", "cause": "c"}),
        ]
    )
    assert shown(visits)[0] == ("Both", CAUGHT, 0)
    assert shown(visits)[1] == ("Waits", ABORTED, 1)
    assert shown(visits)[2:] == [("Fails", FAILED, 1), ("End", FAILED, 0)]
    assert result_of(visits).endswith("in 9.0s: E: c")


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        ("as it is", "as it is"),
        ('"text"', '"text"'),
        ('{"a": 1}', '{"a": 1}'),
        (
            '{"JobId": "0123456789", "StatusReason": "It exited", "Container": {"ExitCode": 3}}',
            "job 01234567: It exited, exit code 3",
        ),
        (
            '{"JobId": "0123456789", "StatusReason": "Job attempt duration exceeded"}',
            "job 01234567: Job attempt duration exceeded",
        ),
        ('{"ExecutionArn": "arn", "Name": "n", "Error": "E"}', "execution n: E"),
    ],
)
def test_causes_are_in_words(cause: str, text: str) -> None:
    assert short_cause(cause) == text


def test_iterations_of_a_map_are_numbered_and_counted() -> None:
    rows: list[Row] = [
        (0, "ExecutionStarted", None),
        (0, "MapStateEntered", "Each"),
        (2, "MapStateStarted", {"length": 30}),
    ]
    for index in range(30):
        begun = len(rows) + 1
        rows += [
            (3 if index == 0 else begun - 2, "MapIterationStarted", {"name": "Each", "index": index}),
            (begun, "PassStateEntered", "Step"),
            (begun + 1, "PassStateExited", "Step"),
            (begun + 2, "MapIterationSucceeded", {"name": "Each", "index": index}),
        ]
    visits = visits_of(rows)
    each = visits.all[0]
    assert (len(each.inner), {one.branch for one in each.inner}) == (30, set(range(30)))
    lines = lines_of(visits, {}, 0)
    assert len(lines) == 1 + 12 + 1
    assert lines[-1].strip() == "... 18 more; 30 of 30 are done"


def test_where_the_time_went() -> None:
    times = {1: 0.0, 2: 0.0, 6: 10.0, 7: 40.0, 11: 60.0, 12: 60.0, 14: 60.0, 19: 65.0, 21: 65.0, 22: 65.0}
    visits = visits_of(RETRIED, times)
    jobs = {
        "job-1": {"createdAt": 0, "startedAt": 1000, "stoppedAt": 9000},
        "job-2": {"createdAt": 40_000, "startedAt": 45_000, "stoppedAt": 58_000},
    }
    spent = spent_ms(visits.all[0], jobs, 65_000)
    assert spent == {"queueing": 6000, "running": 21_000, "waiting": 0, "retries": 30_000, "other": 3000}
    text = where_time_went(visits, jobs)
    assert text.splitlines()[0].split() == ["CRITICAL", "PATH", "QUEUEING", "RUNNING", "WAITING", "RETRIES", "OTHER"]
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["Ingest", "Left", "all"]
    assert text.splitlines()[-1].split()[1:] == ["6.0s", "21s", "5.0s", "30s", "3.0s"]


def test_a_redriven_execution_goes_on() -> None:
    rows: list[Row] = [
        (0, "ExecutionStarted", None),
        (0, "TaskStateEntered", "A"),
        (2, "TaskScheduled", SUBMIT),
        (3, "TaskFailed", {"error": "E"}),
        (4, "ExecutionFailed", {"error": "E"}),
        (5, "ExecutionRedriven", {"redriveCount": 1}),
        (4, "TaskScheduled", SUBMIT),
    ]
    visits = visits_of(rows)
    assert (visits.end, shown(visits)) == (None, [("A", RUNNING, 0)])
    assert shown(visits_of([*rows[:5], (5, "ExecutionAborted", None)])) == [("A", FAILED, 0)]
    assert shown(visits_of([*rows[:2], (0, "ExecutionAborted", None)])) == [("A", ABORTED, 0)]


# -- against the service --

DEFINITION = {
    "StartAt": "Choose",
    "States": {
        "Choose": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.fail", "BooleanEquals": True, "Next": "Fails"}],
            "Default": "Done",
        },
        "Fails": {"Type": "Fail", "Error": "Bad", "Cause": "as asked"},
        "Done": {"Type": "Pass", "Result": "fine", "End": True},
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture
def invoke(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr(workflows, "LOOK_SECONDS", 0.01)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env={"BATCHYARD_DATA_DIR": str(server.data_dir)})

    return call


def test_a_file_is_started_followed_listed_and_shown(
    server: Server, invoke: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "nightly.asl.json"
    file.write_text(json.dumps(DEFINITION))
    done = invoke("workflows", "start", str(file), "--input", '{"fail": false}', "--execution", "first-run", "--follow")
    assert done.exit_code == 0, done.output
    assert "SUCCEEDED in" in done.stdout
    assert "CRITICAL PATH" in done.stdout
    failed = invoke("workflows", "start", "nightly", "--input", '{"fail": true}', "-f", "--execution", "second-run")
    assert failed.exit_code == 1
    assert "FAILED in" in failed.stdout
    assert "Bad: as asked" in failed.stdout
    listed = invoke("workflows").stdout.splitlines()
    assert ["nightly", "STANDARD", "FAILED"] in [line.split()[:3] for line in listed[1:]]
    rows = invoke("workflows", "nightly").stdout.splitlines()
    assert [row.split()[:2] for row in rows[1:]] == [["second-run", "FAILED"], ["first-run", "SUCCEEDED"]]
    history = invoke("history", "first-run").stdout
    assert [line.split()[:2] for line in history.splitlines()[1:3]] == [["+", "Choose"], ["+", "Done"]]
    events = json.loads(invoke("history", "first", "--json").stdout)["events"]
    assert [event["id"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert len(invoke("history", "first-run", "--events").stdout.splitlines()) == 7


def test_what_cannot_be_is_one_sentence(invoke: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"StartAt": "A"}')
    for arguments, text in (
        (("workflows", "start", str(tmp_path / "bad.json")), "These fields are required: [States]"),
        (("workflows", "start", "none.json"), "There is no file none.json."),
        (("workflows", "start", "none"), "There is no workflow 'none'"),
        (("workflows", "start", "none", "--input", "{"), "The input is no JSON"),
        (("history", "nothing-like-it"), "There is no execution 'nothing-like-it'"),
        (("history", "abc"), "is too short for an execution"),
    ):
        found = invoke(*arguments)
        assert (found.exit_code, text in found.stderr) == (1, True), found.output
        assert len(found.stderr.splitlines()) == 1


def test_a_follower_sees_an_execution_until_its_end(
    server: Server, invoke: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "waits.json"
    state = {"Type": "Wait", "Seconds": 1, "End": True}
    file.write_text(json.dumps({"StartAt": "W", "States": {"W": state}}))
    followed = invoke("workflows", "start", str(file), "--follow", "--json")
    assert [json.loads(line)["type"] for line in followed.stdout.splitlines()][-1] == "ExecutionSucceeded"
