from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.store.queries import Reader
from batchyard.store.store import Store
from batchyard.store.writer import Writer
from tests.store.samples import ACCOUNT, REGION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "batchyard.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    writer = Store.open(path).writer()
    writer.open(ACCOUNT, REGION)
    yield writer
    writer.close()


@pytest.fixture
def reader(writer: Writer, path: Path) -> Iterator[Reader]:
    reader = Store.open(path).reader()
    yield reader
    reader.close()
