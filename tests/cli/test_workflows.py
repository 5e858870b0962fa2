"""`batchyard workflows`, `history` and `redrive`: what histories show, and the commands against the service itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from batchyard.analysis.critical_path import Step, critical_path, rows_of, spent_ms
from batchyard.analysis.state_visits import ABORTED, CAUGHT, FAILED, RUNNING, SUCCEEDED, Visits
from batchyard.cli import workflows
from batchyard.cli.app import app
from batchyard.cli.workflow_view import Known, lines_of, note_of, result_of, short_cause, where_time_went
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
    assert note_of(visits.all[0], Known(jobs)) == note
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
    lines = lines_of(visits, Known({}), 0)
    assert len(lines) == 1 + 12 + 1
    assert lines[-1].strip() == "... 18 more; 30 of 30 are done"


def periods(*times: tuple[str, float, float]) -> dict[str, Any]:
    """JobTimes of periods in seconds."""
    return {
        "periods": [
            {"kind": kind, "startedAt": round(begun * 1000), "stoppedAt": round(ended * 1000)}
            for kind, begun, ended in times
        ]
    }


def test_where_the_time_went() -> None:
    times = {1: 0.0, 2: 0.0, 6: 10.0, 7: 40.0, 11: 60.0, 12: 60.0, 14: 60.0, 19: 65.0, 21: 65.0, 22: 65.0}
    visits = visits_of(RETRIED, times)
    jobs = {
        "job-1": periods(("QUEUED", 0, 1), ("STARTING", 1, 1.5), ("RUNNING", 1.5, 9)),
        "job-2": periods(("QUEUED", 40, 44), ("STARTING", 44, 45), ("RUNNING", 45, 58)),
    }
    spent = spent_ms(visits.all[0], jobs, 65_000)
    assert spent == {
        "queueing": 5000, "starting": 1500, "running": 20_500, "waiting": 0, "retry delays": 30_000, "other": 3000
    }  # fmt: skip
    text = where_time_went(rows_of([Step(visit) for visit in critical_path(visits)], jobs, 65_000))
    assert text.splitlines()[0].split() == [
        *("CRITICAL", "PATH", "QUEUEING", "STARTING", "RUNNING", "WAITING", "RETRY", "DELAYS", "OTHER")
    ]
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["Ingest", "Both", "Left", "all"]
    assert text.splitlines()[-1].split()[1:] == ["5.0s", "1.5s", "20s", "5.0s", "30s", "3.0s"]


def test_iterations_that_made_room_are_on_the_path() -> None:
    """Two of three items at a time: the third begins when the second has ended; the first is the slowest but one. The
    Map is tried twice."""
    rows: list[Row] = [
        (0, "ExecutionStarted", None),
        (0, "MapStateEntered", "Each"),
        (2, "MapStateStarted", {"length": 3}),
        (3, "MapIterationStarted", {"name": "Each", "index": 0}),
        (4, "FailStateEntered", "Bad"),
        (5, "MapStateStarted", {"length": 3}),
        (6, "MapIterationStarted", {"name": "Each", "index": 0}),
        (6, "MapIterationStarted", {"name": "Each", "index": 1}),
        (7, "TaskStateEntered", "Job"),
        (8, "TaskStateEntered", "Job"),
        (10, "TaskScheduled", SUBMIT),
        (11, "TaskSubmitted", {"output": JOBS[0]}),
        (12, "TaskStateExited", "Job"),
        (13, "MapIterationSucceeded", {"name": "Each", "index": 1}),
        (13, "MapIterationStarted", {"name": "Each", "index": 2}),
        (15, "TaskStateEntered", "Job"),
        (16, "TaskScheduled", SUBMIT),
        (9, "TaskStateExited", "Job"),
        (18, "MapIterationSucceeded", {"name": "Each", "index": 0}),
        (17, "TaskSubmitted", {"output": JOBS[1]}),
        (20, "TaskStateExited", "Job"),
        (21, "MapIterationSucceeded", {"name": "Each", "index": 2}),
        (21, "MapStateSucceeded", None),
        (21, "MapStateExited", "Each"),
        (24, "ExecutionSucceeded", None),
    ]
    times = {4: 3.0, 5: 3.0, 6: 10.0, 7: 10.0, 8: 10.0, 9: 10.0, 10: 10.0, 13: 14.0, 15: 14.0, 16: 14.0, 18: 15.0}
    times |= {21: 20.0, 22: 20.0, 23: 20.0, 24: 20.0, 25: 20.0}
    visits = visits_of(rows, {1: 0.0, 2: 0.0, 3: 0.0} | times)
    path = critical_path(visits)
    assert [(visit.name, visit.branch) for visit in path] == [("Each", 0), ("Bad", 0), ("Job", 1), ("Job", 2)]
    jobs = {"job-1": periods(("RUNNING", 10, 14)), "job-2": periods(("STARTING", 14, 15), ("RUNNING", 15, 20))}
    found = rows_of([Step(visit) for visit in path], jobs, 20_000)
    assert [(row.name, row.depth, row.visits) for row in found] == [("Each", 0, 1), ("Bad", 1, 1), ("Job", 1, 2)]
    assert (found[0].spent["retry delays"], found[0].spent["other"]) == (7000, 3000)
    assert (found[2].spent["running"], found[2].spent["starting"]) == (9000, 1000)
    assert sum(sum(row.spent.values()) for row in found) == 20_000


def test_a_path_goes_through_the_executions_that_a_state_waited_for() -> None:
    rows: list[Row] = [
        (0, "ExecutionStarted", None),
        (0, "MapStateEntered", "Each"),
        (2, "MapStateStarted", None),
        (3, "MapRunStarted", {"mapRunArn": "run"}),
        (4, "MapStateExited", "Each"),
        (5, "ExecutionSucceeded", None),
    ]
    visits = visits_of(rows, {1: 0, 2: 0, 3: 0, 4: 0, 5: 10, 6: 10})
    assert visits.all[0].map_run_arn == "run"
    wait: list[Row] = [
        (0, "ExecutionStarted", None),
        (0, "WaitStateEntered", "Wait"),
        (2, "WaitStateExited", "Wait"),
        (3, "ExecutionSucceeded", None),
    ]
    child = visits_of(wait, {1: 4, 2: 4, 3: 9, 4: 9})
    within = [Step(visit) for visit in critical_path(child)]
    found = rows_of([Step(visit, within, 4000) for visit in critical_path(visits)], {}, 10_000)
    assert [(row.name, row.depth) for row in found] == [("Each", 0), ("Wait", 1)]
    assert (found[0].spent["queueing"], found[0].spent["other"], found[1].spent["waiting"]) == (4000, 1000, 5000)


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
    branches: list[Row] = [
        (0, "ExecutionStarted", None),
        (0, "ParallelStateEntered", "Both"),
        (2, "ParallelStateStarted", None),
        (3, "WaitStateEntered", "Left"),
        (3, "TaskStateEntered", "Right"),
        (5, "TaskScheduled", SUBMIT),
        (0, "ExecutionAborted", None),
        (7, "ExecutionRedriven", {"redriveCount": 1}),
        (8, "TaskScheduled", SUBMIT),
        (8, "WaitStateExited", "Left"),
        (9, "TaskStateExited", "Right"),
        (11, "ParallelStateExited", "Both"),
        (12, "ExecutionSucceeded", None),
    ]
    resumed = visits_of(branches)
    assert shown(resumed) == [("Both", SUCCEEDED, 0), ("Left", SUCCEEDED, 1), ("Right", SUCCEEDED, 1)]
    assert [(visit.name, visit.waited_ms) for visit in critical_path(resumed)] == [("Both", 1000), ("Right", 1000)]
    again: list[Row] = [*branches[:9], (9, "TaskFailed", {"error": "E"}), (10, "WaitStateAborted", None)]
    assert shown(visits_of([*again, (10, "ParallelStateFailed", None), (12, "ExecutionFailed", None)])) == [
        ("Both", FAILED, 0),
        ("Left", ABORTED, 1),
        ("Right", FAILED, 1),
    ]
    assert shown(visits_of(branches[:8])) == [("Both", ABORTED, 0), ("Left", ABORTED, 1), ("Right", ABORTED, 1)]
    assert shown(visits_of(branches[:9]))[0] == ("Both", RUNNING, 0)
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
    only = invoke("workflows", "nightly", "--limit", "1")
    assert [row.split()[0] for row in only.stdout.splitlines()[1:]] == ["second-run"]
    assert "Older ones are not shown" in only.stderr
    rows = invoke("workflows", "nightly", "--status", "succeeded").stdout.splitlines()
    assert [row.split()[0] for row in rows[1:]] == ["first-run"]
    invoke("workflows", "start", str(file), "--name", "night-two", "--input", '{"fail": false}', "--execution", "run")
    rows = invoke("workflows", "night*").stdout.splitlines()
    assert [row.split()[0] for row in rows[1:]] == ["night-two", "nightly"]
    newest = invoke("workflows", "night*", "--limit", "1")
    assert len(newest.stdout.splitlines()) == 2
    assert "1 older ones are not shown" in newest.stderr
    assert "No workflow's name is like none*" in invoke("workflows", "none*").stderr
    for reference in ("run", "night-two/run", "nightly/first-run", "nightly/first"):
        assert invoke("history", reference).exit_code == 0, reference
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
        (("history", "none/run"), "There is no workflow 'none'"),
        (("workflows", "--status", "FAILED"), "--status is for the executions of one workflow"),
        (("workflows", "none", "--status", "BAD"), "There is no status BAD"),
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
