"""The store of metrics on a real file: what is put is read, through sealing, roll-ups, retention and a restart."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.evaluators.metrics.samples import Samples, grouped, samples_of
from batchyard.store.metrics import metric_store
from batchyard.store.metrics.metric_store import MetricStore, TooManySeries
from batchyard.store.metrics.series import Datum, Series

START_S = 1_700_006_400  # where a day begins
DAY = 86_400
LOAD = Series("App", "Load", (("Host", "a"),), "Count")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MetricStore]:
    opened = MetricStore(tmp_path / "metrics.db")
    yield opened
    opened.close()


def put(store: MetricStore, at_s: int, *values: float, series: Series = LOAD, resolution_s: int = 60) -> None:
    store.put([Datum(series, at_s, samples_of(values), resolution_s)])


def points(store: MetricStore, start_s: int, end_s: int, series: Series = LOAD) -> list[tuple[int, Samples]]:
    found = store.find(series)
    assert found is not None
    return store.points(found.id, start_s, end_s)


def tend(store: MetricStore, now_s: int) -> None:
    while store.tend(now_s):
        pass


def test_samples_of_a_minute_come_together_and_the_range_is_half_open(store: MetricStore) -> None:
    put(store, START_S + 5, 1.0)
    put(store, START_S + 59, 3.0)
    put(store, START_S + 60, 7.0)
    assert points(store, START_S, START_S + 60) == [(START_S, samples_of([1.0, 3.0]))]
    assert points(store, START_S + 1, START_S + 61) == [(START_S + 60, samples_of([7.0]))]


def test_dimensions_and_units_are_series_of_their_own(store: MetricStore) -> None:
    for series in (LOAD, LOAD._replace(unit="Percent"), LOAD._replace(dimensions=())):
        put(store, START_S, 1.0, series=series)
    assert [one.series.unit for one in store.units("App", "Load", LOAD.dimensions)] == ["Count", "Percent"]
    assert store.find(LOAD._replace(dimensions=(("Host", "b"),))) is None


def test_what_is_finer_than_a_minute_is_kept_for_three_hours(store: MetricStore) -> None:
    for second in range(5):
        put(store, START_S + second, float(second), resolution_s=1)
    assert len(points(store, START_S, START_S + 60)) == 5
    tend(store, START_S + 3 * 3600 + 30)
    assert len(points(store, START_S, START_S + 60)) == 5
    tend(store, START_S + 3 * 3600 + 60)
    assert points(store, START_S, START_S + 60) == [(START_S, samples_of([0.0, 1.0, 2.0, 3.0, 4.0]))]


def test_a_question_sees_the_same_before_and_after_sealing(store: MetricStore) -> None:
    for minute in range(300):
        put(store, START_S + 60 * minute, float(minute % 7))
    before = points(store, START_S, START_S + 300 * 60)
    tend(store, START_S + 5 * 3600)
    assert points(store, START_S, START_S + 300 * 60) == before
    assert len(before) == 300
    put(store, START_S + 60, 5.0)  # late, beside a block that has this minute
    both = grouped(points(store, START_S, START_S + 180), START_S, START_S + 180, 60)
    assert both[START_S + 60] == samples_of([1.0, 5.0])
    tend(store, START_S + 5 * 3600)
    assert grouped(points(store, START_S, START_S + 180), START_S, START_S + 180, 60) == both


def test_whole_minutes_can_be_written_again_before_and_after_sealing(store: MetricStore) -> None:
    minute = [Datum(LOAD, START_S, samples_of([1.0], [12.0]))]
    store.replace(minute)
    store.replace(minute)
    assert points(store, START_S, START_S + 60) == [(START_S, samples_of([1.0], [12.0]))]
    tend(store, START_S + 5 * 3600)
    store.replace(minute)
    assert points(store, START_S, START_S + 60) == [(START_S, samples_of([1.0], [12.0]))]
    tend(store, START_S + 5 * 3600)
    assert points(store, START_S, START_S + 60) == [(START_S, samples_of([1.0], [12.0]))]


def test_minutes_are_rolled_up_after_15_days_then_after_63_and_end_after_455(store: MetricStore) -> None:
    for minute in range(0, 1440, 10):
        put(store, START_S + 60 * minute, 1.0, 3.0)
    ages = ((14, 144, 600), (17, 144, 600), (65, 24, 3600))
    for days, count, step_s in ages:
        tend(store, START_S + days * DAY)
        found = points(store, START_S, START_S + DAY)
        assert len(found) == count, days
        assert found[1][0] - found[0][0] == step_s
        assert sum(samples.total for _, samples in found) == 144 * 4
        assert {samples.maximum for _, samples in found} == {3.0}
    tend(store, START_S + 490 * DAY)
    assert store.find(LOAD) is None
    assert store.series() == []


def test_everything_is_there_after_a_restart(store: MetricStore, tmp_path: Path) -> None:
    put(store, START_S, 1.0, 2.0)
    again = MetricStore(tmp_path / "metrics.db")
    assert points(again, START_S, START_S + 60) == [(START_S, samples_of([1.0, 2.0]))]
    assert again.series() == store.series()
    again.close()


def test_the_number_of_series_has_a_limit_and_a_refused_put_adds_nothing(
    store: MetricStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_store, "MAX_SERIES", 2)
    many = [Datum(LOAD._replace(name=f"m{number}"), START_S, samples_of([1.0])) for number in range(3)]
    with pytest.raises(TooManySeries, match="at most 2"):
        store.put(many)
    assert store.series() == []
    store.put(many[:2])
    assert len(store.series()) == 2
