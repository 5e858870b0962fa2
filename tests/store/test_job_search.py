"""Searches over all queues: newest first, filters together, pages in both directions, at a bounded cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from batchyard.core.model.changes import Changes
from batchyard.core.model.records import JobSpec, Status
from batchyard.store import job_search
from batchyard.store.queries import JobFilter, Reader
from batchyard.store.store import Store
from batchyard.store.writer import Writer
from tests.store.samples import ACCOUNT, NOW_MS, REGION, finished_job, make_spec, patient, submit
from tests.store.test_queries import array_of_four, commit

QUEUES, NAMES, DEFINITIONS = ("hi", "lo", "mid"), ("train", "Train-2", "eval", "x%y"), ("work:1", "work:2", "worker:1")


def older_pages(reader: Reader, wanted: JobFilter, limit: int) -> list[list[int]]:
    pages, cursor = [], None
    while True:
        page = reader.search_jobs(wanted, limit, older=cursor)
        assert len(page.views) <= limit
        pages.append([view.spec.key for view in page.views])
        cursor = page.older
        if cursor is None:
            return pages


def matches(spec: JobSpec, status: Status, wanted: JobFilter) -> bool:
    """What the filter says, in plain words."""
    name = spec.name.lower()
    asked = wanted.name.lower()
    named = (
        asked.strip("*") in name
        if asked.startswith("*")
        else name.startswith(asked[:-1])
        if asked.endswith("*")
        else name == asked
    )
    return (
        (not wanted.queue or spec.queue == wanted.queue)
        and (not wanted.statuses or status in wanted.statuses)
        and (not wanted.name or named)
        and (wanted.definition in ("", spec.definition) or spec.definition.partition(":")[0] == wanted.definition)
        and (not wanted.share or spec.share_identifier == wanted.share)
        and (wanted.tag is None or (wanted.tag[0] in spec.tags and wanted.tag[1] in ("", spec.tags[wanted.tag[0]])))
        and spec.created_at_ms >= wanted.since_ms
        and (not wanted.before_ms or spec.created_at_ms < wanted.before_ms)
    )


one_job = st.tuples(
    st.sampled_from(QUEUES),
    st.sampled_from(NAMES),
    st.sampled_from(DEFINITIONS),
    st.sampled_from(["", "a", "b"]),
    st.sampled_from([{}, {"team": "a"}, {"team": 'q"%', "x": "1"}]),
    st.sampled_from([Status.RUNNABLE, Status.RUNNING, Status.SUCCEEDED, Status.FAILED]),
)
times = st.sampled_from([0, NOW_MS + 3, NOW_MS + 9, NOW_MS + 200])
filters = st.builds(
    JobFilter,
    queue=st.sampled_from(["", "", *QUEUES, "none"]),
    statuses=st.sampled_from([(), (), (Status.FAILED,), (Status.RUNNABLE, Status.RUNNING)]),
    name=st.sampled_from(["", "", "train", "tr*", "*ai*", "x%y", "x%*"]),
    definition=st.sampled_from(["", "", "work", "work:2", "none"]),
    share=st.sampled_from(["", "", "a"]),
    tag=st.sampled_from([None, None, ("team", "a"), ("team", ""), ("team", 'q"%'), ("x", "2")]),
    since_ms=times,
    before_ms=times,
)


@settings(patient, max_examples=60)
@given(st.lists(one_job, max_size=24), filters, st.integers(1, 5), st.sampled_from([3, 5_000]))
def test_every_job_of_the_filter_is_on_one_page(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], wanted: JobFilter, limit: int, walked: int
) -> None:
    path = tmp_path_factory.mktemp("search") / "yard.db"
    writer = Store.open(path).writer()
    writer.open(ACCOUNT, REGION)
    reader = Store.open(path).reader()
    specs = []
    for key, (queue, name, definition, share, tags, status) in enumerate(rows, 1):
        spec = make_spec(key, queue=queue, name=name, definition=definition, share_identifier=share, tags=tags)
        commit(writer, submit(spec, status=status))
        specs.append((spec, status))
    expected = [spec.key for spec, status in reversed(specs) if matches(spec, status, wanted)]
    before, job_search.MAX_WALKED = job_search.MAX_WALKED, walked
    try:
        pages = older_pages(reader, wanted, limit)
        assert [key for page in pages for key in page] == expected
        if walked > len(rows):
            assert all(len(page) == limit for page in pages[:-1])
    finally:
        job_search.MAX_WALKED = before
        reader.close()
        writer.close()


def test_the_way_back_shows_the_same_pages(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(*(make_spec(key, queue="hi" if key % 3 else "lo") for key in range(1, 24))))
    for wanted in (JobFilter(), JobFilter(queue="hi"), JobFilter(statuses=(Status.RUNNABLE,)), JobFilter(name="*job*")):
        pages = older_pages(reader, wanted, 5)
        cursors: list[Any] = [None]
        for _ in pages[1:]:
            cursors.append(reader.search_jobs(wanted, 5, older=cursors[-1]).older)
        for (this, cursor), (earlier, _) in pairwise([*zip(reversed(pages), reversed(cursors), strict=True)]):
            found = reader.search_jobs(wanted, 5, newer=reader.search_jobs(wanted, 5, older=cursor).newer)
            assert [view.spec.key for view in found.views] == earlier, this
        first = reader.search_jobs(wanted, 5, newer=found.newer)
        assert first.newer is None, "the newest page has nothing before it"


def test_children_are_not_listed_and_arrays_are(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(make_spec(1)), array_of_four(), submit(make_spec(20)))
    assert older_pages(reader, JobFilter(), 10) == [[20, 10, 1]]


def test_a_search_ends_at_its_bound_and_goes_on(
    writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_search, "MAX_WALKED", 10)
    commit(writer, submit(*(make_spec(key, name="odd" if key == 3 else "job") for key in range(1, 31))))
    first = reader.search_jobs(JobFilter(name="*odd*"), 5)
    assert (first.views, first.walked) == ([], 10)
    pages = older_pages(reader, JobFilter(name="*odd*"), 5)
    assert pages == [[], [], [3], []]


def test_counts_are_capped(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(*(make_spec(key, queue="hi" if key % 2 else "lo") for key in range(1, 10))))
    commit(writer, Changes(jobs={1: finished_job(1, Status.FAILED)}))
    assert reader.capped_counts(most=100) == dict.fromkeys(map(str, Status), 0) | {"RUNNABLE": 8, "FAILED": 1}
    assert reader.capped_counts(most=6)["RUNNABLE"] == 6
    assert reader.capped_counts("lo")["RUNNABLE"] == 4


def test_an_unreadable_cursor_is_refused(reader: Reader) -> None:
    for cursor in ("x", "bm9uZQ"):
        with pytest.raises(ValueError, match="nextToken"):
            reader.search_jobs(JobFilter(), 5, older=cursor)


@contextmanager
def plans(reader: Reader) -> Iterator[list[str]]:
    """How SQLite carries out what runs inside."""
    found: list[str] = []
    busy = False

    def look(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        nonlocal busy
        if not busy and statement.lstrip().startswith("SELECT"):
            busy = True
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            found.extend(row[3] for row in rows)
            busy = False

    event.listen(reader._engine, "before_cursor_execute", look)
    yield found
    event.remove(reader._engine, "before_cursor_execute", look)


@pytest.mark.parametrize(
    "wanted",
    [
        JobFilter(),
        JobFilter(queue="hi"),
        JobFilter(statuses=(Status.FAILED,)),
        JobFilter(queue="hi", statuses=(Status.FAILED,), name="tr*"),
        JobFilter(name="train"),
        JobFilter(definition="work:1", tag=("team", "a")),
        JobFilter(share="a", since_ms=5, before_ms=NOW_MS * 2),
    ],
)
def test_no_search_reads_or_sorts_a_table(writer: Writer, reader: Reader, wanted: JobFilter) -> None:
    commit(writer, submit(make_spec(1, queue="hi", name="train", share_identifier="a")))
    with plans(reader) as found:
        reader.search_jobs(wanted, 5)
        reader.capped_counts()
    assert found
    whole = [line for line in found if line.startswith("SCAN") and line not in ("SCAN anon_1", "SCAN CONSTANT ROW")]
    assert not whole, found
    assert not [line for line in found if "TEMP B-TREE" in line], found
