"""Reads the imports of every module from the source."""

from __future__ import annotations

import ast
from pathlib import Path

from batchyard.docsgen.rooms import CORE_ORDER

SOURCE = Path(__file__).parents[1]


def imported_names(tree: ast.AST, module: str, is_package: bool) -> list[tuple[int, str]]:
    """Returns (line, full dotted name) of everything `module` imports, at any depth, relative imports resolved."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return found


def modules() -> list[tuple[Path, str, bool]]:
    """Returns (file, full dotted name, whether it is a package) of every module that is written here."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        if "vendor" not in parts:
            is_package = parts[-1] == "__init__"
            found.append((path, ".".join(parts[:-1] if is_package else parts), is_package))
    return found


def core_room(name: str) -> str:
    """Returns the room of a dotted name below the package (`core.state.world.World` -> `state`), or "" elsewhere."""
    parts = name.split(".")
    return parts[1] if parts[0] == "core" and len(parts) > 1 else ""


def core_arrows() -> dict[str, set[str]]:
    """Returns for each room of the core the other rooms of the core that it imports."""
    arrows: dict[str, set[str]] = {room: set() for room in CORE_ORDER}
    for path, module, is_package in modules():
        room = core_room(module.removeprefix("batchyard."))
        for _, name in imported_names(ast.parse(path.read_text()), module, is_package) if room else ():
            arrows[room] |= {core_room(name.removeprefix("batchyard."))} - {"", room}
    return arrows
