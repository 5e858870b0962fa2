"""The table of environments: an environment that is forgotten leaves nothing behind."""

from __future__ import annotations

from batchyard.core.model.records import Environment, Health, State
from batchyard.core.model.resources import Resources
from batchyard.core.state.environment_table import Environments
from batchyard.core.state.placement import Available


def test_everything_that_is_known_of_an_environment_goes_with_it() -> None:
    environments = Environments()
    for name in ("going", "staying"):
        environments[name] = Environment(name, "u", "MANAGED", State.ENABLED, Health.VALID, "", "process", {}, {}, 0)
        environments.budgets[name] = Available(Resources(1000), [])
        environments.paused[name] = 5, "refused"
        environments.entries[name] = (), ()
        environments.refused[name, Resources(1)] = None
    environments.forget("going")
    assert (
        [*environments] == [*environments.budgets] == [*environments.paused] == [*environments.entries] == ["staying"]
    )
    assert not any(name == "going" for name, _ in environments.refused)
