"""The graph of a definition: containers of states, where each state may go, and what is wrong with it (spec 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchyard.evaluators.states.diagnostics import MISSING_END_STATE, MISSING_TRANSITION_TARGET, Report
from batchyard.evaluators.states.state_rules import ENDS


def containers(state: dict[str, Any], location: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields what in a state holds states of its own, with its location: branches and processors."""
    branches = state.get("Branches") if state.get("Type") == "Parallel" else None
    for index, branch in enumerate(branches if isinstance(branches, list) else ()):
        if isinstance(branch, dict):
            yield f"{location}/Branches[{index}]", branch
    for name in ("ItemProcessor", "Iterator") if state.get("Type") == "Map" else ():
        if isinstance(state.get(name), dict):
            yield f"{location}/{name}", state[name]


def targets(state: dict[str, Any], location: str) -> Iterator[tuple[str, str]]:
    """Yields the names of states that a state may go to, with the location of each."""
    choices = state.get("Choices") if state.get("Type") == "Choice" else ()
    for index, rule in enumerate(choices if isinstance(choices, list) else ()):
        yield rule["Next"], f"{location}/Choices[{index}]/Next"
    if state.get("Type") == "Choice" and "Default" in state:
        yield state["Default"], f"{location}/Default"
    for index, catcher in enumerate(state.get("Catch", ())):
        yield catcher["Next"], f"{location}/Catch[{index}]/Next"
    if "Next" in state:
        yield state["Next"], f"{location}/Next"


def check_transitions(container: dict[str, Any], location: str, report: Report) -> None:
    """Reports targets that are missing, a container without an end, and states that nothing goes to.

    The container has passed all other checks."""
    states = container["States"]
    found = [(container["StartAt"], f"{location}/StartAt")]
    for name, state in states.items():
        found += targets(state, f"{location}/States/{name}")
    for target, at in found:
        if target not in states:
            report.fault(f"Missing 'Next' target: {target}", at, code=MISSING_TRANSITION_TARGET)
    if not any(state["Type"] in ENDS or state.get("End") is True for state in states.values()):
        report.fault("Workflow has no terminal state", location or None, code=MISSING_END_STATE)
        return
    entered = {target for target, _ in found}
    for name in states:
        if name not in entered:
            message = f'State "{name}" is not reachable.'
            report.fault(message, f"{location}/States/{name}", code=MISSING_TRANSITION_TARGET)
