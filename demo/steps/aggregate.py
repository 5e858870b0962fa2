"""Step 3: merges the counts of all parts into one table, table.tsv."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

Table = dict[tuple[str, str], tuple[int, int]]  # (path, status) -> (requests, bytes)
SHOWN = 3


def merge(folder: Path, parts: int) -> tuple[Table, int]:
    """The sum of count-000.json and so on, and the broken lines. A part that is missing is an error."""
    table: Table = {}
    broken = 0
    for index in range(parts):
        document = json.loads((folder / f"count-{index:03}.json").read_text())
        broken += document["broken"]
        for path, status, requests, size in document["rows"]:
            before = table.get((path, status), (0, 0))
            table[path, status] = (before[0] + requests, before[1] + size)
    return table, broken


def write_table(table: Table, target: Path) -> None:
    """Tab-separated, the most requested first."""
    rows = sorted(table.items(), key=lambda item: (-item[1][0], item[0]))
    lines = ["path\tstatus\trequests\tbytes"]
    lines += [f"{path}\t{status}\t{requests}\t{size}" for (path, status), (requests, size) in rows]
    target.write_text("\n".join(lines) + "\n")


def main() -> int:
    work, parts = Path(os.environ["WORK"]), int(os.environ["PARTS"])
    table, broken = merge(work / "counts", parts)
    write_table(table, work / "table.tsv")
    requests = sum(row[0] for row in table.values())
    print(f"merged {parts} parts: {requests:,} requests in {len(table)} rows; {broken} lines were broken")
    for (path, status), (count, size) in sorted(table.items(), key=lambda item: -item[1][0])[:SHOWN]:
        print(f"{count:>8,} × {path} {status}, {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
