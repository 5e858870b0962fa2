"""The instances, and what is known beside their records: free capacity, the attempts placed there, the providers."""

from __future__ import annotations

from batchyard.core.model.records import EndedInstance, Environment, Instance
from batchyard.core.state.placement import Available
from batchyard.core.state.provider import Provider


class Instances(dict[str, Instance]):
    """Records by instance id, the providers' machines among them, with the indexes over them."""

    __slots__ = ("available", "ended", "idle_since", "launched_in", "placed", "providers", "touched_idle")

    def __init__(self) -> None:
        super().__init__()
        self.providers: dict[str, Provider] = {}  # by name, once known
        self.available: dict[str, Available] = {}
        self.launched_in: dict[str, list[str]] = {}  # MANAGED environment -> its instances, as they were launched
        self.idle_since: dict[str, int] = {}  # READY instance on which nothing is placed -> since when
        self.touched_idle: set[str] = set()  # instances that became idle in this batch
        self.placed: dict[str, dict[int, None]] = {}  # instance -> keys of the attempts on it, in the order they came
        self.ended: dict[str, EndedInstance] = {}  # the first that ended first; kept for later requests

    def placed_on(self, instance_id: str) -> list[int]:
        """Returns the keys of the jobs whose attempts are on an instance, in the order they came."""
        return list(self.placed.get(instance_id, ()))

    def provider_of(self, environment: Environment) -> Provider | None:
        """Returns the provider of an environment; None while it is not known yet what there is."""
        return self.providers.get(environment.provider)
