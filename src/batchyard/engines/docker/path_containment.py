"""The check that a directory lies within another with no link on the way, part by part, by descriptors."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def containment_problem(root: str, path: str) -> str:
    """Returns why `path` can't be used as a directory within `root`, which the owner named and may itself be a link;
    empty: it can. Blocks for as long as the file system does."""
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        return f"the directory {root} of the file system can't be opened: {error.strerror}"
    try:
        for part in PurePosixPath(path).relative_to(root).parts:
            try:
                inner = os.open(part, FLAGS, dir_fd=descriptor)
            except OSError as error:
                return f"{path}: {part} is no directory of the file system (links are not followed): {error.strerror}"
            os.close(descriptor)
            descriptor = inner
    finally:
        os.close(descriptor)
    return ""
