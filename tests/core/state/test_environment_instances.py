"""What is counted of an environment's instances is what a scan over all of them finds."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from batchyard.core.model.records import Instance, InstanceState
from batchyard.core.model.resources import Resources
from batchyard.core.state.environment_instances import (
    COMING,
    MAX_FORECASTS,
    MIN_REBUILT,
    EnvironmentInstances,
    IdleHeap,
)
from batchyard.core.state.instance_table import Instances
from batchyard.core.state.placement import Available

SIZES = (2000, 4000, 16000)
FLEET = "fleet"


def added(table: Instances, name: str, milli_vcpus: int = 2000) -> Instance:
    instance = Instance(
        name, Resources(milli_vcpus), (), environment=FLEET, state=InstanceState.LAUNCHING, provider="host"
    )
    table.add(instance)
    table.available[name] = Available(instance.resources, [])
    return instance


@given(
    st.lists(st.tuples(st.sampled_from(("add", "ready", "busy", "idle", "drain", "end", "remove")), st.integers(0, 50)))
)
def test_counts_are_those_of_a_scan(steps: list[tuple[str, int]]) -> None:
    table, now_ms = Instances(), 0
    for what, number in steps:
        now_ms += number % 3
        here = list(table.launched_in.get(FLEET, ()))
        if what == "add":
            added(table, f"i-{len(here)}-{now_ms}-{number}-{table.of(FLEET).milli_vcpus}", SIZES[number % 3])
        if not here or what == "add":
            continue
        instance = table[here[number % len(here)]]
        if what == "ready" and instance.state is InstanceState.LAUNCHING:
            table.put(replace(instance, state=InstanceState.READY))
            table.mark_idle(instance.instance_id, now_ms)
        elif what == "idle" and instance.state is InstanceState.READY:
            table.mark_idle(instance.instance_id, now_ms)
        elif what == "busy":
            table.mark_busy(instance.instance_id)
        elif what == "drain" and instance.state in COMING:
            table.put(replace(instance, state=InstanceState.DRAINING, ends_at_ms=now_ms + number))
            table.mark_busy(instance.instance_id)
        elif what == "end":
            table.put(replace(instance, state=InstanceState.TERMINATING))
            table.mark_busy(instance.instance_id)
        elif what == "remove":
            table.remove(instance.instance_id)
        compare(table, now_ms)


def compare(table: Instances, now_ms: int) -> None:
    counted, own = table.of(FLEET), [table[name] for name in table.launched_in.get(FLEET, ())]
    lasting = [one for one in own if one.state is not InstanceState.TERMINATING]
    coming = [one for one in own if one.state in COMING]
    assert {one.instance_id for one in own} == set(table)
    assert counted.milli_vcpus == sum(one.resources.milli_vcpus for one in lasting)
    assert counted.milli_vcpus == table.living.get("host", Resources()).milli_vcpus
    assert counted.coming_milli_vcpus == sum(one.resources.milli_vcpus for one in coming)
    assert sorted(counted.sizes) == sorted({one.resources for one in coming})
    assert list(counted.launching) == [one.instance_id for one in own if one.state is InstanceState.LAUNCHING]
    draining = [one.instance_id for one in own if one.state is InstanceState.DRAINING]
    assert counted.in_order(counted.draining) == draining
    for most in (1999, *SIZES):
        idle = [(since, i) for i, since in table.idle_since.items() if table[i].resources.milli_vcpus <= most]
        assert counted.first_idle(most) == min(idle, default=None)
    ends = [one.ends_at_ms for one in own if one.ends_at_ms > now_ms]
    assert table.next_end_ms(now_ms) == min(ends, default=None)


def test_an_idle_heap_does_not_grow_with_what_becomes_idle_and_busy_again() -> None:
    since = {"i-old": 1}
    heap = IdleHeap(since)
    heap.push("i-old")
    for at_ms in range(2, 1000):
        since["i-new"] = at_ms
        heap.push("i-new")
        heap.count -= 1
        del since["i-new"]
    assert heap.first() == (1, "i-old")
    assert len(heap._entries) <= MIN_REBUILT + 1


def test_an_environment_without_instances_has_none_of_anything() -> None:
    none = Instances().of("unknown")
    assert (none.ids, none.milli_vcpus, none.coming_milli_vcpus, none.sizes) == ([], 0, 0, {})
    assert none.first_idle(1 << 40) is None
    assert isinstance(none, EnvironmentInstances)


def test_forecasts_of_amounts_that_no_head_waits_for_any_more_are_dropped() -> None:
    table = Instances()
    added(table, "i-1")
    kept = table.of(FLEET).forecast(Resources(1))
    for number in range(2, MAX_FORECASTS + 5):
        table.of(FLEET).forecast(Resources(number))
        assert table.of(FLEET).forecast(Resources(1)) is kept
    assert len(table.of(FLEET)._forecasts) == MAX_FORECASTS


def test_a_forecast_looks_again_at_what_came_went_and_changed() -> None:
    table = Instances()
    instance = added(table, "i-1")
    forecast = table.of(FLEET).forecast(Resources(1))
    assert forecast.earliest_ms(lambda _: (7, True)) == 7
    assert not forecast.changed
    table.put(replace(instance, state=InstanceState.READY))
    assert forecast.changed == {"i-1"}
    added(table, "i-2")
    assert forecast.changed == {"i-1", "i-2"}
    forecast.changed.clear()
    table.remove("i-1")
    assert forecast.changed == {"i-1"}
