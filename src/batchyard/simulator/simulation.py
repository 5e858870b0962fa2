"""Runs one seed: a world, its servers one after another (or two at once), its clients, and the checks at the end."""

from __future__ import annotations

import hashlib
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.model import commands as c
from batchyard.core.model import names
from batchyard.core.model.consumable_commands import CreateConsumableResource
from batchyard.core.model.consumable_records import ConsumableType
from batchyard.core.model.records import Health, Instance, Job, State, Status, node_resources
from batchyard.core.model.resources import sum_of
from batchyard.core.questions.overview import InterruptInstance
from batchyard.engines.event_queue import EventQueue
from batchyard.simulator import workload as w
from batchyard.simulator.attempt_ledger import AttemptLedger, ViolationError
from batchyard.simulator.clients import Clients
from batchyard.simulator.disk import CommitOutcome, Disk, rows_text
from batchyard.simulator.driver import BEGINNING_MS, WorldDriver
from batchyard.simulator.fake_cloud import Cloud, CloudConnection
from batchyard.simulator.fake_site import Connection, FakeSite
from batchyard.simulator.gpu_oracle import with_gpus
from batchyard.simulator.oracle import UNREADABLE, Oracle
from batchyard.simulator.rng import seeded
from batchyard.simulator.server import COMPARE_SHARE, LIMITS, Server
from batchyard.simulator.workflow_clients import WorkflowClients
from batchyard.simulator.workflow_oracle import WorkflowOracle
from batchyard.store.codec import Rows

CALM_AFTER_MS = 5000  # from the last operation to the end of all faults
SKEWS_MS = (0, 0, 0, -3_600_000, 4000)  # by how much the wall clock of the next server may be off


class Outcome(Struct, frozen=True):
    """The result of one seed. `digest` covers every commit in order, and every run."""

    digest: str
    commits: int
    jobs: int
    runs: int
    crashes: int


class Simulation(WorldDriver):
    """Runs `workload` once. `story`: where to write what happens, line by line; None: nowhere."""

    def __init__(self, seed: int, workload: w.Workload, story: list[str] | None = None) -> None:
        super().__init__()
        self.seed = seed
        self.setup = workload.setup
        self._operations = workload.operations
        self._story = story
        self.disk = Disk()
        self.ledger = AttemptLedger()
        self.oracle = Oracle(self.disk, self.ledger, self.setup.settle_ms, self.setup.consumables)
        self.sites = {name: self._site(name) for name in self.setup.engines}
        self.cloud = Cloud(seed, self.setup.noise, self.event_queue, self.ledger, list(self.sites.values()))
        self.clients = Clients(seed, self.event_queue, self.oracle, self._serving, self.note)
        self.workflows = WorkflowClients(self.event_queue, WorkflowOracle(self.disk), self._serving, self.note)
        self.servers: list[Server] = []  # alive, the newest last
        self.is_calm = False
        self._rng = seeded(seed, "world")
        self._host = 0
        self._lost_gpus: set[int] = set()  # of the host, by number
        self._away_ms = 100
        self._without = ""
        self._failing = ""
        self._served = 0  # the highest epoch that took requests
        self._digest = hashlib.blake2b(digest_size=16)
        self.commits = 0
        self.crashes = 0

    def _site(self, name: str) -> FakeSite:
        oracle = self.oracle
        noise = self.setup.noise
        return FakeSite(
            name, self.seed, noise, self.event_queue, self.ledger, oracle.check_launch, oracle.check_acknowledged
        )

    def note(self, text: str) -> None:
        if self._story is not None:
            self._story.append(f"{self.event_queue.now_ms - BEGINNING_MS:>7} ms  {text}")

    # -- the whole of it --

    def run(self) -> Outcome:
        """Runs the workload. Raises ViolationError, or another AssertionError from the core, at the first violation."""
        self._start_server()
        for operation in self._operations:
            self.event_queue.at(BEGINNING_MS + operation.at_ms, partial(self._apply, operation))
        last_ms = max((o.at_ms for o in self._operations), default=0)
        self.event_queue.at(BEGINNING_MS + last_ms + CALM_AFTER_MS, self._calm_down)
        self.run_until_idle()
        self._stop_endless_jobs()
        self.workflows.oracle.check_waiting()
        self.workflows.stop_all()
        self.run_until_idle()
        self._check_explained()
        for job in self.oracle.unfinished():
            if self.oracle.top_of(job.key) == job.key:
                self.clients.stop(self.oracle.job_id(job.key), True)
        self.run_until_idle()
        self.oracle.check_end()
        self._check_nothing_left()
        self._check_workflows()
        self._set_fleets(keep=False)  # again: what a client asked for may have arrived late
        self.run_until_idle()
        self._check_fleets({})
        self._set_fleets(keep=True)
        self.run_until_idle()
        self._check_fleets({name: one.get("minvCpus", 0) for name, one in self.setup.fleets.items()})
        return self._outcome()

    def fakes(self) -> list[EventQueue]:
        return [self.cloud.fake, *(site.host for site in self.sites.values())]

    def close(self) -> None:
        """Closes the event loops of the servers that are left."""
        for server in self.servers:
            server.die()

    # -- servers --

    def _serving(self) -> Server | None:
        """Returns the newest server that takes requests. Clients never return to an older server that still lives:
        it would answer read-only requests from its own memory."""
        found = next((server for server in reversed(self.servers) if server.is_serving), None)
        if found is None or found.epoch < self._served:
            return None
        self._served = found.epoch
        return found

    def _start_server(self) -> None:
        *others, host = self.setup.hosts[self._host]
        instances = (*others, with_gpus(host, self.gpus().device_ids))
        usable = [site for name, site in self.sites.items() if name != self._without]
        connections = [Connection(site, self.event_queue, self.latency) for site in usable]
        is_first = self.disk.last_time_ms == 0  # no earlier time holds its clock back: an hour's jump could follow
        skew_ms = 0 if self.is_calm or is_first else self._rng.choice(SKEWS_MS)
        self.oracle.server_started(instances)
        capacity = CloudConnection(self.cloud, self.event_queue, self.latency)
        limits = replace(LIMITS, settle_seconds=self.setup.settle_ms / 1000)
        batch = self.setup.batch_commands
        server = Server(
            self,
            connections,
            capacity,
            instances,
            skew_ms,
            batch,
            self._should_compare,
            limits,
            has_workflows=bool(self.setup.workflows),
        )
        self.note(f"server {server.epoch} starts on {_words(instances)}, its clock {skew_ms} ms off")
        self.servers.append(server)

    def _should_compare(self) -> bool:
        return self._rng.random() < COMPARE_SHARE

    def crash(self, server: Server) -> None:
        self.note(f"server {server.epoch} crashes")
        self.crashes += 1
        self._remove_server(server)

    def on_exit(self, server: Server, error: BaseException | None) -> None:
        self.note(f"server {server.epoch} ends: {error!r}")
        self._remove_server(server)

    def _remove_server(self, server: Server) -> None:
        is_newest = server is self.servers[-1]
        self.servers.remove(server)
        server.die()
        if is_newest:
            for site in self.sites.values():
                if site.host.epoch == server.epoch:
                    site.host.sink = None
            self.event_queue.after(self._away_ms, self._replace)

    def _replace(self) -> None:
        """Starts a new server, as a service manager does, unless one was started already."""
        if not self.servers or self.servers[-1].epoch != self.disk.epoch:
            self._start_server()

    def commit_outcome(self, server: Server) -> CommitOutcome:
        durable_ms, heard_ms = self._rng.choice(self.setup.commit_ms), self._rng.choice(self.setup.commit_ms)
        failing, self._failing = self._failing, ""
        return durable_ms, heard_ms, failing

    def problem(self, server: Server, task_id: str) -> str:
        own = seeded(self.seed, "unreadable", server.epoch, task_id)
        if own.random() >= self.setup.unreadable or self.is_calm:
            return ""
        self.ledger.withheld.add(task_id)
        return UNREADABLE

    def latency(self) -> int:
        return 0 if self.is_calm else self._rng.choice(self.setup.latency_ms)

    def before_durable(self, server: Server, rows: Rows, now_ms: int) -> None:
        self.commits += 1
        self._digest.update(f"{server.epoch} {now_ms} ".encode())
        self._digest.update(rows_text(rows))
        self.note(f"server {server.epoch} commits {len(rows.specs)} submissions, jobs {_statuses(rows)}")
        gpus, server.machine.gpus_of_batch = server.machine.gpus_of_batch, None
        self.oracle.before_durable(rows, now_ms, gpus)
        self.workflows.oracle.before_durable(rows)

    def first_commands(self) -> list[c.Command[object]]:
        found: list[c.Command[object]] = [
            c.CreateComputeEnvironment(
                name, name, "UNMANAGED", "ENABLED", engine, w.environment_document(self.setup), is_settled=True
            )
            for name, engine in self.setup.environments.items()
        ]
        found += [replace(w.fleet(self.setup, n, f"{n} {self.is_calm}"), is_settled=True) for n in self.setup.fleets]
        for name, total in self.setup.consumables.items():
            found.append(CreateConsumableResource(name, ConsumableType.REPLENISHABLE, total, {}))
        for name, policy in self.setup.policies.items():
            found.append(c.CreateSchedulingPolicy(name, {"fairsharePolicy": policy}))
        for name, (priority, environments) in self.setup.queues.items():
            document = w.queue_document(self.setup, name)
            found.append(c.CreateJobQueue(name, "ENABLED", priority, w.order(environments), document, is_settled=True))
        found += [c.RegisterJobDefinition(name, document) for name, document in self.setup.definitions.items()]
        return found + self.workflows.first_commands(self.setup)

    # -- operations --

    def _apply(self, operation: w.Operation) -> None:
        self.note(f"-- {operation}")
        newest = self.servers[-1] if self.servers else None
        if isinstance(operation, w.Submit):
            self.clients.submit(operation)
        elif isinstance(operation, w.Withdraw):
            self.clients.withdraw(operation)
        elif isinstance(operation, w.TagJob):
            self.clients.tag(operation)
        elif self.workflows.apply(operation):
            pass
        elif isinstance(operation, w.Ask):
            self._note_size(operation.command)
            self.clients.ask_once(operation.command)
        elif isinstance(operation, w.FailCommit):
            self._failing = "unknown" if operation.unknown else "lost"
        elif isinstance(operation, w.Lose):
            self.sites[operation.engine].lose(operation.instance_id)
        elif isinstance(operation, w.Reconnect):
            self.sites[operation.engine].reconnect()
        elif isinstance(operation, w.Interrupt):
            found = self.oracle.fleets.instances_in(operation.environment)
            if found:
                instance_id = found[operation.pick % len(found)]
                self.clients.ask_once(InterruptInstance(instance_id, operation.notice_seconds))
        elif isinstance(operation, w.Storm):
            self.cloud.storm(operation.notice_ms)
        elif isinstance(operation, w.LoseInstance):
            self.cloud.lose(operation.pick)
        elif isinstance(operation, w.LoseGpu | w.ReturnGpus):
            self._change_gpus(operation)
        elif isinstance(operation, w.CapacityOutage):
            self.cloud.refuse_launches(operation.for_ms)
        elif isinstance(operation, w.Takeover):
            self._start_server()
        elif newest is not None:
            self._end_server(newest, operation)

    def _change_gpus(self, operation: w.LoseGpu | w.ReturnGpus) -> None:
        there = self.gpus().device_ids
        used = {device for one in self.ledger.running.values() for device in one.launch.device_ids}
        if isinstance(operation, w.ReturnGpus):
            self._lost_gpus.clear()
        elif there:
            choice = [device for device in there if device in used] or there
            self._lost_gpus.add(choice[operation.pick % len(choice)])
        self.event_queue.after(operation.noticed_after_ms, self._notice_gpus)

    def _notice_gpus(self) -> None:
        for server in self.servers:
            server.send_gpus()

    def gpus(self) -> c.SetGpus:
        there = self.setup.hosts[self._host][-1].gpu_ids
        return c.SetGpus(tuple(one for one in there if one not in self._lost_gpus), tuple(sorted(self._lost_gpus)))

    def _note_size(self, command: c.Command[object]) -> None:
        if not isinstance(command, c.UpdateComputeEnvironment):
            return
        if "desiredvCpus" in command.document.get("computeResources", {}):
            self.oracle.fleets.sized_by_owner.add(command.name)

    def _end_server(self, server: Server, operation: w.Operation) -> None:
        self._away_ms = 100
        if isinstance(operation, w.Crash):
            self._host = self._host if operation.host is None else operation.host
            self._away_ms, self._without = operation.away_ms, operation.without
            if operation.steps:
                server.crash_in = operation.steps
            else:
                self.crash(server)
        elif isinstance(operation, w.Restart):
            if operation.kill and server.is_serving:
                end = partial(self.event_queue.after, operation.draining_ms, server.loop.stop)
                server.request(lambda: c.TerminateAllRunning("down"), 0, lambda answer: end())
            else:
                server.loop.stop()
        else:
            assert isinstance(operation, w.Reboot), f"unknown operation {operation!r}"
            for site in self.sites.values():
                site.lose()
                if operation.is_damaged:
                    site.host.damage()
            self.cloud.reboot()
            self.crash(server)

    # -- the end --

    def _set_fleets(self, *, keep: bool) -> None:
        """Sets environments as they were created; minvCpus only where they are to be kept."""
        for name, resources in self.setup.fleets.items():
            amounts = {"maxvCpus": resources["maxvCpus"]}
            if "minvCpus" in resources:
                amounts["minvCpus"] = resources["minvCpus"] if keep else 0
            self.clients.ask_until_accepted(c.UpdateComputeEnvironment(name, "ENABLED", {"computeResources": amounts}))

    def _calm_down(self) -> None:
        """Ends all faults: one server on the full host, everything enabled."""
        self.note("calm: no more faults")
        self.is_calm = True
        self._failing, self._without, self._host, self._away_ms = "", "", 0, 0
        self._lost_gpus.clear()
        for site in self.sites.values():
            site.calm()
        self.cloud.calm()
        for server in self.servers[::-1]:
            self.crash(server)
        self.event_queue.after(1, self._replace)
        for command in self.first_commands()[: len(self.setup.environments) + len(self.setup.fleets)]:
            assert isinstance(command, c.CreateComputeEnvironment)
            again = replace(command, uuid=f"{command.name} again", is_settled=False)
            self.clients.ask_until_accepted(again)  # refused unless the environment was deleted last
        for name in self.setup.environments:
            self.clients.ask_until_accepted(c.UpdateComputeEnvironment(name, "ENABLED"))
        self._set_fleets(keep=False)
        for name, (_, environments) in self.setup.queues.items():
            self.clients.ask_until_accepted(c.UpdateJobQueue(name, "ENABLED", None, w.order(environments)))

    def _stop_endless_jobs(self) -> None:
        """Stops programs that would run for ever, so that the jobs behind them can run."""
        before: list[Job] = []
        while placed := [job for job in self.oracle.unfinished() if job.attempt is not None]:
            if placed == before:
                raise ViolationError(f"stopped, and runs on: {placed}")
            before = placed
            for job in placed:
                self.clients.stop(self.oracle.job_id(job.key), True)
            self.run_until_idle()

    def _check_explained(self) -> None:
        """Checks, while nothing runs and there is capacity, that a job which still waits has a reason why it can
        never run, or depends on one that has."""
        for job in self.oracle.unfinished():
            spec, job_id = self.oracle.spec_of(job.key), self.oracle.job_id(job.key)
            if self.oracle.top_of(job.key) != job.key or not spec.array_size:
                self._check_waits(job_id, job)
                continue
            for index in range(spec.array_size):
                child_id = names.child_id(job_id, index)
                child = self.oracle.find(child_id)
                if child is not None and not child.status.is_final:
                    self._check_waits(child_id, child)

    def _check_waits(self, job_id: str, job: Job) -> None:
        self.note(f"waits: {job_id} {job.status} {job.status_reason}")
        if job.status is Status.RUNNABLE:
            if not job.status_reason or self._could_gather(job):
                raise ViolationError(f"{job_id} could run, and waits: {job.status_reason!r}")
            return
        wanted, spec = names.parse_job_id(job_id), self.oracle.spec_of(job.key)
        others = [entry.job_id for entry in spec.depends_on if entry.job_id]
        if wanted.index is not None:
            others += [f"{e.job_id}:{wanted.index}" for e in spec.depends_on if e.type == "N_TO_N"]
            if spec.sequential and wanted.index:
                others.append(f"{wanted.uuid}:{wanted.index - 1}")
        found = [self.oracle.find(other) for other in others]
        if all(other is None or other.status.is_final for other in found):
            raise ViolationError(f"{job_id} is {job.status}, and nothing it depends on is unfinished")

    def _could_gather(self, job: Job) -> bool:
        """Whether a multi-node job has room for all its nodes on the host, as nothing else runs."""
        spec = self.oracle.spec_of(job.key)
        if not spec.num_nodes or self.oracle.fleets.instances:
            return False
        fleets = self.oracle.fleets
        places = [fleets.environments[one.environment] for one in fleets.queues[spec.queue].environments]
        usable = [one for one in places if one.name in self.setup.environments and one.engine in spec.engines]
        is_open = any(one.state is State.ENABLED and one.status is Health.VALID for one in usable)
        return is_open and sum_of(node_resources(spec)).fits(self.setup.hosts[self._host][-1].resources)

    def _check_nothing_left(self) -> None:
        """Checks that nothing is kept in memory about waiting jobs once none waits."""
        world = self.servers[-1].machine.world
        left = {
            "jobs": world.jobs,
            "specs": world.jobs.specs,
            "parents": world.jobs.parents,
            "unmet": world.jobs.unmet,
            "dependents": world.jobs.dependents,
            "followers": world.jobs.followers,
            "sources": world.jobs.sources,
            "consumables": world.consumables.held,
            "in line": {name: line.waiting_keys() for name, line in world.queues.runnable.items() if line},
            "set aside": {name: keys for name, keys in world.queues.stuck.items() if keys},
        }
        kept = {name: value for name, value in left.items() if value}
        if kept:
            raise ViolationError(f"every job has ended, and the machine still holds {kept}")

    def _check_workflows(self) -> None:
        machine = self.servers[-1].workflows
        if machine is not None:
            self.workflows.oracle.check_end()
            self.workflows.oracle.check_nothing_left(machine)

    def _check_fleets(self, least_vcpus: dict[str, int]) -> None:
        """Checks that without work there are the instances that minvCpus asks for, and that exactly their resources
        are reserved."""
        self.oracle.fleets.check_idle(least_vcpus)
        known, alive = set(self.oracle.fleets.instances), {one.instance_id for one in self.cloud.fake.alive()}
        if known != alive:
            raise ViolationError(f"the instances of the cloud and of the store differ: {known ^ alive}")
        world = self.servers[-1].machine.world
        reserved = [one.resources for one in self.oracle.fleets.instances.values()]
        for name, room in world.instances.available.items():
            free = room.free
            for resources in reserved if not world.instances[name].environment else ():
                free = free.plus(resources)
            if free != world.instances[name].resources:
                raise ViolationError(f"every job has ended, and instance {name} has only {room.free} free")

    def _outcome(self) -> Outcome:
        for key, (_, status, body) in sorted(self.disk.jobs.items()):
            self._digest.update(f"{key} {status} {body}\n".encode())
        for task_id, life in self.ledger.launched.items():
            self._digest.update(f"{task_id} {life.starts} {life.final}\n".encode())
        runs = sum(life.starts for life in self.ledger.launched.values())
        return Outcome(self._digest.hexdigest(), self.commits, len(self.disk.jobs), runs, self.crashes)


def _words(instances: tuple[Instance, ...]) -> str:
    return ", ".join(f"{i.instance_id[-2:]}: {i.resources}" for i in instances)


def _statuses(rows: Rows) -> str:
    return " ".join(f"{row[0]}:{row[2]}" for row in rows.jobs)
