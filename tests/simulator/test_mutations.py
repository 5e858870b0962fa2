"""The simulator bites: every kept mutation is caught, nearly all of them within the seeds that `make test` runs."""

from __future__ import annotations

import pytest

from batchyard.simulator.shrink import Failure, run_seed
from tests.simulator.mutation_seeds import CAUGHT_BY
from tests.simulator.mutations import MUTATIONS, Mutation
from tests.simulator.test_seeds import SEEDS

# What needs a rare coincidence (a stop that is asked for in the moment before a crash) is met in one world of some
# hundred: it is looked for in more worlds than all the others need.
MUTATION_SEEDS = range(SEEDS.stop * 3)


def catching_seed(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> Failure | None:
    """The first seed that fails with the mutation and not without it."""
    with monkeypatch.context() as patch:
        mutation.apply(patch)
        likely = [CAUGHT_BY[mutation.name]] if mutation.name in CAUGHT_BY else []
        found = next((f for seed in [*likely, *MUTATION_SEEDS] if isinstance(f := run_seed(seed), Failure)), None)
    if found is not None and found.seed not in SEEDS:  # those are run without mutations by test_seeds_find_nothing
        assert not isinstance(run_seed(found.seed), Failure), f"seed {found.seed} fails without the mutation too"
    return found


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_is_caught(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    found = catching_seed(mutation, monkeypatch)
    assert found is not None, f"{mutation.name}: not caught by {len(MUTATION_SEEDS)} seeds"
    print(f"{mutation.name}: seed {found.seed}: {found.error[:200]}")


def test_each_likely_world_is_one_of_a_mutation() -> None:
    assert set(CAUGHT_BY) <= {mutation.name for mutation in MUTATIONS}


def test_a_mutation_that_fits_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = Mutation("stale", MUTATIONS[0].owner, MUTATIONS[0].function, lambda source: source)
    with pytest.raises(AssertionError, match="changes nothing"):
        stale.apply(monkeypatch)
