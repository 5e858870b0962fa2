"""A restart loads exactly what is unfinished, and what may still be asked of the finished."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.core.model.changes import Changes
from batchyard.core.model.records import (
    ArrayState,
    Definition,
    Dependency,
    EndedTogether,
    Environment,
    Health,
    Instance,
    Job,
    JobSpec,
    Queue,
    State,
    Status,
)
from batchyard.core.model.resources import Resources
from batchyard.store.load import IDEMPOTENCY_MS
from batchyard.store.store import Store
from batchyard.store.writer import Writer
from tests.store.samples import ACCOUNT, NOW_MS, REGION, finished_job, job_id, make_job, make_spec, patient, submit

WAIT_SECONDS = 30


def environment(name: str) -> Environment:
    return Environment(name, job_id(1), "UNMANAGED", State.ENABLED, Health.VALID, "", "fake", {"a": [1]}, {}, NOW_MS)


def queue(name: str) -> Queue:
    return Queue(name, State.ENABLED, Health.VALID, "", 1, (), {}, {"k": "v"}, NOW_MS)


def definition(name: str, revision: int, status: str = "ACTIVE") -> Definition:
    return Definition(name, revision, status, {"type": "container"}, {}, NOW_MS)


def test_resources_are_loaded_and_deleted_ones_are_not(writer: Writer) -> None:
    first = Changes(
        environments={"b": environment("b"), "a": environment("a")},
        queues={"q": queue("q"), "r": queue("r")},
        definitions={("d", 1): definition("d", 1), ("d", 2): definition("d", 2)},
        revisions={"d": 2},
        documents={("instance", name): Instance(name, Resources(1000, 64)) for name in ("i-1", "i-2")},
    )
    writer.commit(first, NOW_MS).result(WAIT_SECONDS)
    inactive = definition("d", 1, "INACTIVE")
    second = Changes(
        environments={"b": None},
        queues={"r": None},
        definitions={("d", 1): inactive, ("d", 2): None},
        documents={("instance", "i-1"): None},
    )
    writer.commit(second, NOW_MS).result(WAIT_SECONDS)
    snapshot = writer.load(NOW_MS)
    assert snapshot.environments == [environment("a")]
    assert snapshot.queues == [queue("q")]
    assert snapshot.definitions == [inactive]
    assert snapshot.documents == {("instance", "i-2"): Instance("i-2", Resources(1000, 64))}
    assert snapshot.revisions == {"d": 2}, "a revision's number is never given twice"


def test_final_statuses_of_the_dependencies_of_unfinished_jobs(writer: Writer) -> None:
    array = make_job(
        10,
        Status.PENDING,
        array=ArrayState(
            4, ((3, 4),), succeeded=((0, 1),), failed=((1, 3),), never_started=(EndedTogether(2, 3, "enough", NOW_MS),)
        ),
    )
    changes = submit(make_spec(1), make_spec(2), make_spec(3), make_spec(10, array_size=4))
    changes.jobs |= {1: finished_job(1), 2: finished_job(2, Status.FAILED), 10: array}
    named = [job_id(1), job_id(2), job_id(3), *(f"{job_id(10)}:{index}" for index in range(5)), job_id(10), job_id(50)]
    waiting = submit(make_spec(20, depends_on=tuple(Dependency(one) for one in named)))
    for one in (changes, waiting):
        writer.commit(one, NOW_MS).result(WAIT_SECONDS)
    assert writer.load(NOW_MS).finished == {
        job_id(1): "SUCCEEDED",
        job_id(2): "FAILED",
        f"{job_id(10)}:0": "SUCCEEDED",
        f"{job_id(10)}:1": "FAILED",
        f"{job_id(10)}:2": "FAILED",
        job_id(50): "SUCCEEDED",  # pruned: nothing else makes a job unknown that another waits for
    }


def test_idempotency_keys_of_the_last_hour(writer: Writer) -> None:
    old = make_spec(1, idempotency_key="old")
    new = make_spec(2, idempotency_key="new")
    changes = submit(old, new, make_spec(3))
    changes.jobs[2] = finished_job(2)
    writer.commit(changes, NOW_MS).result(WAIT_SECONDS)
    snapshot = writer.load(old.created_at_ms + IDEMPOTENCY_MS)
    assert snapshot.idempotency == {"new": (job_id(2), new.created_at_ms)}


def test_tags_changed_later_are_loaded(writer: Writer) -> None:
    writer.commit(submit(make_spec(1, tags={"a": "1"}), make_spec(2, tags={"a": "1"})), NOW_MS)
    writer.commit(Changes(job_tags={1: {"b": "2"}, 2: {}}), NOW_MS).result(WAIT_SECONDS)
    assert [spec.tags for spec in writer.load(NOW_MS).specs] == [{"b": "2"}, {}]


@dataclass
class History:
    """Commits, and what they must add up to."""

    commits: list[Changes] = field(default_factory=list)
    specs: dict[int, JobSpec] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)

    def unfinished(self) -> tuple[list[JobSpec], list[Job]]:
        open_specs = [spec for key, spec in sorted(self.specs.items()) if not self.jobs[key].status.is_final]
        held = {key for spec in open_specs for key in range(spec.key, spec.key + spec.array_size + 1)}
        jobs = [job for key, job in sorted(self.jobs.items()) if key in held and not job.status.is_final]
        return open_specs, jobs


@st.composite
def histories(draw: st.DrawFn) -> History:
    history = History()
    next_key = 1
    for _ in range(draw(st.integers(1, 5))):
        changes = Changes()
        for size in draw(st.lists(st.sampled_from([0, 0, 2, 3]), max_size=3)):
            spec = make_spec(next_key, array_size=size)
            changes.specs.append(spec)
            history.specs[spec.key] = spec
            changes.jobs[spec.key] = make_job(spec.key)
            next_key += size + 1
        if next_key > 1:
            for key in draw(st.lists(st.integers(1, next_key - 1), max_size=4)):
                changes.jobs[key] = make_job(key, draw(st.sampled_from(Status)), status_reason=draw(st.text("ab")))
        changes.next_key = next_key
        history.jobs |= changes.jobs
        history.commits.append(changes)
    return history


@settings(patient, max_examples=25)
@given(histories())
def test_any_history_loads_as_what_is_unfinished_of_it(history: History) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for number, changes in enumerate(history.commits):
            writer = Store.open(Path(directory) / "a.db").writer()
            writer.open(ACCOUNT, REGION)
            writer.commit(changes, NOW_MS + number).result(WAIT_SECONDS)
            snapshot = writer.load(NOW_MS)
            writer.close()
    assert (snapshot.specs, snapshot.jobs) == history.unfinished()
    assert snapshot.next_key == history.commits[-1].next_key


def test_no_index_is_missed_however_many_jobs_have_finished(writer: Writer) -> None:
    """By the database's own account of how it would find the rows, since time says little on a small one."""
    from batchyard.store import load

    assert writer._connection is not None
    for statement in (load._SPECS, load._JOBS, load._IDEMPOTENCY):
        sql = statement.compile(writer._connection.engine)
        plan = writer._connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", tuple([0] * len(sql.params))).all()
        assert "INDEX" in plan[0][3], f"{sql}: {plan}"
        assert not any("SCAN" in row[3] for row in plan), f"{sql}: {plan}"
