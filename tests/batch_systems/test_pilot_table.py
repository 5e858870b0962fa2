"""What is done about pilots, by examples and in a model of a batch system that crashes."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.batch_systems.batch_system import JobState, PilotJob
from batchyard.batch_systems.pilot_table import (
    MISSING_MS,
    Action,
    Cancel,
    End,
    PilotStage,
    PilotTable,
    Refuse,
    Submit,
)

SERVICE, OTHER = "0a1b2c3d", "ffffffff"
ONE = "i-00000000000000001"


def job(state: JobState, instance_id: str = ONE, job_id: str = "7", service_id: str = SERVICE) -> PilotJob:
    return PilotJob(job_id, service_id, instance_id, state, state.lower())


@pytest.fixture
def table() -> PilotTable:
    made = PilotTable(SERVICE)
    made.launch(ONE, was_tried=False)
    return made


def test_a_pilot_is_submitted_once(table: PilotTable) -> None:
    assert table.observe([], 0) == [Submit(ONE)]
    assert table.observe([], 1) == []
    assert table.observe([job(JobState.QUEUED)], 2) == []
    table.joined(ONE)
    assert table.observe([job(JobState.RUNNING)], 3) == []


def test_a_pilot_that_was_submitted_by_an_earlier_server_is_found(table: PilotTable) -> None:
    """Also where that server ended between its note and the submission."""
    assert table.observe([job(JobState.UNKNOWN)], 0) == []
    again = PilotTable(SERVICE)
    again.launch(ONE, was_tried=True)
    assert again.observe([], 0) == []
    assert again.observe([], MISSING_MS - 1) == []
    assert again.observe([], MISSING_MS) == [Refuse(ONE, "The batch system does not know the pilot's job")]
    assert again.pilots == {}


def test_a_pilot_that_is_listed_again_is_not_given_up(table: PilotTable) -> None:
    table.observe([], 0)
    table.observe([], 1)
    table.observe([job(JobState.QUEUED)], MISSING_MS)
    assert table.observe([], MISSING_MS + 2) == []
    assert table.observe([], 2 * MISSING_MS + 1) == []


def test_a_pilot_whose_job_ends_before_it_joins(table: PilotTable) -> None:
    table.observe([], 0)
    assert table.observe([job(JobState.ENDED)], 1) == [Refuse(ONE, "The pilot's job ended before it joined: ended")]


def test_a_pilot_that_has_joined_is_not_lost_by_a_listing(table: PilotTable) -> None:
    """Its lease decides: a controller with an old state may list anything."""
    table.observe([], 0)
    table.joined(ONE)
    for listed in ([], [job(JobState.ENDED)], [job(JobState.QUEUED)], []):
        assert table.observe(listed, MISSING_MS * 10) == []


def test_a_pilot_is_cancelled_until_it_has_ended(table: PilotTable) -> None:
    table.observe([], 0)
    table.end(ONE)
    table.end(ONE)
    assert table.observe([], 1) == [], "it was submitted, and may appear"
    assert table.observe([job(JobState.QUEUED)], 2) == [Cancel("7")]
    assert table.observe([job(JobState.RUNNING)], 3) == [Cancel("7")]
    assert table.observe([job(JobState.ENDED)], 4) == [End(ONE)]
    assert table.pilots == {}


def test_a_pilot_that_was_never_submitted_ends_at_once(table: PilotTable) -> None:
    table.end(ONE)
    assert table.observe([], 0) == [End(ONE)]


def test_an_end_that_was_reported_is_not_reported_again(table: PilotTable) -> None:
    table.observe([], 0)
    table.joined(ONE)
    table.end(ONE, is_over=True)
    assert table.observe([job(JobState.RUNNING)], 1) == [Cancel("7")]
    assert table.observe([job(JobState.ENDED)], 2) == []
    assert table.pilots == {}


def test_a_refused_submission(table: PilotTable) -> None:
    table.observe([], 0)
    assert table.refused(ONE, "no such partition") == [Refuse(ONE, "no such partition")]
    table.launch(ONE, was_tried=False)
    table.end(ONE)
    assert table.refused(ONE, "no such partition") == [End(ONE)]


def test_what_belongs_to_no_instance_is_cancelled(table: PilotTable) -> None:
    """At the second listing: the instances of a server that starts come to be known a moment later."""
    stray = job(JobState.RUNNING, "i-00000000000000002", "8")
    others = job(JobState.RUNNING, "i-00000000000000003", "9", OTHER)
    ended = job(JobState.ENDED, "i-00000000000000004", "10")
    assert table.observe([stray, others, ended], 0) == [Submit(ONE)]
    assert table.observe([stray, others, ended], 1) == [Cancel("8")]


class CrashingBatchSystem:
    """Jobs by id; a crash brings back an older state, in which ids are free again."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.jobs: dict[str, tuple[str, JobState]] = {}
        self.saved: dict[str, tuple[str, JobState]] = {}
        self.next_id = self.saved_id = 1
        self.submissions: Counter[str] = Counter()

    def submit(self, instance_id: str) -> None:
        self.submissions[instance_id] += 1
        if self.rng.random() < 0.8:  # else it never arrives, and no answer does either
            self.jobs[str(self.next_id)] = (instance_id, JobState.QUEUED)
            self.next_id += 1

    def cancel(self, job_id: str) -> None:
        if job_id in self.jobs and self.rng.random() < 0.8:
            self.jobs[job_id] = (self.jobs[job_id][0], JobState.ENDED)

    def step(self) -> None:
        for job_id, (instance_id, state) in list(self.jobs.items()):
            if self.rng.random() < 0.3:
                following = {JobState.QUEUED: JobState.RUNNING, JobState.RUNNING: JobState.RUNNING}
                self.jobs[job_id] = (instance_id, following.get(state, state))
            if state is JobState.ENDED and self.rng.random() < 0.1:
                del self.jobs[job_id]
        if self.rng.random() < 0.5:
            self.saved, self.saved_id = dict(self.jobs), self.next_id
        if self.rng.random() < 0.05:
            self.jobs, self.next_id = dict(self.saved), self.saved_id

    def listed(self) -> list[PilotJob]:
        return [job(state, instance_id, job_id) for job_id, (instance_id, state) in self.jobs.items()]


@given(st.integers(0, 2**32))
def test_in_a_world_of_crashes_nothing_is_submitted_twice_or_left(seed: int) -> None:
    rng = random.Random(seed)
    system, table = CrashingBatchSystem(rng), PilotTable(SERVICE)
    tried: set[str] = set()
    joined: set[str] = set()
    asked: set[str] = set()
    answered: Counter[str] = Counter()
    now_ms, number = 0, 0

    def carry_out(actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Submit(instance_id):
                    tried.add(instance_id)  # noted before
                    system.submit(instance_id)
                case Cancel(job_id):
                    system.cancel(job_id)
                case Refuse(instance_id) | End(instance_id):
                    answered[instance_id] += 1

    def look() -> None:
        nonlocal now_ms
        now_ms += 2000
        system.step()
        if rng.random() < 0.8:  # else the batch system does not answer
            carry_out(table.observe(system.listed(), now_ms))

    for _ in range(60):
        if rng.random() < 0.2:
            number += 1
            table.launch(f"i-{number:017x}", was_tried=False)
        for listed in system.listed():
            pilot = table.pilots.get(listed.instance_id)
            if listed.state is JobState.RUNNING and pilot is not None and pilot.stage is PilotStage.WAITING:
                table.joined(listed.instance_id)
                joined.add(listed.instance_id)
        if rng.random() < 0.1 and table.pilots:
            asked.add(instance_id := rng.choice(sorted(table.pilots)))
            table.end(instance_id)
        if rng.random() < 0.05:  # the server starts again
            before, table = table, PilotTable(SERVICE)
            for instance_id, pilot in before.pilots.items():
                if pilot.stage is PilotStage.JOINED:
                    table.joined(instance_id)
                elif pilot.stage is PilotStage.WAITING:
                    table.launch(instance_id, was_tried=instance_id in tried)
                else:
                    table.end(instance_id)
        look()
    for instance_id in list(table.pilots):
        table.end(instance_id)
    for _ in range(150):
        look()
    assert table.pilots == {}
    assert [one for one in system.listed() if one.may_live] == []
    assert max(system.submissions.values(), default=0) <= 1
    assert set(answered.values()) <= {1}
    assert len(answered) == number
