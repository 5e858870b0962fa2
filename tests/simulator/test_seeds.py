"""The normal budget of seeds, and that a seed means the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from batchyard.simulator.shrink import Failure, run_seed

SEEDS = range(500)
PARTS = 10
TWICE = (3, 25, 50, 118, 310)  # one of them with large arrays
PROGRAM = """
import sys
from batchyard.simulator.shrink import run_seed
for seed in sys.argv[1:]:
    print(seed, run_seed(int(seed)).digest)
"""


@pytest.mark.parametrize("part", range(PARTS))
def test_seeds_find_nothing(part: int) -> None:
    for seed in SEEDS[part::PARTS]:
        found = run_seed(seed)
        assert not isinstance(found, Failure), f"seed {seed}: {found.error}\nmake hunt or --seed {seed} tells more"


def test_a_digest_does_not_depend_on_the_process() -> None:
    digests = [digests_with(hash_seed) for hash_seed in ("1", "2")]
    assert digests[0] == digests[1]
    here = []
    for seed in TWICE:
        found = run_seed(seed)
        assert not isinstance(found, Failure), found
        here.append(f"{seed} {found.digest}")
    assert digests[0] == here


def digests_with(hash_seed: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(str(seed) for seed in TWICE)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()
