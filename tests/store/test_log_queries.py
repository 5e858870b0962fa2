"""Log groups and streams come from the jobs: one stream to each attempt that ran, in the orders of CloudWatch Logs."""

import itertools

import pytest
from msgspec.structs import replace

from batchyard.core.model import names
from batchyard.core.model.changes import Changes
from batchyard.core.model.records import ContainerLog, NodeGroup, NodeRun, Placement, Status
from batchyard.store.queries import LogStream, Reader
from batchyard.store.writer import Writer
from tests.store.samples import NOW_MS, finished_job, job_id, make_job, make_spec, ran, submit
from tests.store.test_queries import array_of_four, commit

GROUP = "/aws/batch/job"
# Of one task: their places in the order by name are far from each other.
LOGS = (
    ContainerLog("main", GROUP, "zz"),
    ContainerLog("default", GROUP, "a"),
    ContainerLog("side", GROUP, "work"),
    ContainerLog("apart", "/other", "work"),
)
PREFIXES = ("a", "a-b", "a/default/0", "a.b", "work", "ab")


def fill(writer: Writer) -> list[str]:
    """Jobs of several prefixes with none to three attempts, an array, and another group; the streams by name."""
    changes = submit(
        *(make_spec(100 + n, log_prefix=PREFIXES[n % len(PREFIXES)]) for n in range(24)),
        make_spec(300, log_group="/other"),
    )
    changes.jobs[300] = finished_job(300)
    expected = []
    for n in range(24):
        key, count = 100 + n, n % 4
        past = tuple(ran(number, NOW_MS + 1000 - 10 * n + number) for number in range(1, count + 1))
        never = ran(count + 1, 0)
        changes.jobs[key] = make_job(key, Status.FAILED, past=(*past, never))
        prefix = PREFIXES[n % len(PREFIXES)]
        expected += [names.log_stream(prefix, names.task_id(key, one.number, job_id(key))) for one in past]
    several = make_spec(400, container_logs=LOGS)
    changes_of_several = submit(several, make_spec(401, log_prefix="ab", container_logs=LOGS[2:3]))
    changes_of_several.jobs |= {
        key: make_job(key, Status.FAILED, past=(ran(1, NOW_MS + 300), ran(2, NOW_MS + 900))) for key in (400, 401)
    }
    for key, logs in ((400, LOGS), (401, LOGS[2:3])):
        for number in (1, 2):
            task = names.task_id(key, number, job_id(key))
            expected += [names.log_stream(log.prefix, task, log.container) for log in logs if log.group == GROUP]
    commit(writer, array_of_four(), changes, changes_of_several)
    first, second = f"{job_id(10)}:0", f"{job_id(10)}:1"
    expected += [names.log_stream("work", names.task_id(11, 1, first))]
    expected += [names.log_stream("work", names.task_id(12, number, second)) for number in (1, 2)]
    return sorted(expected)


def pages(reader: Reader, limit: int, prefix: str = "", **order: bool) -> list[LogStream]:
    found: list[LogStream] = []
    cursor: str | None = None
    while True:
        page, cursor = reader.log_streams(GROUP, prefix, limit, cursor, **order)
        found += page
        if cursor is None:
            return found
        assert len(page) == limit


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
@pytest.mark.parametrize("descending", [False, True])
def test_streams_by_name(writer: Writer, reader: Reader, limit: int, descending: bool) -> None:
    expected = fill(writer)
    found = [stream.name for stream in pages(reader, limit, descending=descending)]
    if descending:
        expected = expected[::-1]
    # A prefix that itself reads like a whole stream name sorts beside its look-alike, not within its streams.
    plain = [name for name in expected if not name.startswith("a/default/0/")]
    assert [name for name in found if not name.startswith("a/default/0/")] == plain
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    "prefix",
    ["", "a", "a-", "a/", "a/default", "a/default/", "work/default/0", "work/side/", "work/side/0", "b", "zzz"],
)
def test_streams_by_prefix(writer: Writer, reader: Reader, prefix: str) -> None:
    expected = [name for name in fill(writer) if name.startswith(prefix)]
    for limit, descending in itertools.product((1, 3, 100), (False, True)):
        found = [stream.name for stream in pages(reader, limit, prefix, descending=descending)]
        assert sorted(found) == expected, (limit, descending)


def test_any_part_of_a_stream_name_finds_it(writer: Writer, reader: Reader) -> None:
    for name in fill(writer):
        head = len(name) - 32
        for length in (head, head + 3, head + 13, head + 15, head + 16, head + 20, len(name)):
            found = [stream.name for stream in pages(reader, 2, name[:length])]
            assert name in found
            assert all(one.startswith(name[:length]) for one in found)
    assert pages(reader, 2, "work/default/xyz") == []


def test_a_stream_knows_its_job_and_attempt(writer: Writer, reader: Reader) -> None:
    fill(writer)
    task = names.task_id(12, 2, f"{job_id(10)}:1")
    (stream,) = pages(reader, 5, f"work/default/{task}")
    assert stream == LogStream(f"work/default/{task}", task, f"{job_id(10)}:1", 12, ran(2))
    view = reader.attempt(stream.task_id)
    assert view is not None
    assert view.attempt == stream.attempt


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_streams_by_time(writer: Writer, reader: Reader, limit: int) -> None:
    expected = fill(writer)
    up = pages(reader, limit, by_time=True)
    down = pages(reader, limit, by_time=True, descending=True)
    assert sorted(stream.name for stream in up) == expected
    assert [stream.name for stream in down] == [stream.name for stream in up][::-1]
    latest = {stream.key: max(one.attempt.started_at_ms for one in up if one.key == stream.key) for stream in up}
    assert [latest[stream.key] for stream in up] == sorted(latest[stream.key] for stream in up)


def test_a_prefix_with_the_order_by_time_is_refused(reader: Reader) -> None:
    with pytest.raises(ValueError, match="Cannot order by LastEventTime with a logStreamNamePrefix"):
        reader.log_streams(GROUP, "a", by_time=True)


def test_a_job_that_waits_for_a_retry_keeps_its_stream(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(make_spec(1)), Changes(jobs={1: make_job(1, Status.RUNNABLE, past=(ran(),))}))
    assert [stream.job_id for stream in pages(reader, 5)] == [job_id(1)]


def test_groups(writer: Writer, reader: Reader) -> None:
    for key, group in enumerate(["/b", "/a/2", "/a/1", "/b", "/a/3"], 1):
        commit(writer, submit(make_spec(key, log_group=group)))
    page, cursor = reader.log_groups(limit=3)
    rest, last = reader.log_groups(limit=3, after=cursor)
    assert [(one.name, one.created_at_ms - NOW_MS) for one in page + rest] == [
        ("/a/1", 3),
        ("/a/2", 2),
        ("/a/3", 5),
        ("/b", 1),
    ]
    assert last is None
    assert [one.name for one in reader.log_groups("/a")[0]] == ["/a/1", "/a/2", "/a/3"]
    assert reader.log_streams("/unknown") == ([], None)


def test_a_stream_of_several_knows_its_file(writer: Writer, reader: Reader) -> None:
    fill(writer)
    task = names.task_id(400, 2, job_id(400))
    (stream,) = pages(reader, 5, f"zz/main/{task}")
    assert (stream.container, stream.task_id, stream.job_id) == ("main", task, job_id(400))
    (one,) = pages(reader, 5, f"work/side/{names.task_id(401, 1, job_id(401))}")
    assert one.container == "default", "a task of one container is a plain one to its engine"
    other, _ = reader.log_streams("/other")
    assert [one.name.split("/")[1] for one in other] == ["apart", "apart", "default"]
    assert [one.name for one in reader.log_groups()[0]] == [GROUP, "/other"]


@pytest.mark.parametrize("by_time", [False, True])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_streams_of_nodes_are_listed_page_by_page(
    writer: Writer, reader: Reader, by_time: bool, descending: bool, limit: int
) -> None:
    runs = (NodeRun(1, 2, 3, 0), NodeRun(), NodeRun(1, 2, 3, 1))
    places = (Placement("i-1"),) * 3
    past = tuple(replace(ran(number, NOW_MS), placements=places, nodes=runs) for number in (1, 2))
    task = make_spec(7).task
    changes = submit(make_spec(7, num_nodes=3, node_groups=(NodeGroup(((0, 3),), task),)))
    changes.jobs[7] = make_job(7, Status.FAILED, past=past)
    commit(writer, changes)
    found = pages(reader, limit, descending=descending, by_time=by_time)
    expected = [(number, f"{job_id(7)}#{node}") for number in (1, 2) for node in (0, 2)]
    assert [(one.attempt.number, one.job_id) for one in found] == (expected[::-1] if descending else expected)
    last = next(one for one in found if (one.attempt.number, one.job_id) == expected[-1])
    assert (last.task_id[:3], last.attempt.exit_code) == ("002", 1)
    assert pages(reader, 10, prefix=last.name) == [last]
    view = reader.attempt(last.task_id)
    assert view is not None
    assert view.view.job_id == f"{job_id(7)}#2"
