from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.store.queries import Reader
from batchyard.store.writer import Writer
from tests.store.samples import ACCOUNT, REGION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "batchyard.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    writer = Writer(path)
    writer.open(ACCOUNT, REGION)
    yield writer
    writer.close()


@pytest.fixture
def reader(writer: Writer, path: Path) -> Iterator[Reader]:
    reader = Reader(path)
    yield reader
    reader.close()
