"""The same count by other code, in one process: what the pipeline's result is held against."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

Table = dict[tuple[str, str], tuple[int, int]]  # (path, status) -> (requests, bytes)


def count_in_one_process(log: Path) -> Table:
    """Splits each line at its quotes and blanks: nothing of the steps' parser, a regular expression, is used."""
    requests: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    with log.open(encoding="ascii") as lines:
        for line in lines:
            pieces = line.split('"')
            if len(pieces) != 3:
                continue
            path = pieces[1].split()[1]
            status, size = pieces[2].split()
            requests[path, status] += 1
            sizes[path, status] += int(size)
    return {key: (requests[key], sizes[key]) for key in requests}


def read_table(path: Path) -> Table:
    """The pipeline's table.tsv."""
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return {(row[0], row[1]): (int(row[2]), int(row[3])) for row in rows}


def differences(ours: Table, expected: Table) -> list[str]:
    """One sentence for each row that is not the same; none when the tables are equal."""
    return [
        f"{path} {status}: {ours.get((path, status))} instead of {expected.get((path, status))}"
        for path, status in sorted(ours.keys() | expected.keys())
        if ours.get((path, status)) != expected.get((path, status))
    ]
