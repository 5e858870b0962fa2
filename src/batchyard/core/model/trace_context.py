"""The trace that a job belongs to, in the words of W3C Trace Context: a trace id, and the ids of its spans.

A job is a trace of its own, or part of the trace of the request that submitted it. All ids follow from those of jobs
and attempts: the same spans come out whenever they are made, and no state is kept for them."""

from __future__ import annotations

import re
from hashlib import blake2b

SPAN_ID_BYTES = 8  # W3C Trace Context, as the next one
TRACE_ID_BYTES = 16
SAMPLED = "01"  # flags: a program that continues the trace is to record it

_TRACE_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_ID = re.compile(f"(?!0+$)[0-9a-f]{{{2 * TRACE_ID_BYTES}}}")


def valid_trace_parent(text: str) -> str:
    """Returns a traceparent, or an empty text for what is none: the standard asks to go on without it."""
    return text if _TRACE_PARENT.fullmatch(text) else ""


def trace_id(job_id: str, trace_parent: str = "") -> str:
    """Returns the 32 hexadecimal digits of a job's trace: those of its submission's traceparent, else the job's UUID.
    `job_id`: of the submission, which children share."""
    if trace_parent:
        return trace_parent.split("-")[1]
    digits = job_id.replace("-", "")
    return digits if _TRACE_ID.fullmatch(digits) else _digest(job_id, TRACE_ID_BYTES)


def span_id(of: str) -> str:
    """Returns the 16 hexadecimal digits of the span of a job or an attempt, by its id."""
    return _digest(of, SPAN_ID_BYTES)


def caller_span_id(trace_parent: str) -> str:
    """Returns the span that submitted a job; empty where that is not known."""
    return trace_parent.split("-")[2] if trace_parent else ""


def attempt_trace_parent(job_id: str, trace_parent: str, attempt_id: str) -> str:
    """Returns the traceparent that an attempt finds: what it does is below its own span."""
    flags = trace_parent.split("-")[3] if trace_parent else SAMPLED
    return f"00-{trace_id(job_id, trace_parent)}-{span_id(attempt_id)}-{flags}"


def is_sampled(trace_parent: str) -> bool:
    """Whether spans of a trace are to be recorded: yes, unless the caller's flags say no."""
    return not trace_parent or bool(int(trace_parent.split("-")[3], 16) & 1)


def _digest(text: str, size: int) -> str:
    return blake2b(text.encode(), digest_size=size, person=b"trace").hexdigest()
