"""Traces: the Standard Workload Format with its faults, CSV, a synthetic mix, and the service's own history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.planning.csv_trace import read_csv
from batchyard.planning.history import workload_of
from batchyard.planning.swf import read_swf, write_swf
from batchyard.planning.synthetic import lublin
from batchyard.planning.workload import ITSELF, TraceError, Workload
from tests.analysis.runs import run
from tests.planning.worlds import S, job

TRACE = """; Version: 2.2
; Computer: Test SP2
; MaxProcs: 128
; Queue: 1 short (limits)
; Note: a label that nothing needs
 1 100 0 60 4 -1 1024 -1 120 -1 1 7 2 3 1 -1 -1 -1
 2 50.5 -1 10.25 1 -1 -1 2 -1 2048 0 7 -1 -1 9 -1 -1 -1
 3 60 5 -1 4 -1 -1 4 100 -1 5 1 1 1 1 -1 -1 -1
 4 70 5 30 -1 -1 -1 -1 100 -1 1 1 1 1 1 -1 -1 -1
 5 70 5 30 2 -1 -1 2 100 -1 2 1 1 1 1 -1 -1 -1
 6 broken
 7 80 0 200 1 -1 -1 1 100 -1 1
"""


def test_the_fields_of_a_trace() -> None:
    found = read_swf(TRACE.splitlines(), "test.swf")
    assert found.vcpus == 128
    assert found.source == "Test SP2, 3 jobs"
    second, short, first = found.jobs
    assert (second.submit_ms, second.runs_ms, second.milli_vcpus) == (0, (10_250,), 2000)
    assert (second.memory_mib, second.queue, second.share, second.limit_ms) == (4, "queue-9", "", 0)
    assert (short.submit_ms, short.queue) == (29_500, "default"), "a short line is padded"
    assert short.limit_ms == 200 * S, "it ran on beyond its limit there"
    assert (first.submit_ms, first.runs_ms, first.milli_vcpus) == (49_500, (60 * S,), 4000)
    assert (first.memory_mib, first.queue, first.share) == (4, "short", "group2")
    assert (first.limit_ms, first.definition) == (120 * S, "executable-3")


def test_lines_that_count_for_nothing_are_counted() -> None:
    notes = " ".join(read_swf(TRACE.splitlines(), "test.swf").notes)
    for reason in ("no run time", "no number of processors", "parts of jobs", "no numbers"):
        assert reason in notes, reason
    assert notes.count("1 lines left out") == 4


def test_a_trace_that_forbids_overuse_kills_at_the_limit() -> None:
    lines = ["; AllowOveruse: No", "1 0 0 200 1 -1 -1 1 100 -1 1 1 1 1 1 -1 -1 -1"]
    assert read_swf(lines, "test.swf").jobs[0].limit_ms == 100 * S


@given(st.lists(st.text(alphabet="0123456789.-+e;: abnif", max_size=60)))
def test_no_line_breaks_the_reader(lines: list[str]) -> None:
    try:
        found = read_swf(lines, "fuzz.swf")
    except TraceError:
        return
    assert all(one.runs_ms[0] >= 1 and one.milli_vcpus >= 1000 for one in found.jobs)
    assert [one.submit_ms for one in found.jobs] == sorted(one.submit_ms for one in found.jobs)


def test_what_is_written_is_read_again() -> None:
    jobs = [
        job(submit_s=0, run_s=1.5, vcpus=2, memory_mib=1024, queue="a", share="x", limit_ms=60 * S),
        job(submit_s=2.25, run_s=7, queue="b", share="y"),
    ]
    again = read_swf(write_swf(Workload(jobs, "a test"), 0), "again.swf")
    for one, other in zip(jobs, again.jobs, strict=True):
        assert (one.submit_ms, one.runs_ms, one.milli_vcpus) == (other.submit_ms, other.runs_ms, other.milli_vcpus)
        assert (one.memory_mib, one.queue, one.limit_ms) == (other.memory_mib, other.queue, other.limit_ms)
    assert len({one.share for one in again.jobs}) == 2


def test_columns_of_a_csv() -> None:
    text = "submit,run,vcpus,memory,gpus,size,share,timeout\n5,10,2,1024,1,3,x,120\n2.5,0.5,,,,,,\n"
    first, second = read_csv(text.splitlines(), "t.csv").jobs
    assert (first.submit_ms, first.runs_ms, first.milli_vcpus, first.memory_mib) == (0, (500,), 1000, 512)
    assert (second.submit_ms, second.runs_ms, second.gpus, second.share) == (2500, (10 * S,) * 3, 1, "x")
    assert second.limit_ms == 120 * S


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("run\n1\n", "has no column submit"),
        ("submit,run,colour\n1,1,red\n", "has a column colour"),
        ("submit,run\n", "has no jobs"),
        ("submit,run\n1,\n", "line 2: run is empty"),
        ("submit,run,vcpus\n1,1,none\n", "line 2: vcpus must be a number"),
        ("submit,run,size\n1,1,10001\n", "size must be at most 10,000"),
        ("submit,run\n-1,1\n", "submit must be a number of at least 0"),
        ("submit,run\nnan,1\n", "submit must be a number"),
    ],
)
def test_faults_of_a_csv_name_the_line(text: str, part: str) -> None:
    with pytest.raises(TraceError) as caught:
        read_csv(text.splitlines(), "t.csv")
    assert part in str(caught.value)


@pytest.mark.parametrize("load", [0.5, 0.9, 1.5])
def test_a_synthetic_mix_has_the_load_that_was_asked_for(load: float) -> None:
    found = lublin(2000, 128, load, seed=3)
    work = sum(one.milli_vcpus * one.runs_ms[0] for one in found.jobs)
    span = found.jobs[-1].submit_ms
    assert work / 1000 / 128 / span == pytest.approx(load, rel=0.001)
    assert all(1000 <= one.milli_vcpus <= 128_000 for one in found.jobs)
    assert all(not one.limit_ms or one.limit_ms >= one.runs_ms[0] - S for one in found.jobs)
    assert found.jobs == lublin(2000, 128, load, seed=3).jobs, "the seed decides"
    assert found.jobs != lublin(2000, 128, load, seed=4).jobs


def test_a_mix_has_the_shape_of_the_model() -> None:
    """Of the published model: a quarter of the jobs is serial, and most sizes are powers of two."""
    jobs = lublin(5000, 128, 0.9, seed=5).jobs
    sizes = [one.milli_vcpus // 1000 for one in jobs]
    assert 0.2 < sizes.count(1) / len(sizes) < 0.4
    assert sum(size & (size - 1) == 0 for size in sizes) / len(sizes) > 0.7


def test_a_history_has_arrays_dependencies_and_the_last_attempts() -> None:
    runs = [
        run(job_id="a:0", array_size=2, created_at_ms=100, started_at_ms=200, stopped_at_ms=300),
        run(job_id="a:1", array_size=2, created_at_ms=100, started_at_ms=200, stopped_at_ms=450),
        run(job_id="b", created_at_ms=150, started_at_ms=500, stopped_at_ms=600, depends_on=(("a", ""),)),
        run(job_id="c", created_at_ms=160, started_at_ms=500, stopped_at_ms=501, outcome="HOST_LOST", is_last=False),
        run(job_id="c", attempt=2, created_at_ms=160, started_at_ms=510, stopped_at_ms=560),
        run(job_id="d", created_at_ms=170, started_at_ms=510, stopped_at_ms=0),
        run(job_id="e:3", array_size=9, created_at_ms=180, started_at_ms=510, stopped_at_ms=520),
        run(job_id="f", created_at_ms=190, started_at_ms=510, stopped_at_ms=520, depends_on=(("gone", ""),)),
        run(job_id="g:0", array_size=2, created_at_ms=200, depends_on=(("", "SEQUENTIAL"),)),
        run(job_id="g:1", array_size=2, created_at_ms=200, depends_on=(("", "SEQUENTIAL"),)),
    ]
    found = workload_of(runs)
    assert [one.runs_ms for one in found.jobs[:5]] == [(100, 250), (100,), (50,), (10,), (10,)]
    assert [one.submit_ms for one in found.jobs] == [0, 50, 60, 80, 90, 100]
    assert found.jobs[1].depends_on == ((0, ""),)
    assert found.jobs[5].depends_on == ((ITSELF, "SEQUENTIAL"),)
    assert len(found.notes) == 3
    with pytest.raises(TraceError, match="No job has ended"):
        workload_of([])
