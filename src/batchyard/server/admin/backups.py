"""Backs up a data directory to the file that a person names and to files beside it, and restores one from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchyard.server.service_store import open_store
from batchyard.server.settings.paths import Paths
from batchyard.store.errors import StoreError
from batchyard.store.sqlite.file_backup import back_up_file, restore_file


def back_up(paths: Paths, target: Path) -> list[tuple[Path, int]]:
    """Copies what there is; returns the new files and their sizes in bytes. Raises StoreError, and leaves none then."""
    beside = [(source, copy) for source, copy in _beside(paths, target) if source.exists()]
    with _all_or_none([target, *(copy for _, copy in beside)]):
        found = [(target, open_store(paths).driver.back_up(target))]
        # After the database: what it has handed over to these files is in their copies then. What is in both is
        # recognised.
        found += [(copy, back_up_file(source, copy)) for source, copy in beside]
    return found


def restore(paths: Paths, source: Path) -> list[Path]:
    """Creates the files of a data directory; returns the copies that are not there. Raises StoreError, and leaves
    nothing then."""
    beside = [(copy, target) for target, copy in _beside(paths, source)]
    there = [(copy, target) for copy, target in beside if copy.exists()]
    with _all_or_none([target for _, target in there]):
        for copy, target in there:
            restore_file(copy, target)
        open_store(paths).driver.restore(source)  # the last: with it there is a data directory
    return [copy for copy, _ in beside if not copy.exists()]


def _beside(paths: Paths, copy: Path) -> list[tuple[Path, Path]]:
    """Returns (file of the data directory, its copy)."""
    return [
        (paths.log_database, copy.with_name(f"{copy.name}.logs")),
        (paths.metric_database, copy.with_name(f"{copy.name}.metrics")),
    ]


@contextmanager
def _all_or_none(targets: list[Path]) -> Iterator[None]:
    """Removes the new files where one of them cannot be made. Raises StoreError where one is there already."""
    for target in targets:
        if target.exists():
            raise StoreError(f"{target} is there already: choose another name, or remove it.")
    try:
        yield
    except BaseException:
        for target in targets:
            target.unlink(missing_ok=True)
        raise
