"""Commands as data."""

from __future__ import annotations

import pytest

from batchyard.batch_systems.command_template import CommandTemplate

TEMPLATE = CommandTemplate("submit", (("-x",), ("-q", "{queue}"), ("--size={vcpus}:{memory}",)))


def test_places_take_values() -> None:
    assert TEMPLATE.places == {"queue", "vcpus", "memory"}
    words = TEMPLATE.words({"queue": "long", "vcpus": 2, "memory": "4g"})
    assert words == ["submit", "-x", "-q", "long", "--size=2:4g"]


@pytest.mark.parametrize("memory", ["", 0])
def test_a_group_with_an_empty_place_is_left_out(memory: str | int) -> None:
    assert TEMPLATE.words({"queue": "", "vcpus": 2, "memory": memory}) == ["submit", "-x"]


def test_a_value_is_one_word_whatever_is_in_it() -> None:
    words = TEMPLATE.words({"queue": "a b; rm -r {vcpus}", "vcpus": 0, "memory": 0})
    assert words == ["submit", "-x", "-q", "a b; rm -r {vcpus}"]


def test_a_value_that_is_not_given_is_a_fault() -> None:
    with pytest.raises(KeyError):
        TEMPLATE.words({"queue": "long"})
