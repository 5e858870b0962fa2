"""`python -m batchyard.simulator`: one seed or many, on one core, without waiting."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from batchyard.simulator.shrink import STORY_LINES, Failure, command_of, run_seed, shrink

MAX_FAILURES = 10  # enough to look at
PROGRESS_EVERY = 500  # seeds


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.seeds:
        return _run_seeds(*options.seeds)
    kept = [int(at) for at in options.keep.split(",") if at] if options.keep is not None else None
    found = run_seed(options.seed, kept, with_story=options.story)
    if not isinstance(found, Failure):
        print(
            f"seed {options.seed}: {found.digest}  {found.commits} commits, {found.jobs} rows, {found.runs} runs, "
            f"{found.crashes} crashes"
        )
        return 0
    if options.shrink:
        found = shrink(found, lambda text: print(text, file=sys.stderr))
    _print_failure(found, everything=options.story)
    return 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m batchyard.simulator", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="run one seed and print its digest")
    which.add_argument("--seeds", type=_seed_range, metavar="A..B", help="run these seeds, both ends included")
    parser.add_argument("--keep", metavar="0,3,7", help="with --seed: only the operations at these positions")
    parser.add_argument("--shrink", action="store_true", help="with --seed: leave out what a failure does not need")
    parser.add_argument("--story", action="store_true", help="with --seed: tell a failure from its beginning")
    return parser.parse_args(arguments)


def _seed_range(text: str) -> tuple[int, int]:
    first, found, last = text.partition("..")
    if not (found and first.isdigit() and last.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no span of seeds: write it as 0..499")
    return int(first), int(last)


def _run_seeds(first: int, last: int) -> int:
    failures: list[Failure] = []
    for seed in range(first, last + 1):
        found = run_seed(seed)
        if isinstance(found, Failure):
            failures.append(found)
            print(f"seed {seed}: {found.error[:300]}\n    {command_of(found)} --shrink", flush=True)
            if len(failures) == MAX_FAILURES:
                print(f"stopped at seed {seed} after {MAX_FAILURES} failures")
                return 1
        if (seed - first + 1) % PROGRESS_EVERY == 0:
            print(f"{seed - first + 1} seeds, {len(failures)} failures", flush=True)
    print(f"seeds {first}..{last}: {len(failures)} failures")
    return 1 if failures else 0


def _print_failure(failure: Failure, *, everything: bool) -> None:
    again = run_seed(failure.seed, failure.kept, with_story=True)
    assert isinstance(again, Failure), f"seed {failure.seed} failed and does not any more: it is not deterministic"
    print(f"seed {again.seed} fails with {len(again.operations)} operations:")
    for at, operation in zip(again.kept, again.operations, strict=True):
        print(f"  {at:>2}: {operation}")
    lines = again.story if everything else again.story[-STORY_LINES:]
    print(f"the story, {len(lines)} of {len(again.story)} lines:")
    for line in lines:
        print(line)
    print(again.trace)
    print(again.error)
    print(f"again: {command_of(again)}")


if __name__ == "__main__":
    sys.exit(main())
