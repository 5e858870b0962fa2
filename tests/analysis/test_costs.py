"""What runs cost, by what they belong to: hours, waste, and the parts of instances' prices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.analysis.costs import IDLE, NONE, Span, costs
from batchyard.analysis.past_runs import HOST_LOST, PastInstance, PastRun
from tests.analysis.runs import HOUR_MS, instance, run

DAY = Span(0, 24 * HOUR_MS)


def test_hours_are_of_what_was_asked_for() -> None:
    report = costs([run(), run(milli_vcpus=2000, gpus=1, stopped_at_ms=2 * HOUR_MS)], [], DAY, "queue")
    (row,) = report.rows
    assert (row.name, row.attempts) == ("work", 2)
    assert row.milli_vcpu_ms == 5000 * HOUR_MS
    assert row.mib_ms == 3 * 1024 * HOUR_MS
    assert row.gpu_ms == 2 * HOUR_MS
    assert not report.is_priced
    assert report.total.micro_dollars == 0


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("queue", {"work"}),
        ("share", {"a", NONE}),
        ("definition", {"step"}),
        ("key", {"ann", NONE}),
        ("environment", {"fleet"}),
        ("tag:team", {"blue", NONE}),
    ],
)
def test_by_each_kind(by: str, names: set[str]) -> None:
    runs = [run(share="a", principal="ann", tags={"team": "blue"}), run()]
    assert {row.name for row in costs(runs, [], DAY, by).rows} == names


@pytest.mark.parametrize("by", ["tag", "tag:", "colour", ""])
def test_an_unknown_kind_is_refused_with_those_there_are(by: str) -> None:
    with pytest.raises(ValueError, match="There are: queue, share, definition, key, environment, tag:KEY"):
        costs([], [], DAY, by)


def test_a_run_costs_its_part_of_the_instance_and_the_rest_is_idle() -> None:
    report = costs([run(instance_ids=("i-1",))], [instance()], DAY, "queue")
    (row,) = report.rows
    assert row.micro_dollars == 100_000, "an hour of 9 + 1 of 22 parts"
    assert report.idle.name == IDLE
    assert report.idle.micro_dollars == 2 * 220_000 - 100_000
    assert report.idle.milli_vcpu_ms == 3000 * HOUR_MS
    assert report.total.micro_dollars == 440_000


def test_nodes_of_one_run_each_hold_their_instance() -> None:
    runs = [run(num_nodes=2, milli_vcpus=2000, memory_mib=2048, instance_ids=("i-1", "i-2"))]
    report = costs(runs, [instance(), instance(instance_id="i-2")], DAY, "queue")
    assert report.rows[0].micro_dollars == 200_000


def test_an_instance_costs_a_minute_at_least() -> None:
    report = costs([], [instance(ended_at_ms=1000)], DAY, "queue")
    assert report.total.micro_dollars == 220_000 // 60


def test_what_was_not_used_and_what_was_lost() -> None:
    runs = [
        run(cpu_ms=HOUR_MS // 4, peak_memory_mib=256),
        run(job_id="lost", outcome=HOST_LOST),
    ]
    (row,) = costs(runs, [], DAY, "queue").rows
    assert row.measured_milli_vcpu_ms == 1000 * HOUR_MS, "the other was not measured"
    assert row.used_milli_vcpu_ms == 250 * HOUR_MS
    assert row.measured_mib_ms - row.used_mib_ms == 768 * HOUR_MS
    assert row.interrupted_milli_vcpu_ms == 1000 * HOUR_MS


def test_the_dearest_comes_first() -> None:
    runs = [run(queue="small"), run(queue="large", milli_vcpus=4000)]
    assert [row.name for row in costs(runs, [], DAY, "queue").rows] == ["large", "small"]


times = st.integers(1, 10 * HOUR_MS)


@st.composite
def pasts(draw: st.DrawFn) -> tuple[list[PastRun], list[PastInstance]]:
    instances = [
        instance(instance_id=f"i-{n}", launched_at_ms=(at := draw(times)), ended_at_ms=at + 60_000 + draw(times))
        for n in range(draw(st.integers(0, 3)))
    ]
    runs = []
    for one in instances:  # a run at a time, so that no instance is held beyond what it has
        start = draw(st.integers(one.launched_at_ms, one.ended_at_ms))
        stop = draw(st.integers(start, one.ended_at_ms))
        queue = draw(st.sampled_from(["a", "b"]))
        tags = draw(st.sampled_from([{}, {"team": "x"}]))
        runs.append(
            run(
                queue=queue,
                tags=tags,
                started_at_ms=start,
                stopped_at_ms=stop,
                instance_ids=(one.instance_id,),
                cpu_ms=draw(st.integers(0, HOUR_MS)),
            )
        )
    return runs, instances


@given(pasts(), st.integers(1, 20 * HOUR_MS))
def test_spans_that_meet_add_up_to_the_whole(past: tuple[list[PastRun], list[PastInstance]], middle_ms: int) -> None:
    runs, instances = past
    end = 21 * HOUR_MS
    whole = costs(runs, instances, Span(0, end), "queue").total
    first = costs(runs, instances, Span(0, middle_ms), "queue").total
    second = costs(runs, instances, Span(middle_ms, end), "queue").total
    assert first.milli_vcpu_ms + second.milli_vcpu_ms == whole.milli_vcpu_ms
    assert first.gpu_ms + second.gpu_ms == whole.gpu_ms
    assert abs(first.micro_dollars + second.micro_dollars - whole.micro_dollars) <= 2 * (len(runs) + len(instances))


@given(pasts(), st.sampled_from(["queue", "definition", "share", "tag:team"]))
def test_every_division_has_the_same_total(past: tuple[list[PastRun], list[PastInstance]], by: str) -> None:
    runs, instances = past
    span = Span(0, 21 * HOUR_MS)
    report, other = costs(runs, instances, span, by), costs(runs, instances, span, "key")
    assert report.total == other.total
    assert sum(row.milli_vcpu_ms for row in report.rows) + report.idle.milli_vcpu_ms == report.total.milli_vcpu_ms
    lives = sum(span.part_of(one.launched_at_ms, one.ended_at_ms) * one.milli_vcpus for one in instances)
    assert report.total.milli_vcpu_ms == lives, "all capacity is held or idle"
