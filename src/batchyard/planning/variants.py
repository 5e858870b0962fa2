"""Variants of a simulation, run side by side in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

from msgspec import Struct

from batchyard.core.capacity.catalogue import Catalogue
from batchyard.core.capacity.prices import Prices
from batchyard.planning.measures import Measures, measure
from batchyard.planning.outcome import InstanceLife, Outcome, Sample
from batchyard.planning.simulation import Conditions, Simulation
from batchyard.planning.site import Document, Site, SiteError, with_hosts, with_policy, with_queues
from batchyard.planning.workload import Workload

AS_IS = "as it is"


class Variant(Struct, frozen=True):
    name: str
    site: Site


class Result(Struct, frozen=True):
    """`waits_for`: why jobs can never start, and how many; `is_complete`: all jobs ended. `starts_ms`: of every job, a
    child of an array being one, -1: it has not started."""

    name: str
    measures: Measures
    samples: list[Sample]
    instances: list[InstanceLife]
    now_ms: int
    is_complete: bool
    waits_for: tuple[str, int] | None
    starts_ms: list[int]


class Question(Struct, frozen=True):
    """What is asked of every variant."""

    workload: Workload
    conditions: Conditions
    catalogue: Catalogue
    prices: Prices


def variants(
    site: Site,
    workload: Workload,
    policies: Sequence[str],
    documents: Mapping[str, Document],
    hosts: Sequence[str],
    catalogue: Catalogue,
) -> list[Variant]:
    """Returns the site as it is, or with each policy; and each of these again with each of the additional hosts."""
    whole = with_queues(site, sorted({job.queue for job in workload.jobs}))
    bases = [Variant(policy, with_policy(whole, policy, documents)) for policy in policies] or [Variant(AS_IS, whole)]
    found = list(bases)
    for text in hosts:
        for base in bases:
            name = text if base.name == AS_IS else f"{base.name} {text}"
            found.append(Variant(name, with_hosts(base.site, text, catalogue)))
    return found


def run_variant(variant: Variant, question: Question, should_stop: Callable[[Simulation], bool]) -> Result:
    """Runs one variant. `should_stop` is asked again and again."""
    simulation = Simulation(question.workload, variant.site, question.conditions, question.catalogue, question.prices)
    outcome = simulation.run(lambda: should_stop(simulation))
    return _result(variant.name, outcome, question)


def _result(name: str, outcome: Outcome, question: Question) -> Result:
    return Result(
        name,
        measure(outcome, question.workload.jobs, question.prices),
        outcome.samples,
        list(outcome.instances.values()),
        outcome.now_ms,
        outcome.is_complete,
        outcome.waits_for,
        list(outcome.start_ms),
    )


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Yields whether Ctrl-C was pressed, which ends nothing by itself meanwhile."""
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


def run_side_by_side(
    found: Sequence[Variant], question: Question, on_progress: Callable[[int, int], None]
) -> list[Result]:
    """Runs the variants, as many at once as there are processors. `on_progress`: (jobs that ended, jobs of all
    variants). After Ctrl-C each returns what it has. Raises SiteError."""
    total = question.workload.children * len(found)
    if len(found) == 1 or (os.cpu_count() or 1) == 1:
        results: list[Result] = []
        with _interruptible() as is_pressed:
            for number, variant in enumerate(found):
                before = number * question.workload.children

                def look(simulation: Simulation, before: int = before) -> bool:
                    on_progress(before + simulation.progress[0], total)
                    return is_pressed()

                results.append(run_variant(variant, question, look))
        return results
    return _in_processes(found, question, on_progress, total)


def _in_processes(
    found: Sequence[Variant], question: Question, on_progress: Callable[[int, int], None], total: int
) -> list[Result]:
    # A fork shares the workload; nothing else runs in this process.
    context = multiprocessing.get_context("fork")
    waiting = list(enumerate(found))
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    results: dict[int, Result] = {}
    ended = dict.fromkeys(range(len(found)), 0)
    with _interruptible():
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                number, variant = waiting.pop(0)
                here, there = context.Pipe(duplex=False)
                process: BaseProcess = context.Process(target=_work, args=(there, variant, question))
                process.start()
                there.close()
                running[here] = number, process
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                number, working = running[connection]
                message = connection.recv()
                if isinstance(message, int):
                    ended[number] = message
                    on_progress(sum(ended.values()), total)
                    continue
                working.join()
                connection.close()
                del running[connection]
                if isinstance(message, str):
                    _end(running)
                    raise SiteError(message)
                results[number], ended[number] = message, question.workload.children
    return [results[number] for number in sorted(results)]


def _end(running: Mapping[Connection, tuple[int, BaseProcess]]) -> None:
    for connection, (_, process) in running.items():
        process.terminate()
        process.join()
        connection.close()


def _work(there: Connection, variant: Variant, question: Question) -> None:
    """Runs a variant in a process of its own: sends how many jobs have ended, then the result, or an error's text."""
    with _interruptible() as is_pressed:

        def look(simulation: Simulation) -> bool:
            there.send(simulation.progress[0])
            return is_pressed()

        try:
            there.send(run_variant(variant, question, look))
        except SiteError as error:
            there.send(str(error))
    there.close()
