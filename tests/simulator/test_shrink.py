"""A failing seed prints its story, reproduces with one command, and shrinks."""

from __future__ import annotations

import re

import pytest

from batchyard.simulator.__main__ import main
from batchyard.simulator.shrink import Failure, command_of, run_seed, shrink
from tests.simulator.mutations import MUTATIONS

FORGET_A_RELEASE = next(mutation for mutation in MUTATIONS if mutation.name == "forget a release")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> int:
    """The first seed that fails."""
    FORGET_A_RELEASE.apply(monkeypatch)
    return next(seed for seed in range(50) if isinstance(run_seed(seed), Failure))


def test_a_seed_prints_its_digest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "5"]) == 0
    first = capsys.readouterr().out
    assert re.match(r"seed 5: [0-9a-f]{32}  \d+ commits, ", first)
    assert main(["--seed", "5"]) == 0
    assert capsys.readouterr().out == first


def test_different_seeds_have_different_digests() -> None:
    digests = {found.digest for seed in range(1, 21) if not isinstance(found := run_seed(seed), Failure)}
    assert len(digests) == 20


def test_many_seeds_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3..6"]) == 0
    assert capsys.readouterr().out == "seeds 3..6: 0 failures\n"


def test_a_failing_seed_tells_and_reproduces(broken: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", str(broken), "--shrink"]) == 1
    printed = capsys.readouterr().out
    assert "is not what is left" in printed
    assert "commits 1 submissions" in printed
    again = re.search(r"again: python -m batchyard\.simulator (--seed \d+ --keep [\d,]+)", printed)
    assert again is not None, printed
    assert main(again.group(1).split()) == 1


def test_shrinking_leaves_what_is_needed(broken: int) -> None:
    found = run_seed(broken)
    assert isinstance(found, Failure)
    least = shrink(found, lambda text: None)
    assert len(least.kept) <= 2, least.operations  # one job that runs is enough, on some hosts
    assert not isinstance(run_seed(broken, []), Failure)
    assert command_of(found) == f"python -m batchyard.simulator --seed {broken}"


def test_a_run_of_seeds_stops_when_it_has_found_enough(broken: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "0..99999"]) == 1
    printed = capsys.readouterr().out
    assert "after 10 failures" in printed
    assert f"python -m batchyard.simulator --seed {broken} --shrink" in printed


def test_a_span_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--seeds", "5"])
    assert "write it as 0..499" in capsys.readouterr().err
