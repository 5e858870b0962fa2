"""Commands about a service's data directory find the service that `batchyard run` would ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.running import Server, command


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("located")) as started:
        yield started


def finding(home: Path, **variables: str) -> dict[str, Any]:
    found = json.loads(command(home, "doctor", "--json", **variables).stdout)
    return next(one for one in found if one["check"] == "server")


@pytest.mark.parametrize("variable", ["BATCHYARD_URL", "AWS_ENDPOINT_URL_BATCH", "AWS_ENDPOINT_URL"])
def test_the_service_that_a_variable_names(server: Server, tmp_path: Path, variable: str) -> None:
    named = {variable: server.address}
    found = finding(tmp_path, **named)
    assert found["ok"]
    assert found["detail"] == f"at {server.address}, named by {variable}; its data are in {server.data_dir}"
    assert command(tmp_path, "run", "--", "true", **named).returncode == 0
    copied = command(tmp_path, "backup", str(tmp_path / "copy"), **named)
    assert (copied.returncode, copied.stderr) == (0, "")
    assert (tmp_path / "copy").stat().st_size > 0
    assert "No keys" in command(tmp_path, "keys", "list", **named).stdout


def test_the_service_that_the_configuration_file_places(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "batchyard"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'data_dir = "{server.data_dir}"\n')
    assert server.address in finding(tmp_path)["detail"]
    assert command(tmp_path, "run", "--", "true").returncode == 0
    (folder / "config.toml").write_text('data_dir = "../../elsewhere"\n')
    (tmp_path / "elsewhere").symlink_to(server.data_dir)
    assert command(tmp_path, "jobs").returncode == 0


def test_a_service_that_does_not_answer(tmp_path: Path) -> None:
    named = {"BATCHYARD_URL": "http://127.0.0.1:1"}
    found = finding(tmp_path, **named)
    assert (found["ok"], found["present"]) == (False, False)
    assert found["remedy"] == "Start it, or correct BATCHYARD_URL: commands ask that service."
    for words in (["down"], ["backup", "copy"], ["keys", "list"]):
        result = command(tmp_path, *words, **named)
        assert result.returncode == 1
        assert "(BATCHYARD_URL names it.)" in result.stderr
        assert "give --data-dir" in result.stderr
    assert "No keys" in command(tmp_path, "keys", "list", "--data-dir", str(tmp_path / "data"), **named).stdout


def test_down_stops_the_service_that_is_named(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        result = command(tmp_path, "down", "--url", server.address)
        assert (result.returncode, result.stdout) == (0, f"Stopped the server at {server.address}.\n")
        assert server.process.wait(60) == 0
