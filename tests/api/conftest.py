from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """With the queue `default` on `local` and the definition `sleeper:1`."""
    made = Service(tmp_path)
    made.make_queue()
    made.register()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """For requests that are refused: one for a whole module."""
    made = Service(tmp_path_factory.mktemp("yard"))
    made.make_queue()
    made.register()
    yield made
    made.close()
