"""Secrets that a container reads as files: the archive that brings them into its volumes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from batchyard.engines.base import Launch

FILE_MODE = 0o644  # Kubernetes: SecretVolumeSource.defaultMode


def archives_of(launch: Launch, container: str) -> dict[str, bytes]:
    """Returns a tar archive for each directory of a container that has secrets."""
    files: dict[str, dict[str, str]] = {}
    for owner, directory, name, value in launch.files:
        if owner == container:
            files.setdefault(directory, {})[name] = value
    return {directory: _archive(found) for directory, found in files.items()}


def _archive(files: Mapping[str, str]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, value in files.items():
            content = value.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), FILE_MODE
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()
