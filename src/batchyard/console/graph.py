"""Graphs of things that follow each other, laid out in layers, as plain SVG: every node is a link."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

NODE_WIDTH, NODE_HEIGHT, GAP_X, GAP_Y = 176, 44, 56, 16
BACK_HEIGHT = 30  # of an edge that leads back, below its nodes
MAX_NODES = 200  # more are no picture: the caller groups them first
SWEEPS = 2  # of barycentres: more change little
MAX_LABEL_CHARACTERS = 22


class Node(Struct, frozen=True):
    """`status`: a state of a job, or empty. `note`: a second line, such as a count. `url`: where it leads; empty:
    nowhere."""

    id: str
    label: str
    status: str = ""
    note: str = ""
    url: str = ""
    is_self: bool = False


class Placed(Struct, frozen=True):
    """A node and the top left corner of its box."""

    node: Node
    x: int
    y: int

    @property
    def label(self) -> str:
        text = self.node.label
        return text if len(text) <= MAX_LABEL_CHARACTERS else f"{text[: MAX_LABEL_CHARACTERS - 1]}…"


class Drawing(Struct, frozen=True):
    """`edges`: the `d` of each path; `backs`: of those that lead back to what was before."""

    width: int
    height: int
    nodes: list[Placed]
    edges: list[str]
    backs: list[str] = []


def draw(nodes: Sequence[Node], edges: Iterable[tuple[str, str]]) -> Drawing:
    """Lays out a graph from left to right. Edges to unknown nodes are left out; those that close a circle
    lead back below the nodes."""
    assert len(nodes) <= MAX_NODES, f"{len(nodes)} nodes are no picture"
    by_id = {node.id: node for node in nodes}
    after: dict[str, list[str]] = {node.id: [] for node in nodes}
    backs: list[tuple[str, str]] = []
    for start, end in edges:
        if start in by_id and end in by_id and end not in after[start]:
            if _reaches(after, end, start):
                backs.append((start, end))
            else:
                after[start].append(end)
    layers = _layers(after)
    _untangle(layers, after)
    places = {
        name: (x * (NODE_WIDTH + GAP_X), y * (NODE_HEIGHT + GAP_Y))
        for x, layer in enumerate(layers)
        for y, name in enumerate(layer)
    }
    width = max(1, len(layers)) * (NODE_WIDTH + GAP_X) - GAP_X + 4
    height = max((len(layer) for layer in layers), default=1) * (NODE_HEIGHT + GAP_Y) - GAP_Y + 4
    returns = [_back(places[a], places[b], height) for a, b in backs]
    height += BACK_HEIGHT if backs else 0
    placed = [Placed(by_id[name], 2 + x, 2 + y) for name, (x, y) in places.items()]
    forward = [_path(places[a], places[b]) for a in after for b in after[a]]
    return Drawing(width, height, placed, forward, returns)


def _reaches(after: dict[str, list[str]], start: str, end: str) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        name = waiting.pop()
        if name == end:
            return True
        fresh = [one for one in after[name] if one not in seen]
        seen.update(fresh)
        waiting += fresh
    return False


def _layers(after: dict[str, list[str]]) -> list[list[str]]:
    """Puts each node behind all that it follows: by the longest path to it."""
    depth = dict.fromkeys(after, 0)
    degree = dict.fromkeys(after, 0)
    for ends in after.values():
        for end in ends:
            degree[end] += 1
    ready = [name for name in after if not degree[name]]
    while ready:
        name = ready.pop()
        for end in after[name]:
            depth[end] = max(depth[end], depth[name] + 1)
            degree[end] -= 1
            if not degree[end]:
                ready.append(end)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name in after:
        layers[depth[name]].append(name)
    return layers


def _untangle(layers: list[list[str]], after: dict[str, list[str]]) -> None:
    """Orders each layer by the mean place of the neighbours before it, then after it."""
    before: dict[str, list[str]] = {name: [] for name in after}
    for start, ends in after.items():
        for end in ends:
            before[end].append(start)
    for _ in range(SWEEPS):
        for neighbours, order in ((before, layers), (after, layers[::-1])):
            place = {name: index for layer in layers for index, name in enumerate(layer)}
            for layer in order:
                means = {name: _mean([place[one] for one in neighbours[name]], place[name]) for name in layer}
                layer.sort(key=means.__getitem__)
                place.update({name: index for index, name in enumerate(layer)})


def _mean(values: list[int], otherwise: int) -> float:
    return sum(values) / len(values) if values else float(otherwise)


def _path(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + NODE_WIDTH + 2, start[1] + NODE_HEIGHT // 2 + 2
    x2, y2 = end[0] + 2, end[1] + NODE_HEIGHT // 2 + 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"


def _back(start: tuple[int, int], end: tuple[int, int], bottom: int) -> str:
    """Returns the path of an edge that leads back, whose middle is below `bottom`."""
    x1, y1 = start[0] + NODE_WIDTH * 2 // 3, start[1] + NODE_HEIGHT + 2
    x2, y2 = end[0] + NODE_WIDTH // 3, end[1] + NODE_HEIGHT + 2
    lowest = (bottom + BACK_HEIGHT // 2) * 4 // 3 - (y1 + y2) // 6  # a curve comes three quarters as far as this
    return f"M{x1} {y1}C{x1} {lowest} {x2} {lowest} {x2} {y2}"
