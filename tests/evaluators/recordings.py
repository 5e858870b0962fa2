"""Recorded answers of AWS, which lie beside the repository where they are at hand, and not in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "recordings" / "events"


def recorded(name: str) -> list[dict[str, Any]]:
    """Returns the cases of a file. Skips the test where the recordings are not there."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"the recordings are not beside the repository (../shared/recordings/events/{name})")
    cases = json.loads(path.read_text())
    assert isinstance(cases, list)
    return cases
