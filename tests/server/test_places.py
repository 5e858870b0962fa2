"""Directories are ours alone, paths of sockets are short, and server.json names one process for good."""

import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from batchyard.server import places as p
from tests.waiting import until


def test_the_data_directory_is_private(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="by") as runtime:  # tmp_path is too long for sockets
        places = p.places_of(tmp_path / "a" / "data", tmp_path / "work", {"XDG_RUNTIME_DIR": runtime})
        p.prepare(places)
        for path in (places.data_dir, places.logs_dir, places.runtime_dir):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert places.runtime_dir.parent == Path(runtime) / "batchyard"


def test_an_empty_open_directory_is_closed_and_one_with_other_things_is_left_alone(tmp_path: Path) -> None:
    empty, home = tmp_path / "empty", tmp_path / "home"
    for path in (empty, home):
        path.mkdir(mode=0o755)
    (home / "thesis.tex").touch()
    p.make_private(empty)
    assert stat.S_IMODE(empty.stat().st_mode) == 0o700
    with pytest.raises(p.PlaceError, match="holds other files: choose a new or empty directory"):
        p.make_private(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(p.PlaceError, match=r"belongs to the user \d+, and this is 4242"):
        p.make_private(tmp_path)


def test_a_file_in_the_way_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(p.PlaceError, match="cannot be made: "):
        p.make_private(tmp_path / "file" / "data")


def test_paths_of_sockets_stay_short_in_deep_directories(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 50] * 10)
    other = p.runtime_directory(deep / "x", {"XDG_RUNTIME_DIR": str(tmp_path)})
    deep.mkdir(parents=True)
    for root in (str(deep), "", "relative", str(tmp_path / "missing")):
        found = p.runtime_directory(deep, {"XDG_RUNTIME_DIR": root})
        assert found.parent == Path("/tmp") / f"batchyard-{os.getuid()}"
        assert len(str(found)) + 1 + p.SOCKET_NAME_BYTES <= p.SOCKET_PATH_BYTES
    assert found.name != other.name


def test_a_server_file_names_one_process(tmp_path: Path) -> None:
    places = p.places_of(tmp_path, tmp_path / "work", {})
    assert p.read_server_file(places.server_file) is None
    p.write_server_file(places, "http://127.0.0.1:1", "1.2")
    found = p.read_server_file(places.server_file)
    assert found is not None
    assert (found.pid, found.address, found.data_dir) == (os.getpid(), "http://127.0.0.1:1", str(tmp_path))
    assert p.is_running(found)
    assert stat.S_IMODE(places.server_file.stat().st_mode) == 0o600
    # Another process with that pid is not that server.
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert not p.is_running(p.ServerFile("", child.pid, "", "", found.started))
        its_own = p.ServerFile("", child.pid, "", "", p.process_start(child.pid))
        assert p.is_running(its_own)
    finally:
        child.kill()
    until(lambda: not p.is_running(its_own), describe="the killed child, a zombie, counts as gone")
    child.wait()
    assert p.process_start(child.pid) == ""
    places.server_file.write_text("{")
    with pytest.raises(p.PlaceError, match="is damaged"):
        p.read_server_file(places.server_file)
