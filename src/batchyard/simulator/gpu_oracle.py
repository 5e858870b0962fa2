"""Checks who has the GPUs of the host when some are lost, by rules of its own: it reads rows, not the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from batchyard.core.model.commands import SetGpus
from batchyard.core.model.records import Instance, InstanceState
from batchyard.simulator.attempt_ledger import ViolationError
from batchyard.simulator.fleet_oracle import HeldPlace

LEAVING = (InstanceState.DRAINING, InstanceState.TERMINATING)


def with_gpus(host: Instance, device_ids: tuple[int, ...]) -> Instance:
    """Returns the host as it is with these GPUs alone."""
    return replace(host, gpu_ids=device_ids, resources=replace(host.resources, gpus=len(device_ids)))


class GpuOracle:
    """Remembers which GPUs of the host the newest server has, and which were reported lost to it."""

    def __init__(self) -> None:
        self.host = ""
        self._there: frozenset[int] = frozenset()
        self._lost: frozenset[int] = frozenset()
        self._known: frozenset[str] = frozenset()  # instances, as of the last transaction

    def server_started(self, host: Instance) -> None:
        self.host, self._there, self._lost = host.instance_id, frozenset(host.gpu_ids), frozenset()

    def set_gpus(self, gpus: SetGpus) -> None:
        self._there, self._lost = frozenset(gpus.device_ids), frozenset(gpus.lost)

    def before_durable(
        self, held: Sequence[HeldPlace], placed: Sequence[HeldPlace], instances: Mapping[str, Instance]
    ) -> None:
        """Checks a transaction. `held`: every place that is held after it; `placed`: those that it placed."""
        for one in placed:
            if one.instance_id == self.host and not self._there.issuperset(one.device_ids):
                raise ViolationError(f"{one.attempt} gets GPUs of the host, which has only {sorted(self._there)}")
        for name, instance in instances.items():
            if name not in self._known and not self._there.issuperset(instance.gpu_ids):
                raise ViolationError(f"{instance} gets GPUs of the host, which has only {sorted(self._there)}")
            if not self._lost.isdisjoint(instance.gpu_ids) and instance.state not in LEAVING:
                raise ViolationError(f"{instance} stays, and the GPUs {sorted(self._lost)} are lost")
        self._known = frozenset(instances)
        for one in held:
            is_here = one.instance_id == self.host or one.instance_id in instances
            if is_here and not self._lost.isdisjoint(one.device_ids) and not one.is_over and not one.attempt.stopping:
                raise ViolationError(f"{one.attempt} runs on, and the GPUs {sorted(self._lost)} are lost")
