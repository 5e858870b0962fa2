"""One seed: a world, its servers one after another (or two at once), its clients, and the judgement at the end."""

from __future__ import annotations

import hashlib
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.model import commands as c
from batchyard.core.model import names
from batchyard.core.model.records import Instance, Job, Status
from batchyard.engines.fake import FakeCloud, FakeHost
from batchyard.simulator import workload as w
from batchyard.simulator.agenda import Agenda
from batchyard.simulator.clients import Clients
from batchyard.simulator.cloud import Cloud, CloudConnection
from batchyard.simulator.disk import Disk, Fate, rows_text
from batchyard.simulator.ledger import Ledger, ViolationError
from batchyard.simulator.lots import lot
from batchyard.simulator.server import LIMITS, LOOKS_FOR_DIFFERENCES, Server, Surroundings
from batchyard.simulator.site import Connection, Site
from batchyard.simulator.witness import UNREADABLE, Witness
from batchyard.store.codec import Rows

BEGINNING_MS = 1_700_000_000_000
CALM_AFTER_MS = 5000  # from the last operation to the end of all faults
MOST_EVENTS = 400_000  # a seed that needs more goes round in circles
SKEWS_MS = (0, 0, 0, -3_600_000, 4000)  # what the wall clock of the next server may be off


class Outcome(Struct, frozen=True):
    """What one seed came to. `digest` covers every commit in order, and every run."""

    digest: str
    commits: int
    jobs: int
    runs: int
    crashes: int


class Simulation(Surroundings):
    """Runs `workload` once. `story`: where to write what happens, line by line; None: nobody reads it."""

    def __init__(self, seed: int, workload: w.Workload, story: list[str] | None = None) -> None:
        self.seed = seed
        self.setup = workload.setup
        self._operations = workload.operations
        self._story = story
        self.agenda = Agenda(BEGINNING_MS)
        self.disk = Disk()
        self.ledger = Ledger()
        self.witness = Witness(self.disk, self.ledger, self.setup.settle_ms)
        self.sites = {name: self._site(name) for name in self.setup.engines}
        self.cloud = Cloud(seed, self.setup.noise, self.agenda, self.ledger, list(self.sites.values()))
        self.clients = Clients(seed, self.agenda, self.witness, self._serving, self.note)
        self.servers: list[Server] = []  # alive, the newest last
        self.is_calm = False
        self._dice = lot(seed, "world")
        self._host = 0
        self._away_ms = 100
        self._without = ""
        self._failing = ""
        self._served = 0  # the highest epoch that took requests
        self._digest = hashlib.blake2b(digest_size=16)
        self._events = 0
        self.commits = 0
        self.crashes = 0

    def _site(self, name: str) -> Site:
        witness = self.witness
        noise = self.setup.noise
        return Site(name, self.seed, noise, self.agenda, self.ledger, witness.check_launch, witness.check_acknowledged)

    def note(self, text: str) -> None:
        if self._story is not None:
            self._story.append(f"{self.agenda.now_ms - BEGINNING_MS:>7} ms  {text}")

    # -- the whole of it --

    def run(self) -> Outcome:
        """Raises ViolationError, or another AssertionError from the core, at the first thing that must not happen."""
        self._start_server()
        for operation in self._operations:
            self.agenda.at(BEGINNING_MS + operation.at_ms, partial(self._do, operation))
        last_ms = max((o.at_ms for o in self._operations), default=0)
        self.agenda.at(BEGINNING_MS + last_ms + CALM_AFTER_MS, self._calm_down)
        self._until_idle()
        self._end_what_runs_on()
        self._check_explained()
        for job in self.witness.unfinished():
            if self.witness.top_of(job.key) == job.key:
                self.clients.stop(self.witness.job_id(job.key), True)
        self._until_idle()
        self.witness.check_end()
        self._check_nothing_left()
        self._set_fleets(keep=False)  # again: what a client asked for may have arrived late
        self._until_idle()
        self._check_fleets({})
        self._set_fleets(keep=True)
        self._until_idle()
        self._check_fleets({name: one.get("minvCpus", 0) for name, one in self.setup.fleets.items()})
        return self._outcome()

    def _until_idle(self) -> None:
        while True:
            worlds: list[FakeCloud | FakeHost] = [self.cloud.fake, *(site.host for site in self.sites.values())]
            due = [at for world in worlds if (at := world.next_event_ms()) is not None]
            next_ms = self.agenda.next_ms()
            if next_ms is None and not due:
                return
            self._events += 1
            if self._events > MOST_EVENTS:
                raise ViolationError(f"no end after {MOST_EVENTS} events")
            world_ms = min(due, default=None)
            if world_ms is not None and (next_ms is None or world_ms <= next_ms):
                self.agenda.now_ms = max(self.agenda.now_ms, world_ms)
                for world in worlds:
                    world.advance(self.agenda.now_ms)
            else:
                self.agenda.do_next()

    def close(self) -> None:
        """Lets go of what a seed leaves behind."""
        for server in self.servers:
            server.die()

    # -- servers --

    def _serving(self) -> Server | None:
        """The newest server that takes requests. Nobody goes back to an older one that lives on: what changes nothing
        it would answer from what it remembers."""
        found = next((server for server in reversed(self.servers) if server.is_serving), None)
        if found is None or found.epoch < self._served:
            return None
        self._served = found.epoch
        return found

    def _start_server(self) -> None:
        instances = self.setup.hosts[self._host]
        usable = [site for name, site in self.sites.items() if name != self._without]
        connections = [Connection(site, self.agenda, self.latency) for site in usable]
        is_first = self.disk.last_time_ms == 0  # no earlier time holds its clock back: an hour's jump could follow
        skew_ms = 0 if self.is_calm or is_first else self._dice.choice(SKEWS_MS)
        self.witness.server_started({i.instance_id: i.resources for i in instances})
        capacity = CloudConnection(self.cloud, self.agenda, self.latency)
        limits = replace(LIMITS, settle_seconds=self.setup.settle_ms / 1000)
        batch = self.setup.batch_commands
        server = Server(self, connections, capacity, instances, skew_ms, batch, self._compares, limits)
        self.note(f"server {server.epoch} starts on {_words(instances)}, its clock {skew_ms} ms off")
        self.servers.append(server)

    def _compares(self) -> bool:
        return self._dice.random() < LOOKS_FOR_DIFFERENCES

    def crash(self, server: Server) -> None:
        self.note(f"server {server.epoch} crashes")
        self.crashes += 1
        self._bury(server)

    def gone(self, server: Server, error: BaseException | None) -> None:
        self.note(f"server {server.epoch} ends: {error!r}")
        self._bury(server)

    def _bury(self, server: Server) -> None:
        is_newest = server is self.servers[-1]
        self.servers.remove(server)
        server.die()
        if is_newest:
            for site in self.sites.values():
                if site.host.epoch == server.epoch:
                    site.host.sink = None
            self.agenda.after(self._away_ms, self._replace)

    def _replace(self) -> None:
        """The service manager starts a new server unless somebody did already."""
        if not self.servers or self.servers[-1].epoch != self.disk.epoch:
            self._start_server()

    def fate(self, server: Server) -> Fate:
        durable_ms, heard_ms = self._dice.choice(self.setup.commit_ms), self._dice.choice(self.setup.commit_ms)
        failing, self._failing = self._failing, ""
        return durable_ms, heard_ms, failing

    def problem(self, server: Server, attempt_id: str) -> str:
        own = lot(self.seed, "unreadable", server.epoch, attempt_id)
        if own.random() >= self.setup.unreadable or self.is_calm:
            return ""
        self.ledger.withheld.add(attempt_id)
        return UNREADABLE

    def latency(self) -> int:
        return 0 if self.is_calm else self._dice.choice(self.setup.latency_ms)

    def before_durable(self, server: Server, rows: Rows, now_ms: int) -> None:
        self.commits += 1
        self._digest.update(f"{server.epoch} {now_ms} ".encode())
        self._digest.update(rows_text(rows))
        self.note(f"server {server.epoch} commits {len(rows.specs)} submissions, jobs {_statuses(rows)}")
        self.witness.before_durable(rows, now_ms)

    def first_commands(self) -> list[c.Command]:
        found: list[c.Command] = [
            c.CreateComputeEnvironment(
                name, name, "UNMANAGED", "ENABLED", engine, w.environment_document(self.setup), is_settled=True
            )
            for name, engine in self.setup.environments.items()
        ]
        found += [replace(w.fleet(self.setup, n, f"{n} {self.is_calm}"), is_settled=True) for n in self.setup.fleets]
        for name, policy in self.setup.policies.items():
            found.append(c.CreateSchedulingPolicy(name, {"fairsharePolicy": policy}))
        for name, (priority, environments) in self.setup.queues.items():
            document = w.queue_document(self.setup, name)
            found.append(c.CreateJobQueue(name, "ENABLED", priority, w.order(environments), document, is_settled=True))
        found += [c.RegisterJobDefinition(name, document) for name, document in self.setup.definitions.items()]
        return found

    # -- operations --

    def _do(self, operation: w.Operation) -> None:
        self.note(f"-- {operation}")
        newest = self.servers[-1] if self.servers else None
        if isinstance(operation, w.Submit):
            self.clients.submit(operation)
        elif isinstance(operation, w.Withdraw):
            self.clients.withdraw(operation)
        elif isinstance(operation, w.TagJob):
            self.clients.tag(operation)
        elif isinstance(operation, w.Ask):
            self.clients.once(operation.command)
        elif isinstance(operation, w.FailCommit):
            self._failing = "unknown" if operation.unknown else "lost"
        elif isinstance(operation, w.Lose):
            self.sites[operation.engine].lose(operation.instance_id)
        elif isinstance(operation, w.Reconnect):
            self.sites[operation.engine].reconnect()
        elif isinstance(operation, w.Interrupt):
            found = self.witness.fleets.instances_in(operation.environment)
            if found:
                instance_id = found[operation.pick % len(found)]
                self.clients.once(c.InterruptInstance(instance_id, operation.notice_seconds))
        elif isinstance(operation, w.Storm):
            self.cloud.storm(operation.notice_ms)
        elif isinstance(operation, w.LoseInstance):
            self.cloud.lose(operation.pick)
        elif isinstance(operation, w.Drought):
            self.cloud.run_dry(operation.for_ms)
        elif isinstance(operation, w.Takeover):
            self._start_server()
        elif newest is not None:
            self._end_server(newest, operation)

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
                server.request(lambda: c.TerminateAllRunning("down"), 0, lambda answer: server.loop.stop())
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
        """Environments as they were made; minvCpus only where they are to be kept."""
        for name, resources in self.setup.fleets.items():
            amounts = {"maxvCpus": resources["maxvCpus"]}
            if "minvCpus" in resources:
                amounts["minvCpus"] = resources["minvCpus"] if keep else 0
            self.clients.patiently(c.UpdateComputeEnvironment(name, "ENABLED", {"computeResources": amounts}))

    def _calm_down(self) -> None:
        """Faults end: one server on the full host, everything switched on."""
        self.note("calm: no more faults")
        self.is_calm = True
        self._failing, self._without, self._host, self._away_ms = "", "", 0, 0
        for site in self.sites.values():
            site.calm()
        self.cloud.calm()
        for server in self.servers[::-1]:
            self.crash(server)
        self.agenda.after(1, self._replace)
        for command in self.first_commands()[: len(self.setup.environments) + len(self.setup.fleets)]:
            assert isinstance(command, c.CreateComputeEnvironment)
            again = replace(command, uuid=f"{command.name} again", is_settled=False)
            self.clients.patiently(again)  # refused unless its deletion was the last that was heard of it
        for name in self.setup.environments:
            self.clients.patiently(c.UpdateComputeEnvironment(name, "ENABLED"))
        self._set_fleets(keep=False)
        for name, (_, environments) in self.setup.queues.items():
            self.clients.patiently(c.UpdateJobQueue(name, "ENABLED", None, w.order(environments)))

    def _end_what_runs_on(self) -> None:
        """Programs that run until they are stopped are stopped, so that those behind them have their turn."""
        before: list[Job] = []
        while placed := [job for job in self.witness.unfinished() if job.attempt is not None]:
            if placed == before:
                raise ViolationError(f"stopped, and runs on: {placed}")
            before = placed
            for job in placed:
                self.clients.stop(self.witness.job_id(job.key), True)
            self._until_idle()

    def _check_explained(self) -> None:
        """Nothing runs, nothing happens, there is room: whoever still waits must say why it can never run, or wait for
        one that does."""
        for job in self.witness.unfinished():
            spec, job_id = self.witness.spec_of(job.key), self.witness.job_id(job.key)
            if self.witness.top_of(job.key) != job.key or not spec.array_size:
                self._check_waits(job_id, job)
                continue
            for index in range(spec.array_size):
                child_id = names.child_id(job_id, index)
                child = self.witness.find(child_id)
                if child is not None and not child.status.is_final:
                    self._check_waits(child_id, child)

    def _check_waits(self, job_id: str, job: Job) -> None:
        self.note(f"waits: {job_id} {job.status} {job.status_reason}")
        if job.status is Status.RUNNABLE:
            if not job.status_reason:
                raise ViolationError(f"{job_id} could run, and waits without a reason")
            return
        wanted, spec = names.parse_job_id(job_id), self.witness.spec_of(job.key)
        others = [entry.job_id for entry in spec.depends_on if entry.job_id]
        if wanted.index is not None:
            others += [f"{e.job_id}:{wanted.index}" for e in spec.depends_on if e.type == "N_TO_N"]
            if spec.sequential and wanted.index:
                others.append(f"{wanted.uuid}:{wanted.index - 1}")
        found = [self.witness.find(other) for other in others]
        if all(other is None or other.status.is_final for other in found):
            raise ViolationError(f"{job_id} is {job.status}, and nothing it depends on is unfinished")

    def _check_nothing_left(self) -> None:
        """Memory of what waited goes with it."""
        world = self.servers[-1].machine.world
        left = {
            "jobs": world.jobs,
            "specs": world.specs,
            "parents": world.parents,
            "unmet": world.unmet,
            "dependents": world.dependents,
            "followers": world.followers,
            "sources": world.sources,
            "in line": {name: line.waiting_keys() for name, line in world.runnable.items() if line},
            "set aside": {name: keys for name, keys in world.stuck.items() if keys},
        }
        kept = {name: value for name, value in left.items() if value}
        if kept:
            raise ViolationError(f"every job has ended, and the machine still holds {kept}")

    def _check_fleets(self, least_vcpus: dict[str, int]) -> None:
        """Without work there are the instances that minvCpus asks for, and what they reserve is what is missing."""
        self.witness.fleets.check_idle(least_vcpus)
        known, alive = set(self.witness.fleets.instances), {one.instance_id for one in self.cloud.fake.alive()}
        if known != alive:
            raise ViolationError(f"instances live on that nobody knows, or the other way round: {known ^ alive}")
        world = self.servers[-1].machine.world
        reserved = [one.resources for one in self.witness.fleets.instances.values()]
        for name, room in world.rooms.items():
            free = room.free
            for resources in reserved if world.host is not None and name == world.host.instance_id else ():
                free = free.plus(resources)
            if free != world.instances[name].resources:
                raise ViolationError(f"every job has ended, and instance {name} has only {room.free} free")

    def _outcome(self) -> Outcome:
        for key, (_, status, body) in sorted(self.disk.jobs.items()):
            self._digest.update(f"{key} {status} {body}\n".encode())
        for attempt_id, life in self.ledger.lives.items():
            self._digest.update(f"{attempt_id} {life.starts} {life.final}\n".encode())
        runs = sum(life.starts for life in self.ledger.lives.values())
        return Outcome(self._digest.hexdigest(), self.commits, len(self.disk.jobs), runs, self.crashes)


def _words(instances: tuple[Instance, ...]) -> str:
    return ", ".join(f"{i.instance_id[-2:]}: {i.resources}" for i in instances)


def _statuses(rows: Rows) -> str:
    return " ".join(f"{row[0]}:{row[2]}" for row in rows.jobs)
