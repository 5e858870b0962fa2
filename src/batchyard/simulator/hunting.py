"""Runs seeds, and makes what a failing one shows as small as it gets."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

from msgspec import Struct

from batchyard.simulator.draws import draw
from batchyard.simulator.simulation import Outcome, Simulation
from batchyard.simulator.workload import Operation, without

STORY_LINES = 60  # of the end of a story, which is where it went wrong
TRACE_LINES = 12


class Failure(Struct, frozen=True):
    """What went wrong with one seed, with only those operations whose positions are in `kept`."""

    seed: int
    kept: tuple[int, ...]
    error: str
    trace: str
    story: tuple[str, ...]
    operations: tuple[Operation, ...]


def attempt(seed: int, kept: Sequence[int] | None = None, *, tells: bool = False) -> Outcome | Failure:
    """One seed. `kept`: the positions of the operations to do; None: all. `tells`: with the story if it fails."""
    workload = draw(seed)
    positions = tuple(range(len(workload.operations))) if kept is None else tuple(kept)
    chosen = without(workload, frozenset(positions))
    story: list[str] | None = [] if tells else None
    simulation = Simulation(seed, chosen, story)
    try:
        return simulation.run()
    except Exception as error:  # noqa: BLE001  (whatever the core, the loop or the judgement raised is the find)
        cause = error.__cause__ or error
        lines = "".join(traceback.format_exception(cause)).splitlines()
        text = f"{type(error).__name__}: {error}"
        if error.__cause__ is not None:
            text += f" ({type(cause).__name__}: {cause})"
        return Failure(seed, positions, text, "\n".join(lines[-TRACE_LINES:]), tuple(story or ()), chosen.operations)
    finally:
        simulation.close()


def shrink(failure: Failure, say: Callable[[str], None]) -> Failure:
    """Leaves out operations, halves first, while the seed still fails somehow."""
    best, size = failure, max(1, len(failure.kept) // 2)
    while True:
        at, is_shorter = 0, False
        while at < len(best.kept):
            fewer = best.kept[:at] + best.kept[at + size :]
            found = attempt(best.seed, fewer)
            if isinstance(found, Failure):
                best, is_shorter = found, True
                say(f"{len(best.kept)} operations left: {best.error[:100]}")
            else:
                at += size
        if size == 1 and not is_shorter:
            return best
        size = max(1, size // 2)


def command_of(failure: Failure) -> str:
    """What reproduces it."""
    everything = tuple(range(len(draw(failure.seed).operations)))
    kept = "" if failure.kept == everything else f" --keep {','.join(str(at) for at in failure.kept)}"
    return f"python -m batchyard.simulator --seed {failure.seed}{kept}"
