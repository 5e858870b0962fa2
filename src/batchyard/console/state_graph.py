"""The states of a state machine as nodes and edges of a graph, from its definition in the States Language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

PARALLEL, MAP = "Parallel", "Map"


class State(Struct, frozen=True):
    """`outer`: the Parallel or Map state around it; empty: none."""

    name: str
    kind: str
    outer: str = ""


class StateGraph(Struct, frozen=True):
    """States by name, in the order in which they are reached, and who follows whom. What follows a Parallel or Map
    state stands behind the states in it."""

    states: dict[str, State]
    edges: list[tuple[str, str]]


def graph_of(definition: str) -> StateGraph:
    """Reads a definition that was accepted; one that is none has no states."""
    try:
        document = msgspec.json.decode(definition)
    except msgspec.DecodeError:
        document = {}
    states: dict[str, State] = {}
    edges: list[tuple[str, str]] = []
    if isinstance(document, dict):
        _add(document, "", states, edges)
    return StateGraph(states, list(dict.fromkeys(edges)))


def without_inner(graph: StateGraph) -> StateGraph:
    """The outermost states alone: of machines with more states than a picture has."""
    outermost = {name: _outermost(graph, name) for name in graph.states}
    edges = [(outermost[a], outermost[b]) for a, b in graph.edges if outermost[a] != outermost[b]]
    states = {name: state for name, state in graph.states.items() if not state.outer}
    return StateGraph(states, list(dict.fromkeys(edges)))


def _outermost(graph: StateGraph, name: str) -> str:
    while graph.states[name].outer:
        name = graph.states[name].outer
    return name


def _add(scope: Mapping[str, Any], outer: str, states: dict[str, State], edges: list[tuple[str, str]]) -> list[str]:
    """Adds the states of a machine, branch or item processor. Returns those with which it ends."""
    ends: list[str] = []
    members = scope.get("States", {})
    for name in _in_order(scope):
        state = members[name]
        states[name] = State(name, str(state.get("Type", "")), outer)
        exits = [name]
        inner = [*_scopes(state)]
        found = [exit_of for each in inner for exit_of in _enter(name, each, states, edges)]
        if inner and found:
            exits = found
        for following in _nexts(state):
            edges += [(each, following) for each in exits]
        edges += [(name, catcher["Next"]) for catcher in state.get("Catch", [])]
        if state.get("End") or state.get("Type") == "Succeed":
            ends += exits
    return ends


def _enter(name: str, scope: Mapping[str, Any], states: dict[str, State], edges: list[tuple[str, str]]) -> list[str]:
    edges.append((name, scope.get("StartAt", "")))
    return _add(scope, name, states, edges)


def _scopes(state: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from state.get("Branches", ())
    for member in ("ItemProcessor", "Iterator"):
        if isinstance(state.get(member), dict):
            yield state[member]


def _nexts(state: Mapping[str, Any]) -> Iterator[str]:
    for rule in state.get("Choices", ()):
        yield rule["Next"]
    for member in ("Next", "Default"):
        if member in state:
            yield state[member]


def _in_order(scope: Mapping[str, Any]) -> list[str]:
    """Returns the names of a scope's states as they are reached from its first; then those that are not."""
    members = scope.get("States", {})
    found: dict[str, None] = {}
    waiting = [scope.get("StartAt", "")]
    while waiting:
        name = waiting.pop(0)
        if name in found or name not in members:
            continue
        found[name] = None
        waiting += [*_nexts(members[name]), *(catcher["Next"] for catcher in members[name].get("Catch", []))]
    return [*found, *(name for name in members if name not in found)]
