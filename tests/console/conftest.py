from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.site import Console


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    made.close()


@pytest.fixture
def yard(console: Console) -> Console:
    """With a queue and a definition."""
    console.make_queue()
    console.register()
    return console
