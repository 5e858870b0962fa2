import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from batchyard.cli import follow, tables
from batchyard.cli.app import app
from tests.cli.stub import Stub, serving

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's: no keys, no addresses, no data directory. And nobody waits long."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "BATCHYARD_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(follow, "MAX_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(follow, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(tables, "WATCH_SECONDS", 0.01)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(Stub()) as served:
        yield served


@pytest.fixture
def invoke(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs a command against the stub."""
    monkeypatch.setenv("BATCHYARD_URL", stub.url)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return call
