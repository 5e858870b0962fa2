"""Small workloads and sites for the tests of planning."""

from collections.abc import Sequence
from typing import Any

from batchyard.core.capacity.catalogue import Catalogue, InstanceType
from batchyard.core.capacity.prices import Prices
from batchyard.planning.outcome import Outcome
from batchyard.planning.simulation import Conditions, Simulation
from batchyard.planning.site import Host, Site, with_queues
from batchyard.planning.workload import PlannedJob, Workload

SMALL = InstanceType("c5.large", 2000, 4096)
LARGE = InstanceType("c5.4xlarge", 16_000, 32_768)
CATALOGUE = Catalogue({one.name: one for one in (SMALL, LARGE)})
S = 1000


def job(submit_s: float = 0, run_s: float = 10, vcpus: int = 1, **members: Any) -> PlannedJob:
    plain: dict[str, Any] = {
        "submit_ms": round(submit_s * S),
        "runs_ms": (round(run_s * S),),
        "milli_vcpus": vcpus * 1000,
        "memory_mib": 512,
    }
    return PlannedJob(**plain | members)


def workload(*jobs: PlannedJob) -> Workload:
    return Workload(sorted(jobs, key=lambda one: one.submit_ms), "a test")


def machine(vcpus: int = 2, **members: Any) -> Site:
    """This machine alone."""
    environment = {"computeEnvironmentName": "machine", "type": "UNMANAGED"}
    return Site((environment,), host=Host(vcpus * 1000, vcpus * 4096), **members)


def fleet(kind: str = "EC2", most: int = 16, least: int = 0, name: str = "c5.large") -> Site:
    resources = {
        "type": kind,
        "minvCpus": least,
        "maxvCpus": most,
        "instanceTypes": [name],
        "allocationStrategy": "BEST_FIT_PROGRESSIVE",
    }
    return Site(({"computeEnvironmentName": "fleet", "type": "MANAGED", "computeResources": resources},))


def simulation(jobs: Sequence[PlannedJob], site: Site, **conditions: Any) -> Simulation:
    found = workload(*jobs)
    whole = with_queues(site, sorted({one.queue for one in found.jobs}))
    return Simulation(found, whole, Conditions(**conditions), CATALOGUE, Prices())


def run(jobs: Sequence[PlannedJob], site: Site, **conditions: Any) -> Outcome:
    return simulation(jobs, site, **conditions).run()


def starts(outcome: Outcome) -> list[float]:
    return [at / S for at in outcome.start_ms]
