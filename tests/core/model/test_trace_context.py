"""Trace ids and span ids follow from those of jobs and attempts."""

import pytest

from batchyard.core.model.trace_context import (
    attempt_trace_parent,
    caller_span_id,
    is_sampled,
    span_id,
    trace_id,
    valid_trace_parent,
)

JOB = "0af76519-16cd-43dd-8448-eb211c80319c"
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_jobs_trace_is_its_uuid_or_that_of_its_submission() -> None:
    assert trace_id(JOB) == "0af7651916cd43dd8448eb211c80319c"
    assert trace_id(JOB, GIVEN) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert caller_span_id(GIVEN) == "00f067aa0ba902b7"
    assert caller_span_id("") == ""
    odd = trace_id("job-1")  # an id that is no UUID
    assert valid_trace_parent(f"00-{odd}-{span_id('x')}-01")
    assert odd != trace_id("job-2")


def test_an_attempt_is_a_span_of_its_trace() -> None:
    own = attempt_trace_parent(JOB, "", "attempt-1")
    assert valid_trace_parent(own) == own
    assert own == f"00-0af7651916cd43dd8448eb211c80319c-{span_id('attempt-1')}-01"
    assert attempt_trace_parent(JOB, "", "attempt-2") != own
    unsampled = GIVEN.removesuffix("01") + "00"
    assert attempt_trace_parent(JOB, unsampled, "attempt-1").endswith("-00")
    assert (is_sampled(""), is_sampled(GIVEN), is_sampled(unsampled)) == (True, True, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        GIVEN.upper(),
        GIVEN + "-00",
        GIVEN + "\n",
        "ff" + GIVEN[2:],
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        GIVEN[:-1],
    ],
)
def test_what_is_no_traceparent_counts_as_none(text: str) -> None:
    assert valid_trace_parent(text) == ""


def test_a_traceparent_is_taken_as_it_is() -> None:
    assert valid_trace_parent(GIVEN) == GIVEN
