"""ListJobs: statuses, filters, children; pages neither skip nor repeat while jobs are added and change."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.core.model.changes import Changes
from batchyard.core.model.records import ArrayState, Status
from batchyard.store.queries import JobView, Reader
from batchyard.store.store import Store
from batchyard.store.writer import Writer
from tests.store.samples import NOW_MS, finished_job, job_id, make_job, make_spec, patient, submit
from tests.store.test_queries import array_of_four, commit

Listing = Callable[[int, str | None], tuple[list[JobView], str | None]]


def keys(listing: Listing, limit: int, between: Callable[[], None] = lambda: None) -> list[int]:
    """The keys on all pages; `between` is called after each."""
    found: list[int] = []
    cursor: str | None = None
    while True:
        page, cursor = listing(limit, cursor)
        assert len(page) <= limit
        found += [view.job.key for view in page]
        if cursor is None:
            return found
        assert len(page) == limit
        between()


def by_status(reader: Reader, status: Status | None) -> Listing:
    return lambda limit, after: reader.list_jobs("default", status, limit=limit, after=after)


def filtered(reader: Reader, name: str, *values: str) -> Listing:
    return lambda limit, after: reader.list_jobs("default", Status.RUNNING, name, values, limit, after)


def test_by_status_oldest_first_while_jobs_are_added(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(*(make_spec(key) for key in range(1, 8))), array_of_four())
    commit(writer, Changes(jobs={3: finished_job(3)}), submit(make_spec(50, queue="other")))
    new = iter(range(100, 200))

    listing = by_status(reader, Status.RUNNABLE)
    assert keys(listing, 100) == [1, 2, 4, 5, 6, 7], "children are not listed, nor other queues or statuses"
    seen = keys(listing, 2, lambda: commit(writer, submit(make_spec(next(new)))))
    assert seen[:6] == [1, 2, 4, 5, 6, 7]
    assert len(set(seen)) == len(seen)


def test_every_status(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(*(make_spec(key) for key in range(1, 8))), Changes(jobs={3: finished_job(3)}))
    for limit in (1, 3, 7):
        assert keys(by_status(reader, None), limit) == list(range(1, 8))


def test_listed_jobs_come_without_what_they_run(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(make_spec(1)))
    spec = reader.list_jobs("default", Status.RUNNABLE)[0][0].spec
    assert (spec.name, spec.definition, spec.container, spec.task.command) == ("job-1", "work:1", {}, ())


NAMES = ["Train", "train", "TRAIN-2", "trainer", "test", "a"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["train"], ["train"]),
        (["TRAIN"], ["train"]),
        (["tRain*"], ["train", "train-2", "trainer"]),
        (["*"], ["a", "test", "train", "train-2", "trainer"]),
        (["test", "a*", "te*"], ["a", "test"]),
        (["tra"], []),
        ([], []),
    ],
)
def test_by_name(writer: Writer, reader: Reader, values: list[str], expected: list[str]) -> None:
    named = {key: NAMES[key % len(NAMES)] for key in range(1, 25)}
    commit(writer, submit(*(make_spec(key, name=name) for key, name in named.items())))
    wanted = [key for key in named if named[key].lower() in expected]
    grouped = sorted(wanted, key=lambda key: (named[key].lower(), -key))
    for limit in (1, 3, 100):
        assert keys(filtered(reader, "JOB_NAME", *values), limit) == grouped


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["work"], ["work:1", "work:2", "work:10"]),
        (["work:2"], ["work:2"]),
        (["arn:aws:batch:us-east-1:123456789012:job-definition/work:10"], ["work:10"]),
        (["wor*"], ["work:1", "work:2", "work:10", "worker:1"]),
        (["Work"], []),
        (["arn:aws:batch:us-east-1:123456789012:job-definition/wor*"], []),
        (["work", "other:3"], ["work:1", "work:2", "work:10", "other:3"]),
    ],
)
def test_by_definition_newest_first(writer: Writer, reader: Reader, values: list[str], expected: list[str]) -> None:
    used = ["work:1", "work:2", "work:10", "worker:1", "other:3"]
    chosen = {key: used[key * 7 % len(used)] for key in range(1, 25)}
    commit(writer, submit(*(make_spec(key, definition=one) for key, one in chosen.items())))
    wanted = [key for key in sorted(chosen, reverse=True) if chosen[key] in expected]
    for limit in (1, 4, 100):
        assert keys(filtered(reader, "JOB_DEFINITION", *values), limit) == wanted


def test_by_time_newest_first(writer: Writer, reader: Reader) -> None:
    specs = [make_spec(key, created_at_ms=NOW_MS + key // 3) for key in range(1, 13)]  # several in one millisecond
    commit(writer, submit(*specs))
    for limit in (1, 4, 100):
        assert keys(filtered(reader, "BEFORE_CREATED_AT", str(NOW_MS + 2)), limit) == [5, 4, 3, 2, 1]
        assert keys(filtered(reader, "AFTER_CREATED_AT", str(NOW_MS + 2)), limit) == [12, 11, 10, 9]
    assert keys(filtered(reader, "AFTER_CREATED_AT", "9" * 400), 5) == []
    assert keys(filtered(reader, "BEFORE_CREATED_AT", "9" * 400), 50) == list(range(12, 0, -1))


@pytest.mark.parametrize("status", [None, Status.RUNNABLE, Status.SUCCEEDED])
def test_by_share_newest_first(writer: Writer, reader: Reader, status: Status | None) -> None:
    shares = {key: ("a", "b", "")[key % 3] for key in range(1, 25)}
    commit(writer, submit(*(make_spec(key, share_identifier=share) for key, share in shares.items())))
    ended = [key for key in shares if key % 4 == 0]
    commit(writer, Changes(jobs={key: finished_job(key) for key in ended}))
    commit(writer, submit(make_spec(50, queue="other", share_identifier="a")))

    def listing(*values: str) -> Listing:
        return lambda limit, after: reader.list_jobs("default", status, "SHARE_IDENTIFIER", values, limit, after)

    wanted = [k for k in sorted(shares, reverse=True) if status is None or (k in ended) == status.is_final]
    for limit in (1, 3, 100):
        assert keys(listing("a"), limit) == [key for key in wanted if shares[key] == "a"]
        assert keys(listing("b", "a", "a"), limit) == [key for key in wanted if shares[key]]
        assert keys(listing("A"), limit) == keys(listing(), limit) == []


def test_filtered_pages_hold_while_jobs_are_added(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(*(make_spec(key, name="same") for key in range(1, 10))))
    filters = {
        "JOB_NAME": "same*",
        "JOB_DEFINITION": "work",
        "BEFORE_CREATED_AT": str(NOW_MS * 2),
        "AFTER_CREATED_AT": "0",
    }
    new = iter(range(10, 200))
    for name, value in filters.items():
        before = keys(filtered(reader, name, value), 100)
        during = keys(
            filtered(reader, name, value), 2, lambda: commit(writer, submit(make_spec(next(new), name="same")))
        )
        assert during == before, f"{name}: jobs submitted while paging are newer than the first page"


@pytest.mark.parametrize("value", ["yesterday", "", "-1", "1e9", "٣"])
def test_a_time_that_is_none(reader: Reader, value: str) -> None:
    with pytest.raises(ValueError, match="BEFORE_CREATED_AT takes milliseconds since 1970"):
        reader.list_jobs("default", None, "BEFORE_CREATED_AT", [value])


def test_an_unknown_filter(reader: Reader) -> None:
    with pytest.raises(ValueError, match=r"The filter job_name is not known\. Use one of JOB_NAME, "):
        reader.list_jobs("default", None, "job_name", ["x"])


def children(reader: Reader, status: Status | None) -> Listing:
    parent = reader.jobs([job_id(10)])[0]
    return lambda limit, after: reader.list_children(parent, status, limit, after)


def test_children_by_status_in_the_order_of_their_indexes(writer: Writer, reader: Reader) -> None:
    commit(writer, array_of_four())
    expected = {"SUCCEEDED": [11], "RUNNING": [12], "RUNNABLE": [13], "FAILED": [14]}
    for status in Status:
        assert keys(children(reader, status), 2) == expected.get(status.value, [])
    for limit in (1, 3, 4, 100):
        assert keys(children(reader, None), limit) == [11, 12, 13, 14]


def test_a_job_that_is_no_array_has_no_children(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(make_spec(10)))
    assert keys(children(reader, None), 5) == []


def test_a_million_children_cost_no_more_than_their_page(writer: Writer, reader: Reader) -> None:
    size = 1_000_000
    commit(writer, submit(make_spec(10, array_size=size)))
    page, cursor = children(reader, Status.RUNNABLE)(3, None)
    assert [view.index for view in page] == [0, 1, 2]
    page, cursor = children(reader, None)(3, cursor)
    assert [view.index for view in page] == [3, 4, 5]
    assert cursor is not None


def test_children_that_begin_between_pages_are_shown_once(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(make_spec(10, array_size=9)))
    begun = 0

    def begin_one() -> None:
        nonlocal begun
        begun += 1
        state = ArrayState(9, ((begun, 9),), released_at_ms=1, row_counts={"STARTING": begun})
        parent = make_job(10, Status.PENDING, array=state)
        commit(writer, Changes(jobs={10: parent, 10 + begun: make_job(10 + begun, Status.STARTING)}))

    assert keys(children(reader, None), 2, begin_one) == list(range(11, 20))


@settings(patient, max_examples=20)
@given(st.lists(st.sampled_from(Status), min_size=1, max_size=12), st.integers(1, 4))
def test_statuses_divide_a_queue(tmp_path_factory: pytest.TempPathFactory, statuses: list[Status], limit: int) -> None:
    path = tmp_path_factory.mktemp("divide") / "a.db"
    writer = Store.open(path).writer()
    writer.open("1", "r")
    changes = submit(*(make_spec(key) for key in range(1, len(statuses) + 1)))
    changes.jobs = {key: make_job(key, status) for key, status in enumerate(statuses, 1)}
    commit(writer, changes)
    reader = Store.open(path).reader()
    for status in Status:
        listed = keys(by_status(reader, status), limit)
        assert listed == [key for key, one in enumerate(statuses, 1) if one is status]
    assert reader.counts("default") == {one.value: statuses.count(one) for one in statuses}
    reader.close()
    writer.close()
