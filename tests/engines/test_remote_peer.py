"""What a server sends to a host over connections that drop messages at random: each attempt runs and ends once."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import TaskSpec
from batchyard.core.model.reports import ContainerExit, Exited, Lost, NotStarted, Report, Started
from batchyard.core.model.resources import Resources
from batchyard.engines.base import RECOVERED_SILENT, Launch, Recovery
from batchyard.engines.remote.leases import GrantedLease
from batchyard.engines.remote.messages import Commands
from batchyard.engines.remote.peer import Peer

TASK = TaskSpec(("true",), (), Resources())
STEPS = 400


def launch(number: int) -> Launch:
    return Launch(AttemptNode(f"{number:032x}", 0, "i-1"), number, TASK, ())


class Host:
    """A supervisor's part, with a journal that nothing harms."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.ended: dict[str, Report] = {}
        self.acknowledged: set[str] = set()
        self.runs: dict[str, int] = {}

    def take(self, commands: Commands) -> list[Report]:
        said: list[Report] = []
        for one in commands.recoveries():
            if not self._repeat(one.launch, said):
                if one.may_launch and not one.known_started:
                    self._start(one.launch, said)
                elif one.known_started:
                    said.append(self._end(one.launch.task_id, Lost(one.launch.attempt_id, 1, "no trace")))
                else:
                    said.append(self._end(one.launch.task_id, NotStarted(one.launch.attempt_id, 1, RECOVERED_SILENT)))
        for made in commands.launches():
            if not self._repeat(made, said):
                self._start(made, said)
        for stop in commands.stop:
            if stop.attempt_node.task_id in self.running:
                said.append(self.exit(stop.attempt_node.task_id, 143))
        for node in commands.acknowledge:
            if self.ended.pop(node.task_id, None) is not None:
                self.acknowledged.add(node.task_id)
        return said

    def _repeat(self, made: Launch, said: list[Report]) -> bool:
        task_id = made.task_id
        if task_id in self.running:
            said.append(Started(made.attempt_id, 1))
        elif task_id in self.ended:
            said.append(self.ended[task_id])
        return task_id in self.running or task_id in self.ended or task_id in self.acknowledged

    def _start(self, made: Launch, said: list[Report]) -> None:
        self.running.add(made.task_id)
        self.runs[made.task_id] = self.runs.get(made.task_id, 0) + 1
        said.append(Started(made.attempt_id, 1))

    def _end(self, task_id: str, report: Report) -> Report:
        self.ended[task_id] = report
        return report

    def exit(self, task_id: str, code: int) -> Report:
        self.running.remove(task_id)
        return self._end(task_id, Exited(task_id, 1, 2, (ContainerExit(exit_code=code),)))


class World:
    """A server and a host. `drops`: what is under way when a connection ends may be lost, from some point on."""

    def __init__(self, seed: int, peer: type[Peer]) -> None:
        self.random = random.Random(seed)
        self.make_peer = peer
        self.peer = self.new_peer()
        self.host = Host()
        self.to_host: list[Commands] = []
        self.to_server: list[Report] = []
        self.is_connected = False
        self.open: dict[str, Launch] = {}  # as the store has them
        self.started: set[str] = set()
        self.finals: dict[str, Report] = {}
        self.count = 0

    def new_peer(self) -> Peer:
        return self.make_peer("i-1", GrantedLease(0, 1000), lambda task_id: 0)

    def step(self) -> None:
        work = [self.launch, self.stop, self.deliver, self.deliver, self.answer, self.answer, self.end, self.switch]
        self.random.choice(work if self.random.random() < 0.98 else [self.restart])()

    def launch(self) -> None:
        self.count += 1
        made = launch(self.count)
        self.open[made.task_id] = made
        self.peer.launch(made)
        self.send()

    def stop(self) -> None:
        if self.open:
            self.peer.stop(self.random.choice(list(self.open.values())).attempt_node, 1.0)
            self.send()

    def send(self) -> None:
        if self.is_connected and (commands := self.peer.take()) is not None:
            self.to_host.append(commands)

    def deliver(self) -> None:
        if self.to_host:
            self.to_server += self.host.take(self.to_host.pop(0))

    def end(self) -> None:
        if self.host.running:
            report = self.host.exit(self.random.choice(sorted(self.host.running)), 0)
            if self.is_connected:
                self.to_server.append(report)

    def answer(self) -> None:
        if not self.to_server:
            return
        report = self.to_server.pop(0)
        self.peer.note([report])
        if isinstance(report, Started):
            self.started.add(report.task_id)
            return
        known = self.finals.setdefault(report.task_id, report)
        assert known == report, f"two ends of one attempt: {known}, {report}"
        self.open.pop(report.task_id, None)
        self.peer.acknowledge(AttemptNode(report.attempt_id, 0, "i-1"))
        self.send()

    def switch(self) -> None:
        if self.is_connected:
            self.cut()
        else:
            self.is_connected = True
            self.to_host.append(self.peer.reconnect())
            self.to_server += self.host.ended.values()

    def cut(self) -> None:
        """The messages of both ways are lost from some point on."""
        self.is_connected = False
        for _ in range(self.random.randrange(len(self.to_host) + 1)):
            self.deliver()
        self.to_host.clear()
        self.to_server.clear()

    def restart(self) -> None:
        """Another server takes over, which knows what is stored."""
        self.cut()
        self.peer = self.new_peer()
        for made in self.open.values():
            has_started = made.task_id in self.started
            self.peer.recover(Recovery(made, may_launch=not has_started, known_started=has_started))

    def settle(self) -> None:
        if not self.is_connected:
            self.switch()
        for _ in range(20 * self.count + 100):
            self.deliver()
            self.answer()
            self.end()
            self.send()

    def run(self) -> None:
        for _ in range(STEPS):
            self.step()
        self.settle()
        assert not self.open, f"{len(self.open)} attempts never ended"
        assert all(runs == 1 for runs in self.host.runs.values()), "an attempt ran twice"
        assert not any(isinstance(one, Lost) for one in self.finals.values()), "nothing was lost: the host never was"


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_dropped_each_attempt_runs_once_and_ends(seed: int) -> None:
    World(seed, Peer).run()


class AsksAboutNothing(Peer):
    def reconnect(self) -> Commands:
        for one in self.live.values():
            one.is_lost = True
        return super().reconnect()


class ForgetsWhatWasSent(Peer):
    """Takes a launch for sent although it was only queued."""

    def launch(self, launch: Launch) -> None:
        super().launch(launch)
        self.live[launch.task_id].known_started = True
        self.live[launch.task_id].is_sent = True


class DropsWhatWasNeverSent(Peer):
    def reconnect(self) -> Commands:
        return replace(super().reconnect(), launch=())


@pytest.mark.parametrize("peer", [AsksAboutNothing, ForgetsWhatWasSent, DropsWhatWasNeverSent])
def test_a_wrong_server_is_caught(peer: type[Peer]) -> None:
    def all_worlds() -> None:
        for seed in range(40):
            World(seed, peer).run()

    with pytest.raises(AssertionError):
        all_worlds()


def test_what_is_given_up_is_not_asked_about_again() -> None:
    peer = Peer("i-1", GrantedLease(0, 1000), lambda task_id: 0)
    peer.launch(launch(1))
    peer.take()
    (lost,) = peer.lose(5)
    assert lost.task_id == launch(1).task_id
    assert not peer.lose(6), "it is reported once"
    peer.launch(launch(2))
    commands = peer.reconnect()
    assert commands.recover == ()
    assert [one.task_id for one in commands.launch] == [launch(2).task_id]
