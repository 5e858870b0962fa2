"""Fail points: nothing in production, a death at the named place when armed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from batchyard import failpoints


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    assert not failpoints.armed, "fail points are armed by nothing but their variable"
    yield
    failpoints.armed.clear()
    failpoints._hits.clear()


def end_of(variables: Mapping[str, str], *reached: tuple[str, list[str]]) -> int:
    """The wait status of a child that reaches these points; 0: it lived."""
    child = os.fork()
    if child == 0:
        failpoints.arm(variables)
        for point, transitions in reached:
            failpoints.reach(point, transitions)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def test_without_the_variable_nothing_is_armed() -> None:
    failpoints.arm({})
    assert failpoints.armed == {}


def test_it_dies_at_the_named_time_and_transition(tmp_path: Path) -> None:
    hits = tmp_path / "hits"
    variables = {
        failpoints.VARIABLE: "before-launch=crash@3;before-commit[RUNNING]=crash@1",
        failpoints.HITS_VARIABLE: str(hits),
    }
    launch: tuple[str, list[str]] = ("before-launch", [])
    assert end_of(variables, launch, launch, ("before-commit", ["FAILED"])) == 0
    assert not hits.exists()
    assert end_of(variables, ("before-commit", ["submitted", "RUNNING"])) == signal.SIGKILL
    assert end_of(variables, launch, launch, launch) == signal.SIGKILL
    assert hits.read_text() == "before-commit\tRUNNING\tRUNNING, submitted\nbefore-launch\t\t\n"
    assert end_of(variables, launch, launch, launch, ("before-commit", ["RUNNING"])) == 0, "reached before: not again"


@pytest.mark.parametrize("text", ["nowhere=crash@1", "before-launch=crash@0", "before-launch", "before-launch=exit@1"])
def test_what_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is neither POINT=crash@N"):
        failpoints.arm({failpoints.VARIABLE: text})
