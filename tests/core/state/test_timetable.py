"""The timetable: the next moment at which the machine must act by itself."""

from __future__ import annotations

from batchyard.core.state.timetable import Timetable


def test_the_next_moment_is_the_first_of_all_kinds() -> None:
    timetable = Timetable()
    assert timetable.next_ms() is None
    timetable.add_deadline(300, 1, 1)
    timetable.add_deadline(200, 2, 1)
    assert (timetable.next_ms(), timetable.deadlines[0]) == (200, (200, 2, 1))
    timetable.settling["job queue", "q"] = 100
    assert timetable.next_ms() == 100
