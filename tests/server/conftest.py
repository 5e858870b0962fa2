from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines.dockerd import dockerd, own_dockerd
from tests.server.receiver import Receiver, receiving

__all__ = ["dockerd", "own_dockerd"]  # fixtures


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made
