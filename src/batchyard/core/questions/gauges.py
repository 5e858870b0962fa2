"""How many jobs of each queue are in each state, and what environments have and reserve: values at this moment, for
metrics. Reads the world, changes nothing."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.capacity.prices import Prices
from batchyard.core.model.attempt_node import task_id_of
from batchyard.core.model.commands import Command
from batchyard.core.model.names import task_id
from batchyard.core.model.ranges import count
from batchyard.core.model.records import Instance, Job, Status, asked_by, milli_vcpus_of, node_resources
from batchyard.core.model.resources import Resources
from batchyard.core.questions.overview import capacity_of
from batchyard.core.state.arrays import virtual_ranges
from batchyard.core.state.world import World

INSIGHTS_DISABLED = "DISABLED"
STATES = (Status.SUBMITTED, Status.PENDING, Status.RUNNABLE, Status.STARTING, Status.RUNNING)


class TaskGroup(Struct, frozen=True):
    """Placed attempts of one job definition in one environment. `family`: the definition's name."""

    environment: str
    family: str
    count: int
    resources: Resources


class PlacedTask(Struct, frozen=True):
    """One node of a placed attempt. `started_at_ms`: 0 while it is STARTING; `number`: of the attempt; `reserved`: what
    the node asks for; `device_ids`: the GPUs that it was given."""

    task_id: str
    environment: str
    family: str
    started_at_ms: int
    job_id: str = ""
    job_name: str = ""
    queue: str = ""
    number: int = 1
    instance_id: str = ""
    reserved: Resources = Resources()
    device_ids: tuple[int, ...] = ()


class EnvironmentGauge(Struct, frozen=True):
    """`total`: what its jobs can use together; `instances`: by state, of a MANAGED one with instances;
    `has_performance_events`: its tasks are logged each minute, unless ecsSettings.containerInsights is DISABLED."""

    name: str
    total: Resources
    instances: dict[str, int]
    has_performance_events: bool = True


class Gauges(Struct, frozen=True):
    """`queues`: unfinished jobs by state, children counted singly and their arrays not, for each queue."""

    queues: dict[str, dict[str, int]]
    environments: tuple[EnvironmentGauge, ...]
    tasks: tuple[TaskGroup, ...]
    placed: tuple[PlacedTask, ...] = ()


class AskGauges(Command[Gauges], frozen=True):
    """Asks for the gauges."""


def gauges(world: World, command: AskGauges) -> Gauges:
    environments = tuple(
        EnvironmentGauge(
            name,
            capacity_of(world, environment),
            _instances(world, name),
            environment.document.get("ecsSettings", {}).get("containerInsights") != INSIGHTS_DISABLED,
        )
        for name, environment in sorted(world.environments.items())
    )
    return Gauges(_queues(world), environments, _tasks(world), _placed(world))


def _queues(world: World) -> dict[str, dict[str, int]]:
    found = {name: dict.fromkeys(STATES, 0) for name in sorted(world.queues)}
    jobs, specs, parents, arrays = world.jobs, world.jobs.specs, world.jobs.parents, world.jobs.arrays
    for key, job in jobs.items():  # the longest loop of all questions: 100,000 jobs take some 40 ms
        spec = specs[parents.get(key, key)]
        counts = found.get(spec.queue)
        if counts is None:
            counts = found[spec.queue] = dict.fromkeys(STATES, 0)
        if key not in arrays:
            counts[job.status] += 1
        elif job.array is not None:
            for status in (Status.PENDING, Status.RUNNABLE):
                counts[status] += count(virtual_ranges(spec, job, status))
    return {queue: {str(status): number for status, number in counts.items()} for queue, counts in found.items()}


def _instances(world: World, environment: str) -> dict[str, int]:
    states: dict[str, int] = {}
    for instance_id in world.instances.launched_in.get(environment, ()):
        state = str(world.instances[instance_id].state)
        states[state] = states.get(state, 0) + 1
    return states


def _tasks(world: World) -> tuple[TaskGroup, ...]:
    groups: dict[tuple[str, str], tuple[int, Resources]] = {}
    for key in {key: None for keys in world.instances.placed.values() for key in keys}:
        attempt, spec = world.jobs[key].attempt, world.jobs.spec_of(key)
        assert attempt is not None, f"job {key} is placed without an attempt"
        group = attempt.environment, spec.definition.partition(":")[0]
        number, resources = groups.get(group, (0, Resources()))
        groups[group] = number + 1, resources.plus(asked_by(spec))
    return tuple(TaskGroup(*group, *found) for group, found in sorted(groups.items()))


def _placed(world: World) -> tuple[PlacedTask, ...]:
    found = []
    for key in {key: None for keys in world.instances.placed.values() for key in keys}:
        attempt, spec = world.jobs[key].attempt, world.jobs.spec_of(key)
        assert attempt is not None, f"job {key} is placed without an attempt"
        job_id, reserved = world.jobs.id_of(key), node_resources(spec)
        attempt_id = task_id(key, attempt.number, job_id)
        family = spec.definition.partition(":")[0]
        for node, placement in enumerate(attempt.placements):
            task = PlacedTask(
                task_id_of(attempt_id, node),
                attempt.environment,
                family,
                attempt.nodes[node].started_at_ms if attempt.nodes else attempt.started_at_ms,
                job_id,
                spec.name,
                spec.queue,
                attempt.number,
                placement.instance_id,
                reserved[node],
                placement.device_ids,
            )
            found.append(task)
    return tuple(found)


class JobLookup:
    """What is known of jobs and instances within a batch, for a machine that follows facts."""

    def __init__(self, world: World, prices: Prices) -> None:
        self._world = world
        self._prices = prices

    def job(self, key: int) -> Job | None:
        """Returns a row as it is now, also one that has just ended."""
        return self._world.changes.jobs.get(key) or self._world.jobs.get(key)

    def array_size(self, key: int) -> int:
        array = self._world.jobs.arrays.get(key)
        return 0 if array is None else array.size

    def has_dependencies(self, key: int) -> bool:
        spec = self._world.jobs.specs.get(key)
        return spec is None or bool(spec.depends_on)

    def milli_vcpus(self, key: int) -> int:
        return milli_vcpus_of(self._world.jobs.spec_of(key))

    def instance(self, instance_id: str) -> Instance | None:
        return self._world.instances.get(instance_id)

    def price_of(self, instance: Instance) -> int:
        """Returns the owner's price of an hour, in micro-dollars; 0: there is none."""
        return self._prices.price_of(instance)

    def placed(self) -> list[tuple[int, str]]:
        """Returns key and queue of all rows with a placed attempt."""
        jobs = self._world.jobs
        return [(key, jobs.spec_of(key).queue) for key, job in jobs.items() if job.attempt is not None]

    def instances(self) -> list[Instance]:
        """Returns the instances of MANAGED environments."""
        return [instance for instance in self._world.instances.values() if instance.environment]
