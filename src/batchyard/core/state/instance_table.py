"""The instances, and what is known beside their records: free capacity, the attempts placed there, the providers."""

from __future__ import annotations

from batchyard.core.model.records import EndedInstance, Environment, Instance, InstanceState
from batchyard.core.model.resources import Resources
from batchyard.core.state.attempt_ends import AttemptEnds
from batchyard.core.state.environment_instances import EnvironmentInstances
from batchyard.core.state.placement import Available
from batchyard.core.state.provider import Provider

NO_INSTANCES = EnvironmentInstances({})  # of an environment that has none


class Instances(dict[str, Instance]):
    """Records by instance id, the providers' machines among them, with the indexes over them."""

    __slots__ = (
        "_fleets",
        "available",
        "ended",
        "ends",
        "idle_since",
        "launched_in",
        "living",
        "placed",
        "providers",
        "touched_idle",
    )

    def __init__(self) -> None:
        super().__init__()
        self.providers: dict[str, Provider] = {}  # by name, once known
        self.available: dict[str, Available] = {}
        self.launched_in: dict[str, list[str]] = {}  # MANAGED environment -> its instances, as they were launched
        self._fleets: dict[str, EnvironmentInstances] = {}  # the same environments
        self.living: dict[str, Resources] = {}  # provider -> what managed instances take of it, until they terminate
        self.idle_since: dict[str, int] = {}  # READY instance on which nothing is placed -> since when
        self.touched_idle: set[str] = set()  # instances that became idle in this batch
        self.placed: dict[str, dict[int, None]] = {}  # instance -> keys of the attempts on it, in the order they came
        self.ends: dict[str, AttemptEnds] = {}  # instance -> the attempts on it that have a timeout
        self.ended: dict[str, EndedInstance] = {}  # the first that ended first; kept for later requests

    # -- managed instances --

    def add(self, instance: Instance) -> None:
        """Adds an instance of a MANAGED environment, new or restored."""
        self[instance.instance_id] = instance
        self.available[instance.instance_id] = Available(
            instance.resources, sorted(instance.gpu_ids), instance.resources
        )
        fleet = self._fleets.get(instance.environment)
        if fleet is None:
            fleet = self._fleets[instance.environment] = EnvironmentInstances(self.idle_since)
            self.launched_in[instance.environment] = fleet.ids
        fleet.add(instance)
        fleet.set_room(instance, instance.resources)
        self._count_living(instance, 1)

    def put(self, instance: Instance) -> None:
        """Sets the next version of its record."""
        before = self[instance.instance_id]
        self[instance.instance_id] = instance
        self._fleets[instance.environment].change(before, instance)
        if before.state is not instance.state:
            self._count_living(before, -1)
            self._count_living(instance, 1)
            self.room_changed(instance.instance_id)

    def remove(self, instance_id: str) -> Instance:
        """Removes it. Returns its record."""
        self.mark_busy(instance_id)
        instance = self.pop(instance_id)
        fleet = self._fleets[instance.environment]
        fleet.remove(instance)
        if not fleet.ids:
            del self._fleets[instance.environment], self.launched_in[instance.environment]
        self._count_living(instance, -1)
        del self.available[instance_id]
        self.placed.pop(instance_id, None)
        self.ends.pop(instance_id, None)
        return instance

    def room_changed(self, instance_id: str) -> None:
        """Takes over what is free on an instance into the index of its environment."""
        instance = self[instance_id]
        if instance.environment:
            self._fleets[instance.environment].set_room(instance, self.available[instance_id].free)

    def _count_living(self, instance: Instance, times: int) -> None:
        if instance.state is not InstanceState.TERMINATING:
            known = self.living.get(instance.provider, Resources())
            self.living[instance.provider] = known.plus(instance.resources.times(times))

    def mark_idle(self, instance_id: str, since_ms: int) -> None:
        """Counts a managed instance as idle since then."""
        self.mark_busy(instance_id)
        self.idle_since[instance_id] = since_ms
        self._fleets[self[instance_id].environment].became_idle(self[instance_id])

    def mark_busy(self, instance_id: str) -> None:
        """Counts it as idle no longer: it got work, or takes none any more."""
        if self.idle_since.pop(instance_id, None) is not None:
            self._fleets[self[instance_id].environment].became_busy(self[instance_id])

    def of(self, environment: str) -> EnvironmentInstances:
        """Returns the instances of a MANAGED environment."""
        return self._fleets.get(environment, NO_INSTANCES)

    def next_end_ms(self, now_ms: int) -> int | None:
        """Returns the next moment after now at which one of them ends at the latest."""
        found = [fleet.next_end_ms(self, now_ms) for fleet in self._fleets.values()]
        return min((at_ms for at_ms in found if at_ms is not None), default=None)

    # -- all of them --

    def placed_on(self, instance_id: str) -> list[int]:
        """Returns the keys of the jobs whose attempts are on an instance, in the order they came."""
        return list(self.placed.get(instance_id, ()))

    def provider_of(self, environment: Environment) -> Provider | None:
        """Returns the provider of an environment; None while it is not known yet what there is."""
        return self.providers.get(environment.provider)
