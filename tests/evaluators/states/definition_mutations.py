"""Definitions of state machines changed at random: values of elsewhere, wrong types, lost and foreign fields, changed
expressions and paths, and texts that are no JSON any more. What is accepted is executed.

    python -m tests.evaluators.states.definition_mutations --count 10000
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

from batchyard.evaluators.states.definitions import check_definition, check_state
from batchyard.evaluators.states.diagnostics import ERROR
from batchyard.evaluators.states.variable_scopes import variable_references
from batchyard.workflows.commands import StartExecution
from tests.evaluators.states.sample_definitions import ACCEPTED
from tests.workflows.driver import ACCOUNT, CallFailed, Driver

# What stands in for a value. Paths and expressions are near right ones.
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    "",
    "$",
    "$$",
    "$.a",
    "$.a[*]",
    "$..a",
    "$.a[?(@.b == 1)]",
    "$['a'][-1]",
    "$v.x",
    "$$.Map.Item.Value",
    "$.",
    "$[",
    "States.Format('{}', $.a)",
    "States.Array(1, States.UUID(), $v)",
    "States.Format('{",
    "States.MathAdd(1)",
    "{% $states.input %}",
    "{% $states.result.a %}",
    "{% $states.errorOutput %}",
    "{% $$ %}",
    "{% a.b %}",
    "{% ($f := function($x){$f($x)}; $f(1)) %}",
    "{% $map([1..9], function($x){$x}) %}",
    "{% [1..99999999] %}",
    "{% $match($states.input.a, /(a+)+b/) %}",
    "{%",
    "{%%}",
    "{% ( %}",
    "States.ALL",
    "JSONata",
    "JSONPath",
    "DISTRIBUTED",
    "INLINE",
    "2030-01-01T00:00:00Z",
    "arn:aws:states:::batch:submitJob.sync",
    "arn:aws:states:::sns:publish.waitForTaskToken",
    "arn:aws:states:us-east-1:123456789012:activity:a",
    "arn:aws:states:::nope:nope",
    "X",
    "x" * 81,
    "\ud800",
    "é\x00",
    [],
    {},
    [{}],
    {"a.$": "$.a"},
    {"": None},
]
# fmt: off
FIELDS = [
    "Type", "Next", "End", "Default", "Choices", "Catch", "Retry", "Branches", "ItemProcessor", "Iterator",
    "Result", "ResultPath", "InputPath", "OutputPath", "Parameters", "Arguments", "Assign", "Output", "Condition",
    "Variable", "And", "Or", "Not", "StringEquals", "IsPresent", "Seconds", "SecondsPath", "Timestamp",
    "TimestampPath", "TimeoutSeconds", "HeartbeatSeconds", "Error", "Cause", "ErrorPath", "QueryLanguage", "Items",
    "ItemsPath", "ItemSelector", "ItemBatcher", "ItemReader", "ResultWriter", "Label", "MaxConcurrency",
    "ToleratedFailureCount", "ResultSelector", "Credentials", "StartAt", "States", "ErrorEquals", "Comment", "Nope",
    "x.$",
]
# fmt: on
INPUTS: list[Any] = [
    {},
    {"a": [{"b": 1}, {"b": [2]}], "b": {"c": "x"}, "n": 2, "x": None, "name": "n", "list": [1, 2, 3]},
    {"a": "x", "b": 5, "y": {}, "e": "E", "c": {"d": 1}, "limit": -1},
    [1, 2, 3],
    [],
    [{"a": 1}, {"Cause": "c", "Error": "E"}],
    5,
    "text",
    None,
    {"a": True, "JobId": "j", "Output": "{}"},
]
MACHINE = ACCOUNT.arn("states", "stateMachine:m")
MAX_BATCHES = 150  # of one definition: enough for all but loops
CHARACTERS = "{}[]\",:\\$%.()'/*x0- \n\x00é"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def mutated(rng: random.Random) -> str:
    """Returns the text of a definition with one to four changes, most often still JSON."""
    definition = copy.deepcopy(rng.choice(list(ACCEPTED.values())))
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_places(definition))
        if not places:
            break
        _change(rng, definition, places)
    text = json.dumps(definition)
    if rng.random() < 0.1:
        at = rng.randrange(len(text))
        text = rng.choice((text[:at], text[:at] + rng.choice(CHARACTERS) + text[at + rng.choice((0, 1)) :]))
    return text


def _change(rng: random.Random, definition: Any, places: list[tuple[Any, Any]]) -> None:
    """Changes one place: another value, none, a value of elsewhere, a foreign field, a new name, a changed text."""
    holder, key = rng.choice(places)
    kind = rng.randrange(7)
    if kind == 0:
        holder[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 1:
        del holder[key]
    elif kind == 2:
        other, place = rng.choice(places)
        holder[key] = copy.deepcopy(other[place])
    elif kind == 3 and isinstance(holder, dict):
        holder[rng.choice(FIELDS)] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 4 and isinstance(holder, dict):
        holder[rng.choice((key + ".$", key.removesuffix(".$"), rng.choice(FIELDS), key + "x"))] = holder.pop(key)
    elif kind == 5 and isinstance(holder, list):
        holder.extend(copy.deepcopy([holder[key]]) * rng.choice((1, 40)))
    elif isinstance(holder[key], str) and holder[key]:
        text, at = holder[key], rng.randrange(len(holder[key]))
        holder[key] = text[:at] + rng.choice(("", rng.choice(CHARACTERS), text[:at])) + text[at + 1 :]
    else:
        holder[key] = {"a": holder[key]} if rng.random() < 0.5 else [holder[key]]


def judge(text: str, rng: random.Random) -> bool:
    """Checks one definition in every way there is, and executes it. Returns whether it is accepted; no exception may
    come out."""
    accepted = False
    for kind in ("STANDARD", "EXPRESS"):
        found = check_definition(text, kind)
        for diagnostic in found:
            assert diagnostic.message
            assert diagnostic.text
        if not any(diagnostic.severity == ERROR for diagnostic in found):
            accepted = True
            variable_references(json.loads(text))
            execute(text, kind, rng)
    check_state(text)
    return accepted


def execute(text: str, kind: str, rng: random.Random) -> None:
    """Starts executions, answers their calls at random, and steps them for a while: to their end, unless they loop."""
    driver = Driver(lambda _call: _answer(rng))
    driver.create_activity("a")
    driver.create(text, kind=kind)
    machine = driver.machine
    for number in range(2):
        given = json.dumps(rng.choice(INPUTS))
        machine.handle(StartExecution(MACHINE, f"e{number}", given, "uuid", has_given_name=True), driver.now_ms)
    for _ in range(MAX_BATCHES):
        machine.schedule(driver.now_ms)
        changes, effects = machine.take()
        driver.store.commit(changes)
        driver.carry_out(effects)
        due_ms = machine.next_deadline()
        if due_ms is None:
            return
        driver.now_ms = max(driver.now_ms, due_ms)


def _answer(rng: random.Random) -> Any:
    if rng.random() < 0.2:
        raise CallFailed(rng.choice(("States.TaskFailed", "E", "Batch.ClientException")), rng.choice((None, "c")))
    return copy.deepcopy(rng.choice((None, *INPUTS)))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    chosen = parser.parse_args(arguments)
    slowest, accepted = 0.0, 0
    for number in range(chosen.count):
        text = mutated(random.Random(chosen.seed + number))
        began = time.perf_counter()
        try:
            accepted += judge(text, random.Random(chosen.seed + number))
        except Exception:
            print(f"seed {chosen.seed + number}: {text}")
            raise
        slowest = max(slowest, time.perf_counter() - began)
    print(f"{chosen.count} definitions from seed {chosen.seed}: {accepted} accepted, the slowest took {slowest:.3f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
