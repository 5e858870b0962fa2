"""Workflows: state machines, executions with their graph and history, and what is done with them."""

import json
from typing import Any

import pytest

from batchyard.analysis.state_visits import Visits
from batchyard.console.execution_graph import MAX_INNER, drawing_of, lines_of, visited
from batchyard.console.graph import BACK_HEIGHT, MAX_NODES, NODE_HEIGHT, Node, draw
from batchyard.console.site import PageRequest
from batchyard.console.state_graph import graph_of, without_inner
from batchyard.core.model.executions import ExecutionStatus
from tests.api import executions
from tests.console.site import READER, VISITOR, Console, header_of, links_of, text_of

ROLE = executions.ROLE
HOSTILE = "<b>&'\" ü</b>"
LEFT = {"StartAt": "Left", "States": {"Left": {"Type": "Pass", "End": True}}}
WAITS = {"Right": {"Type": "Wait", "Seconds": 60, "Next": "More"}, "More": {"Type": "Pass", "End": True}}
CATCH = [{"ErrorEquals": ["States.ALL"], "Next": "No"}]


def rule(variable: str, number: int) -> list[dict[str, Any]]:
    return [{"Variable": variable, "NumericEquals": number, "Next": "Both"}]


BOTH = {"Type": "Parallel", "Branches": [LEFT, {"StartAt": "Right", "States": WAITS}], "Catch": CATCH, "Next": "Again"}
DEFINITION: dict[str, Any] = {
    "StartAt": "Check",
    "States": {
        "Check": {"Type": "Choice", "Choices": rule("$.n", 1), "Default": "No"},
        "Both": BOTH,
        "Again": {"Type": "Choice", "Choices": rule("$[0].n", 2), "Default": "Done"},
        "Done": {"Type": "Succeed"},
        "No": {"Type": "Fail", "Error": "Nothing.ToDo", "Cause": HOSTILE},
    },
}


def make(console: Console, name: str = "nightly", **definition: Any) -> Any:
    states = console.client("stepfunctions")
    states.create_state_machine(name=name, definition=json.dumps(definition or DEFINITION), roleArn=ROLE)
    return states


def start(console: Console, states: Any, execution: str, given: str = '{"n": 1}', name: str = "nightly") -> str:
    arn = f"{executions.PREFIX}stateMachine:{name}"
    return str(states.start_execution(stateMachineArn=arn, name=execution, input=given)["executionArn"])


def test_a_definition_is_a_graph_in_which_what_follows_stands_behind_the_branches() -> None:
    graph = graph_of(json.dumps(DEFINITION))
    assert list(graph.states) == ["Check", "Both", "Left", "Right", "More", "No", "Again", "Done"]
    assert {name for name, state in graph.states.items() if state.outer == "Both"} == {"Left", "Right", "More"}
    edges = [("Check", "Both"), ("Check", "No"), ("Both", "Left"), ("Both", "Right"), ("Right", "More")]
    assert set(graph.edges) == {
        *edges, ("Left", "Again"), ("More", "Again"), ("Both", "No"), ("Again", "Both"), ("Again", "Done")
    }  # fmt: skip
    outer = without_inner(graph)
    assert list(outer.states) == ["Check", "Both", "No", "Again", "Done"]
    assert ("Both", "Again") in outer.edges
    assert graph_of("no json").states == {}


def test_large_definitions_are_drawn_by_their_outer_states() -> None:
    inner = {f"s{number}": {"Type": "Pass", "Next": f"s{number + 1}"} for number in range(MAX_NODES)}
    inner[f"s{MAX_NODES}"] = {"Type": "Pass", "End": True}
    outer = {"Each": {"Type": "Map", "ItemProcessor": {"StartAt": "s0", "States": inner}, "End": True}}
    drawn = drawing_of(json.dumps({"StartAt": "Each", "States": outer}), {}, visited([], 0))
    assert drawn is not None
    assert [placed.node.id for placed in drawn.nodes] == ["Each"]
    assert drawing_of(json.dumps({"StartAt": "s0", "States": inner}), {}, visited([], 0)) is None


def test_an_edge_that_leads_back_is_drawn_below() -> None:
    drawn = draw([Node("a", "a"), Node("b", "b")], [("a", "b"), ("b", "a"), ("b", "b")])
    assert len(drawn.edges) == 1
    assert len(drawn.backs) == 2
    first, _, second = drawn.backs[0].removeprefix("M").replace("C", " ").split(" ")[1::2][:3]
    assert (int(first) + 3 * int(second)) / 4 > max(placed.y + NODE_HEIGHT for placed in drawn.nodes)
    assert drawn.backs[0].startswith("M")
    assert drawn.height > NODE_HEIGHT + BACK_HEIGHT


def test_what_makes_a_first_workflow_is_said(console: Console) -> None:
    text = text_of(console.get("workflows"))
    assert "There is no workflow yet" in text
    assert "batchyard workflows start" in text
    assert console.ask(PageRequest("workflows/none", VISITOR)).status == 404
    assert console.ask(PageRequest("workflows/none/executions/x", VISITOR)).status == 404


def test_an_execution_that_runs_shows_where_it_is(console: Console) -> None:
    states = make(console)
    start(console, states, "first")
    console.tick(5000)
    listed = console.get("workflows")
    assert "nightly STANDARD first RUNNING 5.0 s" in text_of(listed)
    assert "/console/workflows/nightly/executions/first" in links_of(listed)
    page = console.get("workflows/nightly/executions/first")
    text = text_of(page)
    assert "Running for 5.0 s . Right." in text
    graph = page.partition('class="graph"')[2].partition("</svg>")[0]
    for name, state in (("Left", "SUCCEEDED"), ("Right", "RUNNING"), ("More", "NOT STARTED"), ("No", "NOT STARTED")):
        assert f"{name} {name} {state}" in text_of(graph), name
    assert "data-poll" in page
    assert "Input { &#34;n&#34;: 1 }".replace("&#34;", '"') in text
    assert "ChoiceStateEntered Check" in text
    console.tick(60_000)
    after = console.get("workflows/nightly/executions/first")
    assert "Succeeded after 1 min" in text_of(after)
    assert "data-poll" not in after
    assert "Critical path" in text_of(after)


def test_why_an_execution_failed_is_said_and_what_it_carries_is_text(console: Console) -> None:
    states = make(console)
    start(console, states, "bad", json.dumps({"n": 0, "x": HOSTILE}))
    page = console.get("workflows/nightly/executions/bad")
    assert f"Nothing.ToDo: {HOSTILE}" in text_of(page)
    assert HOSTILE not in page
    assert "/console/workflows/nightly/executions/bad/redrive" in links_of(page)
    assert "Redrive" not in text_of(console.get("workflows/nightly/executions/bad", READER)).partition("The same")[0]


def test_names_of_all_letters_have_pages(console: Console) -> None:
    states = make(console, "jede-Nacht-ä")
    start(console, states, "lauf+1=é", '{"n": 0}', "jede-Nacht-ä")
    links = links_of(console.get("workflows"))
    assert "/console/workflows/jede-Nacht-%C3%A4/executions/lauf+1=%C3%A9" in links
    assert "FAILED" in text_of(console.get("workflows/jede-Nacht-ä/executions/lauf+1=é"))


SUCCEEDED, FAILED = ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED


def test_executions_are_paged_and_filtered(console: Console) -> None:
    revision = executions.make_machine(console)
    made = [
        executions.execution(
            key, console, revision, status=ExecutionStatus.FAILED if key % 40 == 0 else ExecutionStatus.SUCCEEDED
        )
        for key in range(1, 121)
    ]
    executions.store(console, *made)
    page = console.get("workflows/nightly")
    assert page.count('<tr id="execution-') == 50
    following = next(link for link in links_of(page) if "older=" in link)
    second = console.get("workflows/nightly", older=following.partition("older=")[2].replace("%3D", "="))
    assert 'id="execution-70"' in second
    failed = console.get("workflows/nightly", state="failed")
    assert [key for key in range(1, 121) if f'id="execution-{key}"' in failed] == [40, 80, 120]
    assert "No execution is TIMED_OUT" in text_of(console.get("workflows/nightly", state="timed_out"))


def test_executions_are_started_stopped_and_redriven_after_a_question(console: Console) -> None:
    states = make(console)
    states.publish_state_machine_version(stateMachineArn=executions.MACHINE)
    form = console.get("workflows/nightly/start", input='{"n": 1}')
    assert "version 1" in text_of(form)
    refused = console.post("workflows/nightly/start", input="{", name="")
    assert refused.status == 400
    assert "Invalid State Machine Execution Input" in text_of(refused.body.decode())
    done = console.post("workflows/nightly/start", input='{"n": 1}', name="by-hand", qualifier="1")
    assert header_of(done, "location") == "/console/workflows/nightly/executions/by-hand"
    path = "workflows/nightly/executions/by-hand"
    assert "It is RUNNING" in text_of(console.get(f"{path}/stop"))
    assert console.post(f"{path}/stop", reason="enough").status == 303
    stopped = text_of(console.get(path))
    assert "Aborted after" in stopped
    assert "enough" in stopped
    assert "what succeeded is not done again" in text_of(console.get(f"{path}/redrive"))
    assert console.post(f"{path}/redrive").status == 303
    again = text_of(console.get(path))
    assert "Redriven 1 times" in again
    assert "Version 1" in again


def test_versions_and_aliases_are_shown_with_their_definition(console: Console) -> None:
    states = make(console)
    states.publish_state_machine_version(stateMachineArn=executions.MACHINE)
    routes = [{"stateMachineVersionArn": f"{executions.MACHINE}:1", "weight": 100}]
    states.create_state_machine_alias(name="live", routingConfiguration=routes, description=HOSTILE)
    states.update_state_machine(stateMachineArn=executions.MACHINE, definition=executions.DEFINITION)
    page = console.get("workflows/nightly")
    assert "live 100 % version 1" in text_of(page)
    assert HOSTILE not in page
    assert "Choice" not in text_of(page).partition("The definition as text")[0]
    assert "Definition of version 1" in text_of(console.get("workflows/nightly", version="1"))
    assert "Choice" in text_of(console.get("workflows/nightly", version="1"))


def test_a_map_run_shows_its_items_and_children(console: Console) -> None:
    revision = executions.make_machine(console)
    run = executions.map_run(7, console)
    child = executions.execution(
        2, console, revision, arn=f"{executions.PREFIX}execution:nightly/each:c", name="c", map_run_arn=run.arn,
        machine_arn=f"{executions.MACHINE}/each",
    )  # fmt: skip
    executions.store(console, executions.execution(1, console, revision), child, map_runs={run.arn: run})
    assert "/console/workflows/nightly/each/map-runs/7" in links_of(console.get("workflows/nightly/executions/1"))
    page = console.get("workflows/nightly/each/map-runs/7")
    assert "0 of 0 items succeeded" in text_of(page)
    assert "/console/workflows/nightly/each/executions/c" in links_of(page)
    assert "/console/workflows/nightly/each/map-runs/7" in links_of(console.get("workflows/nightly/each/executions/c"))


def test_many_iterations_are_counted_with_those_first_that_run_or_failed() -> None:
    visits = Visits()
    events: list[tuple[int, str, dict[str, Any]]] = [
        (0, "ExecutionStarted", {}),
        (0, "MapStateEntered", {"stateEnteredEventDetails": {"name": "Each"}}),
        (2, "MapStateStarted", {"mapStateStartedEventDetails": {"length": 40}}),
    ]
    for index in range(40):
        number = len(events)
        events.append((3, "MapIterationStarted", {"mapIterationStartedEventDetails": {"name": "Each", "index": index}}))
        events.append((number + 1, "PassStateEntered", {"stateEnteredEventDetails": {"name": "One"}}))
        if index != 33:
            events.append((number + 2, "PassStateExited", {"stateExitedEventDetails": {"name": "One"}}))
    for number, (before, kind, details) in enumerate(events, 1):
        visits.add({"id": number, "type": kind, "previousEventId": before, "timestamp": number / 1000, **details})
    lines = lines_of(visits.all)
    assert [line.visit.branch for line in lines if line.visit is not None and line.visit.outer is not None] == [
        *range(MAX_INNER - 1), 33
    ]  # fmt: skip
    assert (lines[-1].hidden, lines[-1].done) == (40 - MAX_INNER, 39)
    inner = {"StartAt": "One", "States": {"One": {"Type": "Pass", "End": True}}}
    definition = json.dumps({"StartAt": "Each", "States": {"Each": {"Type": "Map", "Iterator": inner, "End": True}}})
    drawn = drawing_of(definition, {}, visited(visits.all, 200), "/x")
    assert drawn is not None
    assert [(one.node.status, one.node.note) for one in drawn.nodes] == [
        ("RUNNING", "39 of 40 begun"), ("RUNNING", "39 of 40")
    ]  # fmt: skip


@pytest.mark.parametrize("definition", ["{}", "[]", '{"StartAt": "A"}'])
def test_what_has_no_states_has_no_picture(definition: str) -> None:
    assert drawing_of(definition, {}, visited([], 0)) is None
