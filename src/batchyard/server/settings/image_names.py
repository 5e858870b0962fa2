"""The configuration file's table [images]: the images that replace those that definitions name, by engine."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from msgspec import Struct

from batchyard.server.settings.default_paths import SettingError

IMAGES_TABLE = "images"
ANY = "*"  # in a pattern: any text; in a replacement: the text that the pattern's star at the same position matched
EXAMPLE = '"123456789012.dkr.ecr.*.amazonaws.com/*" = "localhost:5000/*"'


class ImageLine(Struct, frozen=True):
    """One line: images that match `pattern` are `replacement` on `engine` (empty: on every engine)."""

    engine: str
    pattern: str
    replacement: str

    def apply(self, image: str) -> str | None:
        """Returns the image that replaces this one; None: the line does not match. Takes time in proportion to the
        texts' lengths: each star takes as little as it can, from the left."""
        first, *parts = self.pattern.split(ANY)
        if not parts:
            return self.replacement if image == first else None
        *between, last = parts
        stop = len(image) - len(last)
        if not image.startswith(first) or not image.endswith(last) or stop < len(first):
            return None
        at, taken = len(first), list[str]()
        for part in between:
            found = image.find(part, at, stop)
            if found < 0:
                return None
            taken.append(image[at:found])
            at = found + len(part)
        return self._filled([*taken, image[at:stop]])

    def _filled(self, taken: list[str]) -> str:
        """Returns the replacement with `taken` for its stars: the last ones where it has fewer than the pattern."""
        first, *rest = self.replacement.split(ANY)
        used = taken[len(taken) - len(rest) :]
        return first + "".join(text + following for text, following in zip(used, rest, strict=True))


def image_lines(table: Any, where: str, engines: Collection[str]) -> tuple[ImageLine, ...]:
    """Returns the lines of the table, those of one engine (its sub-tables) first. Raises SettingError."""
    if not isinstance(table, dict):
        raise SettingError(f"{where} must be a table with lines such as {EXAMPLE}.")
    own = {name: lines for name, lines in table.items() if isinstance(lines, dict)}
    for engine in own:
        if engine not in engines:
            raise SettingError(f"{where}: there is no engine {engine}. There are: {', '.join(sorted(engines))}.")
    shared = {name: text for name, text in table.items() if name not in own}
    parts = [*own.items(), ("", shared)]
    return tuple(line for engine, lines in parts for line in _lines(lines, engine, where))


def _lines(table: dict[str, Any], engine: str, where: str) -> Iterator[ImageLine]:
    for pattern, replacement in table.items():
        if not isinstance(replacement, str) or not _is_name(pattern) or not _is_name(replacement):
            raise SettingError(f"{where}: {pattern} must be a line such as {EXAMPLE}.")
        if replacement.count(ANY) > pattern.count(ANY):
            raise SettingError(f"{where}: {replacement} has more stars than its pattern {pattern}.")
        yield ImageLine(engine, pattern, replacement)


def _is_name(text: str) -> bool:
    return bool(text) and text.isprintable() and " " not in text


class ImageNames:
    """Finds the image that an engine runs for one that a definition names."""

    def __init__(self, lines: Collection[ImageLine]) -> None:
        self._lines = tuple(lines)

    def find(self, engine: str, image: str) -> tuple[str, ImageLine | None]:
        """Returns the image to run, and the first line that matches; the image itself and None where none does."""
        for line in self._lines:
            if line.engine in ("", engine) and (found := line.apply(image)) is not None:
                return found, line
        return image, None
