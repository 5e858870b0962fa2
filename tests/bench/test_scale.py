"""The bench of many instances: what it drives comes to its end, and what it fits is right."""

import pytest

from bench import scale
from bench.simulated_yard import FOREVER_MS, SHAPES, SimulatedYard


def test_the_exponent_is_that_of_the_law_behind_the_points() -> None:
    assert scale.exponent([(10, 7.0), (100, 7.0), (1000, 7.0)]) == pytest.approx(0)
    assert scale.exponent([(size, 3 * size**1.5) for size in (10, 100, 1000)]) == pytest.approx(1.5)


@pytest.mark.parametrize(("instances", "is_kept"), [(0, True), (3, True), (3, False)])
def test_all_jobs_of_a_simulated_yard_end(instances: int, *, is_kept: bool) -> None:
    yard = SimulatedYard(instances, is_kept=is_kept) if instances else SimulatedYard(vcpus=48)
    yard.add_arrivals(60, 0.9, 48, have_timeouts=instances > 0)
    yard.run_to_the_end(60, seconds=60)
    assert (yard.started, yard.ended) == (60, 60)


def test_jobs_that_never_end_wait_for_each_other() -> None:
    yard = SimulatedYard(2)
    for _ in range(40):
        yard.do(yard.submission(SHAPES[0], FOREVER_MS))
    yard.finish_batch()
    yard.run_until(yard.now_ms + 120_000)
    assert (yard.started, yard.ended) == (32, 0)


def test_every_step_and_row_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "REPEATS", 2)
    scale.main(["steps", "--instances", "2", "3"])
    names = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert names[1:] == ["idle pass", "submission", "placement", "end", "full pass", "full, timeouts", "launch", "boot"]
    scale.main(["queues", "--instances", "2", "--queues", "3"])
    assert "3 queues,      2 full instances" in capsys.readouterr().out
    scale.main(["jobs", "--jobs", "20", "40", "--instances", "0", "2", "3"])
    rows = capsys.readouterr().out
    assert rows.count("µs a job") == 6
    assert rows.count("exponent over jobs") == 3
    assert rows.count("exponent over instances") == 2
