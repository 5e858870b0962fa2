"""The table of instances: who is placed where, and whose machine an environment uses."""

from __future__ import annotations

from batchyard.core.model.records import HOST_PROVIDER, Environment, Health, Instance, State
from batchyard.core.model.resources import Resources
from batchyard.core.state.instance_table import Instances
from batchyard.core.state.placement import Available
from batchyard.core.state.provider import Provider


def test_attempts_are_listed_in_the_order_they_came() -> None:
    instances = Instances()
    instances.placed["i-1"] = {7: None, 3: None}
    assert (instances.placed_on("i-1"), instances.placed_on("i-2")) == ([7, 3], [])


def test_an_environment_s_provider_is_unknown_until_it_has_come() -> None:
    instances, machine = Instances(), Instance("i-1", Resources(1000, 64), ())
    environment = Environment("e", "u", "UNMANAGED", State.ENABLED, Health.VALID, "", "process", {}, {}, 0)
    assert instances.provider_of(environment) is None
    instances.providers[HOST_PROVIDER] = Provider(HOST_PROVIDER, machine, Available(machine.resources, []))
    assert instances.provider_of(environment) is instances.providers[HOST_PROVIDER]
