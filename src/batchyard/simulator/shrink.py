"""Runs seeds, and shrinks the workload of a failing one."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

from msgspec import Struct

from batchyard.simulator.generator import generate
from batchyard.simulator.simulation import Outcome, Simulation
from batchyard.simulator.workload import Operation, without

STORY_LINES = 60  # of the end of a story, where the failure is
TRACE_LINES = 12


class Failure(Struct, frozen=True):
    """The failure of one seed, with only those operations whose positions are in `kept`."""

    seed: int
    kept: tuple[int, ...]
    error: str
    trace: str
    story: tuple[str, ...]
    operations: tuple[Operation, ...]


def run_seed(seed: int, kept: Sequence[int] | None = None, *, with_story: bool = False) -> Outcome | Failure:
    """Runs one seed. `kept`: the positions of the operations to do; None: all. `with_story`: fills Failure.story."""
    workload = generate(seed)
    positions = tuple(range(len(workload.operations))) if kept is None else tuple(kept)
    chosen = without(workload, frozenset(positions))
    story: list[str] | None = [] if with_story else None
    simulation = Simulation(seed, chosen, story)
    try:
        return simulation.run()
    except Exception as error:  # noqa: BLE001  (what the core, the loop or an oracle raised is the failure)
        cause = error.__cause__ or error
        lines = "".join(traceback.format_exception(cause)).splitlines()
        text = f"{type(error).__name__}: {error}"
        if error.__cause__ is not None:
            text += f" ({type(cause).__name__}: {cause})"
        return Failure(seed, positions, text, "\n".join(lines[-TRACE_LINES:]), tuple(story or ()), chosen.operations)
    finally:
        simulation.close()


def shrink(failure: Failure, say: Callable[[str], None]) -> Failure:
    """Returns the smallest failure found by leaving out operations, halves first, while the seed still fails."""
    best, size = failure, max(1, len(failure.kept) // 2)
    while True:
        at, is_shorter = 0, False
        while at < len(best.kept):
            fewer = best.kept[:at] + best.kept[at + size :]
            found = run_seed(best.seed, fewer)
            if isinstance(found, Failure):
                best, is_shorter = found, True
                say(f"{len(best.kept)} operations left: {best.error[:100]}")
            else:
                at += size
        if size == 1 and not is_shorter:
            return best
        size = max(1, size // 2)


def command_of(failure: Failure) -> str:
    """Returns the command line that reproduces the failure."""
    everything = tuple(range(len(generate(failure.seed).operations)))
    kept = "" if failure.kept == everything else f" --keep {','.join(str(at) for at in failure.kept)}"
    return f"python -m batchyard.simulator --seed {failure.seed}{kept}"
