"""Definitions changed at random have an answer each: diagnostics, or what else is made of a definition that passes."""

from __future__ import annotations

import random

import pytest

from tests.evaluators.states.definition_mutations import judge, main, mutated

COUNT = 400  # `make hunt` takes 10,000 others


def test_changed_definitions_have_an_answer_each() -> None:
    accepted = sum(judge(mutated(random.Random(number)), random.Random(number)) for number in range(COUNT))
    assert 0 < accepted < COUNT


def test_the_hunt_counts_what_it_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "20", "--seed", "7"]) == 0
    assert capsys.readouterr().out.startswith("20 definitions from seed 7: ")
