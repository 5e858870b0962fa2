"""The children of an array as a grid of cells: one path of SVG for each state, so that 10,000 are few elements."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from batchyard.core.model.records import Ranges

CELL = 10
MAX_CELLS = 10_000  # beyond it a cell stands for several children
# The state of a cell of several children is the first of these that one of them has.
WORST_FIRST = ("FAILED", "RUNNING", "STARTING", "RUNNABLE", "PENDING", "SUBMITTED", "SUCCEEDED")
MIN_COLUMNS, MAX_COLUMNS = 40, 100  # few children are rows, and 10,000 are a square
SHOWN_CELL = 16  # of few cells, in pixels at most; many are shrunk to the page


class Grid(Struct, frozen=True):
    """`each`: children of one cell. `paths`: the `d` of each state's cells, by state, the worst state last."""

    size: int
    each: int
    columns: int
    rows: int
    paths: dict[str, str]

    @property
    def width(self) -> int:
        return self.columns * CELL

    @property
    def height(self) -> int:
        return self.rows * CELL

    @property
    def shown_width(self) -> int:
        """Its width in pixels, where the page is as wide."""
        return self.columns * SHOWN_CELL

    @property
    def lines(self) -> str:
        """The lines between the cells, as one path."""
        across = "".join(f"M0 {y * CELL}h{self.width}" for y in range(1, self.rows))
        return across + "".join(f"M{x * CELL} 0v{self.height}" for x in range(1, self.columns))


def grid_of(size: int, states: Mapping[str, Ranges]) -> Grid:
    """Draws an array of `size` children. `states`: the indexes of the children in each state."""
    each = -(-size // MAX_CELLS)
    cells = -(-size // each)
    columns = min(MAX_COLUMNS, max(MIN_COLUMNS, _square_side(cells)), max(cells, 1))
    taken: list[tuple[int, int]] = []
    paths: dict[str, str] = {}
    for state in WORST_FIRST:
        spans = _cells_of(states.get(state, ()), each)
        if each > 1:
            spans, taken = _without(spans, taken), _merged([*taken, *spans])
        if spans:
            paths[state] = "".join(_span_path(start, stop, columns) for start, stop in spans)
    return Grid(size, each, columns, -(-cells // columns), dict(reversed(paths.items())))


def _square_side(cells: int) -> int:
    return int((cells - 1) ** 0.5) + 1 if cells else 1


def _cells_of(ranges: Ranges, each: int) -> list[tuple[int, int]]:
    return _merged([(start // each, (stop - 1) // each + 1) for start, stop in ranges if stop > start])


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found


def _without(spans: list[tuple[int, int]], taken: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, stop in spans:
        for low, high in taken:
            if high <= start or low >= stop:
                continue
            if low > start:
                found.append((start, low))
            start = max(start, high)
        if start < stop:
            found.append((start, stop))
    return found


def _span_path(start: int, stop: int, columns: int) -> str:
    """The cells of a range, row by row; whole rows are one rectangle."""
    parts = []
    while start < stop:
        row, column = divmod(start, columns)
        if column == 0 and stop - start >= columns:
            rows = (stop - start) // columns
            parts.append(f"M0 {row * CELL}h{columns * CELL}v{rows * CELL}h-{columns * CELL}z")
            start += rows * columns
            continue
        length = min(stop - start, columns - column)
        parts.append(f"M{column * CELL} {row * CELL}h{length * CELL}v{CELL}h-{length * CELL}z")
        start += length
    return "".join(parts)
