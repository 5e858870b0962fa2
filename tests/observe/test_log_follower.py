"""A follower reads each line of a group's jobs once, asks about ends rarely, and forgets what has ended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.observe import log_follower
from batchyard.observe.log_follower import LOOKS_TO_END, OVERLAP_MS, GroupFollower
from tests.api.service import Service
from tests.api.test_log_filters import JOBS, Job


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    made.make_queue()
    made.register()
    yield made
    made.close()


def read(follower: GroupFollower) -> list[str]:
    return [line.text for new in follower.look() for line in new.lines]


def test_lines_come_once_and_a_line_without_its_end_comes_later(service: Service) -> None:
    follower = GroupFollower(service.context.log_catalogue, JOBS)
    follower.begin(service.now_ms)
    job = Job(service)
    job.write("one", "two")
    assert read(follower) == ["one", "two"]
    with job.path.open("a") as file:
        file.write(f"{service.now_ms}\tthr")
    assert read(follower) == []
    with job.path.open("a") as file:
        file.write("ee\n")
    assert (read(follower), read(follower)) == (["three"], [])


def test_more_streams_at_once_than_a_page_are_all_found(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_follower, "STREAMS_AT_ONCE", 2)
    follower = GroupFollower(service.context.log_catalogue, JOBS)
    follower.begin(service.now_ms)
    for number in range(5):
        job = Job(service)
        job.write(str(number))
        job.end()
    assert sorted(read(follower)) == ["0", "1", "2", "3", "4"]
    assert read(follower) == []


def test_an_ended_stream_is_forgotten_once_later_ones_have_started(service: Service) -> None:
    follower = GroupFollower(service.context.log_catalogue, JOBS)
    follower.begin(service.now_ms)
    job = Job(service)
    job.write("one")
    assert read(follower) == ["one"]
    job.write("last")
    job.end()
    assert read(follower) == ["last"]
    for _ in range(LOOKS_TO_END):
        assert [new.place for new in follower.look()] == []
    assert follower.places() == {}
    service.tick(OVERLAP_MS + 1)
    Job(service)
    assert [(new.stream.name, new.place) for new in follower.look()] == [(job.stream, None)]
    again = GroupFollower(service.context.log_catalogue, JOBS, follower.since_ms, follower.places())
    assert read(again) == []
