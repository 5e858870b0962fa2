"""What goes into rows comes back equal, and equal records give equal text."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from batchyard.core.model.changes import Changes
from batchyard.core.model.deliveries import DeliveryState, Message
from batchyard.core.model.executions import Execution, Frame, HistoryEvent, MapRun
from batchyard.core.model.reasons import ReasonCode, StopCause
from batchyard.core.model.records import Definition, Environment, Instance, Job, JobSpec, Placement, Queue, Status
from batchyard.store import codec
from tests.store.samples import anything, finished_job, make_job, make_spec, numbers, patient, ran, submit, texts


@patient
@given(anything(Environment))
def test_environments_come_back(environment: Environment) -> None:
    assert codec.decode_environment(codec.encode(environment)) == environment


@patient
@given(anything(Queue))
def test_queues_come_back(queue: Queue) -> None:
    assert codec.decode_queue(codec.encode(queue)) == queue


@patient
@given(anything(Definition))
def test_definitions_come_back(definition: Definition) -> None:
    assert codec.decode_definition(codec.encode(definition)) == definition


@patient
@given(anything(Job))
def test_jobs_come_back(job: Job) -> None:
    assert codec.decode_job(codec.encode(job)) == job


def test_rows_of_earlier_versions_say_by_their_text_which_attempts_were_lost_and_why_one_is_stopped() -> None:
    kept = '"number":1,"environment":"local","engine":"fake","instance_id":"i-1"'
    lost = '"status_reason":"Host EC2 (instance i-1) terminated."'
    attempt = f'{{{kept},"stopping":"timeout"}}'
    body = f'{{"key":1,"status":"RUNNING","created_at_ms":1,"past":[{{{kept},{lost}}},{{{kept}}}],"attempt":{attempt}}}'
    job = codec.decode_job(body)
    assert [past.is_lost for past in job.past] == [True, False]
    assert job.attempt is not None
    assert job.attempt.stopping is StopCause.TIMEOUT


def test_rows_of_earlier_versions_keep_their_reason_codes() -> None:
    code = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
    waits = f'"set_aside_at_ms":5,"told_code":"{code}"'
    job = codec.decode_job(f'{{"key":1,"status":"RUNNABLE","created_at_ms":1,"status_reason":"{code} - So.",{waits}}}')
    assert (job.set_aside_at_ms, job.set_aside_code) == (5, None)
    assert job.reported_code is ReasonCode.JOB_RESOURCE_REQUIREMENT
    array = codec.decode_job(f'{{"key":1,"status":"PENDING","created_at_ms":1,"array":{{"size":2,{waits}}}}}').array
    assert array is not None
    assert (array.set_aside_code, array.reported_code) == (None, ReasonCode.JOB_RESOURCE_REQUIREMENT)


@patient
@given(anything(JobSpec))
def test_specs_come_back_with_their_tags_beside_them(spec: JobSpec) -> None:
    row = codec.spec_row(spec)
    assert codec.decode_spec(row[-1], row[-2]) == spec
    if spec.tags:
        assert codec.decode_spec(row[-1], '{"new":"tag"}').tags == {"new": "tag"}


@patient
@given(anything(JobSpec))
def test_a_listed_spec_lacks_only_what_it_runs(spec: JobSpec) -> None:
    row = codec.spec_row(spec)
    listed = codec.decode_listed_spec(row[-1], row[-2])
    differing = {name for name in JobSpec.__struct_fields__ if getattr(listed, name) != getattr(spec, name)}
    assert differing <= {"task", "container", "ecs_task", "node_groups", "node_properties", "pod"}
    assert listed.task.command == ()
    assert listed.container == {}


@st.composite
def any_changes(draw: st.DrawFn) -> Changes:
    specs = draw(st.lists(anything(JobSpec), max_size=1, unique_by=lambda spec: spec.key))
    jobs = draw(st.lists(anything(Job), max_size=1, unique_by=lambda job: job.key))
    return Changes(
        environments=draw(st.dictionaries(texts, st.none() | anything(Environment), max_size=1)),
        queues=draw(st.dictionaries(texts, st.none() | anything(Queue), max_size=1)),
        definitions=draw(st.dictionaries(st.tuples(texts, numbers), st.none() | anything(Definition), max_size=1)),
        specs=specs,
        jobs={job.key: job for job in jobs} | {spec.key: make_job(spec.key) for spec in specs},
        documents=draw(
            st.dictionaries(st.tuples(st.just("instance"), texts), st.none() | anything(Instance), max_size=1)
        ),
        deliveries={1: draw(anything(DeliveryState)), 2: None, 3: draw(anything(DeliveryState))},
        messages={1: draw(anything(Message))},
        executions={one.key: one for one in draw(st.lists(anything(Execution), max_size=1))},
        frames={(1, 1): draw(anything(Frame)), (1, 2): None},
        history=[HistoryEvent(7, number, number - 1, 9, "PassStateEntered", {"name": "A"}) for number in range(1, 60)],
        map_runs={one.arn: one for one in draw(st.lists(anything(MapRun), max_size=1))},
        job_tags=draw(st.dictionaries(numbers, st.dictionaries(texts, texts, max_size=1), max_size=1)),
        next_key=draw(numbers),
        revisions=draw(st.dictionaries(texts, numbers, max_size=1)),
    )


@settings(patient, max_examples=40)
@given(any_changes())
def test_changes_come_back(changes: Changes) -> None:
    assert codec.decode_changes(codec.encode_changes(changes)) == changes


def test_equal_records_give_equal_text() -> None:
    one = make_spec(1, parameters={"a": "1", "b": "2"})
    other = make_spec(1, parameters={"b": "2", "a": "1"})
    assert codec.encode(one) == codec.encode(other)


def test_a_spec_without_its_job_is_refused() -> None:
    changes = submit(make_spec(1))
    del changes.jobs[1]
    with pytest.raises(AssertionError, match="spec 1 comes without its job's row"):
        codec.encode_changes(changes)


def test_the_start_of_the_latest_attempt_outlives_the_jobs_own_time() -> None:
    waiting = make_job(1, Status.RUNNABLE, past=(ran(1, 100), ran(2, 200), ran(3, 0)))
    assert codec.latest_start_ms(waiting) == 200
    assert codec.latest_start_ms(make_job(1, Status.RUNNING, attempt=ran(2, 300), past=(ran(1, 100),))) == 300
    assert codec.latest_start_ms(make_job(1, Status.FAILED, past=(ran(1, 0),))) == 0
    assert codec.job_row(finished_job(1), "queue")[4] > 0


@pytest.mark.parametrize(
    ("decode", "text", "members"),
    [
        (
            codec.decode_environment,
            (
                '{"created_at_ms":1,"document":{},"engine":"process","name":"local","state":"ENABLED","status":"VALID",'
                '"status_reason":"ComputeEnvironment Healthy","tags":{},"type":"UNMANAGED","uuid":"u"}'
            ),
            ("paused_until_ms",),
        ),
        (
            lambda text: codec.decode_document("instance", text),
            '{"environment":"e","instance_id":"i-1","resources":{"gpus":0,"memory_mib":1,"milli_vcpus":1000}}',
            ("idle_since_ms",),
        ),
        (codec.decode_job, '{"created_at_ms":1,"key":1,"status":"RUNNABLE"}', ("set_aside_at_ms",)),
    ],
)
def test_what_version_0_1_wrote_has_no_times_that_it_did_not_know(
    decode: Callable[[str], Any], text: str, members: tuple[str, ...]
) -> None:
    record = decode(text)
    assert [getattr(record, member) for member in members] == [0] * len(members)


def test_attempts_written_with_one_instance_have_one_placement() -> None:
    text = (
        '{"attempt":{"device_ids":[2,3],"engine":"docker","environment":"gpu","instance_id":"i-2","number":2,'
        '"placed_at_ms":7},"created_at_ms":1,"key":9,"past":[{"engine":"docker","environment":"gpu","exit_code":1,'
        '"instance_id":"i-1","number":1,"reason":"\\"instance_id\\": \\"i-3\\"","started_at_ms":5,"stopped_at_ms":6}],'
        '"status":"STARTING"}'
    )
    job = codec.decode_job(text)
    assert job.attempt is not None
    assert job.attempt.placements == (Placement("i-2", (2, 3)),)
    assert (job.attempt.number, job.attempt.placed_at_ms) == (2, 7)
    (past,) = job.past
    assert (past.placements, past.exit_code, past.reason) == ((Placement("i-1"),), 1, '"instance_id": "i-3"')
    assert codec.decode_job(codec.encode(job)) == job


def test_what_a_job_says_of_instances_is_not_taken_for_the_shape_of_its_row() -> None:
    job = make_job(1, Status.FAILED, past=(replace(ran(1), reason='{"instance_id":"i-1"}'),))
    assert codec.decode_job(codec.encode(job)) == job
