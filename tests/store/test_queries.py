"""What the outside may ask: jobs and children by id, tags, attempts, counts, environments, queues, definitions."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from batchyard.core.model import names
from batchyard.core.model.changes import Changes
from batchyard.core.model.records import ArrayState, Definition, EndedTogether, Instance, Status
from batchyard.core.model.resources import Resources
from batchyard.store.job_queries import IN_LIST
from batchyard.store.queries import Reader
from batchyard.store.writer import Writer
from tests.store.samples import NOW_MS, finished_job, job_id, make_job, make_spec, ran, submit
from tests.store.test_load import definition, environment, queue

WAIT_SECONDS = 30


def commit(writer: Writer, *changes: Changes) -> None:
    for one in changes:
        writer.commit(one, NOW_MS).result(WAIT_SECONDS)


def array_of_four() -> Changes:
    """Child 0 succeeded, 1 runs, 2 waits without a row, 3 was cancelled before it began."""
    changes = submit(make_spec(10, array_size=4, tags={"k": "v"}))
    state = ArrayState(
        4,
        ((2, 3),),
        succeeded=((0, 1),),
        failed=((3, 4),),
        never_started=(EndedTogether(3, 4, "enough", NOW_MS),),
        released_at_ms=1,
        row_counts={"RUNNING": 1},
    )
    running = make_job(12, Status.RUNNING, attempt=ran(2), past=(ran(1), ran(1, 0)))
    changes.jobs |= {10: make_job(10, Status.PENDING, array=state), 11: finished_job(11), 12: running}
    return changes


def test_jobs_by_id_and_arn_in_the_order_asked(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(*(make_spec(key, tags={"n": str(key)}) for key in (1, 2, 3))))
    arn = names.Account("123456789012", "us-east-1").job_arn(job_id(1))
    views = reader.jobs([job_id(3), "unknown", arn, job_id(3), f"{job_id(2)}:0", f"{job_id(2)}#0", ""])
    assert [(view.job_id, view.spec.key, view.tags) for view in views] == [
        (job_id(3), 3, {"n": "3"}),
        (job_id(1), 1, {"n": "1"}),
    ]
    assert views[0].spec == make_spec(3, tags={"n": "3"})
    assert reader.jobs([]) == []


def test_a_write_is_seen_once_it_is_done(writer: Writer, reader: Reader) -> None:
    for key in range(1, 20):
        commit(writer, submit(make_spec(key)))
        assert len(reader.jobs([job_id(key)])) == 1
        commit(writer, Changes(jobs={key: finished_job(key)}))
        assert reader.jobs([job_id(key)])[0].job.status is Status.SUCCEEDED


def test_more_ids_than_one_statement_takes(writer: Writer, reader: Reader) -> None:
    many = range(1, IN_LIST + 50)
    commit(writer, submit(*(make_spec(key) for key in many)))
    assert [view.spec.key for view in reader.jobs([job_id(key) for key in many])] == list(many)


def test_children_with_and_without_rows(writer: Writer, reader: Reader) -> None:
    commit(writer, array_of_four())
    views = reader.jobs([f"{job_id(10)}:{index}" for index in (3, 0, 1, 2, 4)])
    assert [(view.index, view.job.status.value) for view in views] == [
        (3, "FAILED"),
        (0, "SUCCEEDED"),
        (1, "RUNNING"),
        (2, "RUNNABLE"),
    ]
    assert views[0].job_id == f"{job_id(10)}:3"
    assert views[0].job.status_reason == "enough"
    for view in views:
        assert view.tags == {}, "children are not tagged"
        assert view.parent is not None
        assert view.parent.key == 10
        assert view.spec.job_id == job_id(10)


def test_finished_statuses_of_jobs_and_children(writer: Writer, reader: Reader) -> None:
    commit(writer, array_of_four(), submit(make_spec(1), make_spec(2)), Changes(jobs={2: finished_job(2)}))
    asked = [job_id(1), job_id(2), job_id(10), *(f"{job_id(10)}:{index}" for index in range(5)), f"{job_id(2)}:0"]
    assert reader.finished_statuses(asked) == {
        job_id(2): "SUCCEEDED",
        f"{job_id(10)}:0": "SUCCEEDED",
        f"{job_id(10)}:3": "FAILED",
    }


def test_tags(writer: Writer, reader: Reader) -> None:
    commit(writer, array_of_four(), submit(make_spec(1)), Changes(job_tags={1: {"late": "tag"}}))
    tags = reader.tags([job_id(1), job_id(10), "unknown"])
    assert {one: (found.key, found.tags) for one, found in tags.items()} == {
        job_id(1): (1, {"late": "tag"}),
        job_id(10): (10, {"k": "v"}),
    }


def test_the_attempt_a_task_id_names(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(make_spec(1)), array_of_four(), Changes(jobs={1: finished_job(1)}))

    def found(key: int, number: int, owner: str) -> tuple[str, int, Any] | None:
        view = reader.attempt(names.task_id(key, number, owner))
        return None if view is None else (view.view.job_id, view.number, view.attempt)

    child = f"{job_id(10)}:1"
    assert found(1, 1, job_id(1)) == (job_id(1), 1, ran())
    assert found(12, 1, child) == (child, 1, ran(1))
    assert found(12, 2, child) == (child, 2, ran(2))
    assert found(12, 3, child) == (child, 3, None), "an attempt that has not begun"
    assert found(13, 1, f"{job_id(10)}:2") == (f"{job_id(10)}:2", 1, None), "of a child without a row"
    assert found(1, 1, job_id(2)) is None, "another data directory's"
    assert found(15, 1, f"{job_id(10)}:4") is None, "beyond the array"
    assert found(2, 1, f"{job_id(1)}:0") is None, "a child of a single job"
    for text in ("", "x" * 32, "0" * 32, "f" * 32, "g" + "0" * 31):
        assert reader.attempt(text) is None


def test_counts_are_of_top_level_jobs(writer: Writer, reader: Reader) -> None:
    commit(writer, array_of_four(), submit(*(make_spec(key) for key in (1, 2, 3))), Changes(jobs={2: finished_job(2)}))
    assert reader.counts("default") == {"PENDING": 1, "RUNNABLE": 2, "SUCCEEDED": 1}
    assert reader.counts("other") == {}


def test_environments_and_queues_by_name_and_by_page(writer: Writer, reader: Reader) -> None:
    five = ["e", "a", "d", "b", "c"]
    changes = Changes()
    changes.environments.update((name, environment(name)) for name in five)
    changes.queues.update((name, queue(name)) for name in five)
    commit(writer, changes)
    listings: tuple[Callable[..., tuple[list[Any], str | None]], ...] = (reader.environments, reader.queues)
    for listing in listings:
        page, cursor = listing(limit=2)
        rest, last = listing(limit=3, after=cursor)
        assert [one.name for one in page + rest] == sorted(five)
        assert last is None
        assert [one.name for one in listing(["d", "unknown", "b"])[0]] == ["b", "d"]
        assert listing([])[0] == []
    with pytest.raises(ValueError, match="nextToken is not valid"):
        reader.queues(after=reader.environments(limit=2)[1])


def test_documents_by_kind_name_and_page(writer: Writer, reader: Reader) -> None:
    names = ["i-3", "i-1", "i-2"]
    commit(writer, Changes(documents={("instance", name): Instance(name, Resources(1000, 64)) for name in names}))
    page, cursor = reader.documents("instance", limit=2)
    rest, last = reader.documents("instance", limit=2, after=cursor)
    assert [one.instance_id for one in page + rest] == sorted(names)
    assert last is None
    assert [one.instance_id for one in reader.documents("instance", ["i-2", "i-9"])[0]] == ["i-2"]


def test_definitions_by_name_status_and_page(writer: Writer, reader: Reader) -> None:
    made = [
        definition(name, revision, "INACTIVE" if revision == 2 else "ACTIVE")
        for name in "ba"
        for revision in (1, 2, 10)
    ]
    commit(writer, Changes(definitions={(one.name, one.revision): one for one in made}))

    def shown(found: tuple[list[Definition], str | None]) -> list[tuple[str, int]]:
        return [(one.name, one.revision) for one in found[0]]

    assert shown(reader.definitions()) == [(name, revision) for name in "ab" for revision in (1, 2, 10)]
    assert shown(reader.definitions(name="a", status="ACTIVE")) == [("a", 1), ("a", 10)]
    assert shown(reader.definitions([("b", 10), ("a", 2), ("c", 1)])) == [("a", 2), ("b", 10)]
    first = reader.definitions(limit=4)
    assert shown(first) + shown(reader.definitions(limit=4, after=first[1])) == shown(reader.definitions())
    assert first[1] is not None


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "garbage!",
        "a",
        "ÿ",
        "\ud800",
        encoded("{}"),
        encoded('["status"]'),
        encoded('["status","1"]'),
        encoded('["status",1,2]'),
        encoded('["status",true]'),
        encoded('["status",1.5]'),
        encoded('["name",1]'),
        encoded(f'["status",{2**63}]'),
        encoded(f'["status",{2**70}]'),
        "A" * 5000,
    ],
)
def test_an_unreadable_cursor_is_said_to_be_one(reader: Reader, cursor: str) -> None:
    with pytest.raises(ValueError, match=r"The nextToken is not valid\. Use the nextToken of the previous page"):
        reader.list_jobs("default", Status.RUNNABLE, after=cursor)
