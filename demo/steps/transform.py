"""Step 2, an array: the child with $AWS_BATCH_JOB_ARRAY_INDEX counts its part of the log by path and status."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

LINE = re.compile(r'\S+ \S+ \S+ \[[^]]*\] "[A-Z]+ (\S+) [^"]*" (\d{3}) (\d+|-)')

Row = tuple[str, str, int, int]  # path, status, requests, bytes


def count(lines: Iterable[str]) -> tuple[list[Row], int]:
    """Rows by path and status, and how many lines are no requests."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    broken = 0
    for line in lines:
        match = LINE.match(line)
        if match is None:
            broken += 1
            continue
        path, status, size = match.groups()
        requests, total = found.get((path, status), (0, 0))
        found[path, status] = (requests + 1, total + (0 if size == "-" else int(size)))
    return [(path, status, *sums) for (path, status), sums in sorted(found.items())], broken


def main() -> int:
    index = int(os.environ["AWS_BATCH_JOB_ARRAY_INDEX"])
    size = int(os.environ["AWS_BATCH_JOB_ARRAY_SIZE"])
    work = Path(os.environ["WORK"])
    part = work / "parts" / f"part-{index:03}.log"
    with part.open(encoding="ascii") as lines:
        rows, broken = count(lines)
    target = work / "counts" / f"count-{index:03}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"rows": rows, "broken": broken}))
    print(
        f"part {index + 1} of {size}: {sum(row[2] for row in rows):,} requests, {len(rows)} rows, {broken} broken lines"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
