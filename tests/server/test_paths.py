"""Directories are ours alone, paths of sockets are short, and server.json names one process for good."""

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.server.settings import paths as p
from tests.server import running
from tests.waiting import until


def test_the_data_directory_is_private(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="by") as runtime:  # tmp_path is too long for sockets
        paths = p.paths_of(tmp_path / "a" / "data", tmp_path / "work", {"XDG_RUNTIME_DIR": runtime})
        p.prepare(paths)
        for path in (paths.data_dir, paths.logs_dir, paths.runtime_dir):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert paths.runtime_dir.parent == Path(runtime) / "batchyard"


def test_an_empty_open_directory_is_closed_and_one_with_other_things_is_left_alone(tmp_path: Path) -> None:
    empty, home = tmp_path / "empty", tmp_path / "home"
    for path in (empty, home):
        path.mkdir(mode=0o755)
    (home / "thesis.tex").touch()
    p.make_private(empty)
    assert stat.S_IMODE(empty.stat().st_mode) == 0o700
    with pytest.raises(p.PathError, match="holds other files: choose a new or empty directory"):
        p.make_private(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(p.PathError, match=r"belongs to the user \d+, and this is 4242"):
        p.make_private(tmp_path)


def test_a_file_in_the_way_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(p.PathError, match="cannot be made: "):
        p.make_private(tmp_path / "file" / "data")


def test_paths_of_sockets_stay_short_in_deep_directories(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 50] * 10)
    other = p.runtime_directory(deep / "x", {"XDG_RUNTIME_DIR": str(tmp_path)})
    deep.mkdir(parents=True)
    for root in (str(deep), "", "relative", str(tmp_path / "missing")):
        found = p.runtime_directory(deep, {"XDG_RUNTIME_DIR": root})
        assert found.parent == Path("/tmp") / f"batchyard-{os.getuid()}"
        assert len(str(found)) + 1 + p.SOCKET_NAME_BYTES <= p.MAX_SOCKET_PATH_BYTES
    assert found.name != other.name


def in_the_way(path: Path, kind: str) -> None:
    """What somebody else may have put at `path`, knowing what we would call it."""
    if kind == "file":
        path.touch()
    elif kind == "dangling link":
        path.symlink_to(path.parent / "nowhere")
    elif kind == "link":
        (path.parent / "elsewhere").mkdir(mode=0o700)
        path.symlink_to(path.parent / "elsewhere")
    elif kind == "closed directory":
        path.mkdir(mode=0o500)
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
    else:
        path.mkdir(mode=0o777)
        if os.geteuid() != 0:
            pytest.skip("only root can make another user's directory")
        os.chown(path, 54321, 54321)


IN_THE_WAY = ("file", "dangling link", "link", "closed directory", "directory of another user")


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory like /tmp."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="by") as made:
        monkeypatch.setattr(p, "SHARED", Path(made))
        yield Path(made)


@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_what_is_in_the_way_in_tmp_moves_the_runtime_directory_into_the_data_directory(shared: Path, kind: str) -> None:
    in_the_way(shared / f"batchyard-{os.geteuid()}", kind)
    data_dir = shared / "data"
    paths = p.paths_of(data_dir, data_dir / "work", {})
    assert paths.runtime_dir == data_dir / "run"
    p.prepare(paths)
    assert stat.S_IMODE(paths.runtime_dir.stat().st_mode) == 0o700
    assert not (shared / "elsewhere").exists() or list((shared / "elsewhere").iterdir()) == []
    p.tidy_up(paths)
    assert not paths.runtime_dir.exists()
    long = shared / ("d" * 100)
    with pytest.raises(p.PathError, match=r"Have it removed, set XDG_RUNTIME_DIR .* at most 70 bytes with --data-dir"):
        p.prepare(p.paths_of(long, long / "work", {}))


def test_the_runtime_directory_of_another_user_is_not_ours(shared: Path) -> None:
    """XDG_RUNTIME_DIR as `su` leaves it: what is made there as root would be in its user's way."""
    if os.geteuid() != 0:
        pytest.skip("only root can make another user's directory")
    theirs = shared / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 54321, 54321)
    assert p.runtime_directory(shared / "data", {"XDG_RUNTIME_DIR": str(theirs)}).parent == shared / "batchyard-0"


def test_a_directory_that_is_as_long_as_can_be_holds_a_socket(shared: Path) -> None:
    (shared / f"batchyard-{os.geteuid()}").touch()
    room = p.MAX_SOCKET_PATH_BYTES - p.SOCKET_NAME_BYTES - len("/run/") - len(str(shared)) - 1
    fits, too_long = shared / ("d" * room), shared / ("d" * (room + 1))
    assert p.runtime_directory(fits, {}) == fits / "run"
    assert p.runtime_directory(too_long, {}).parent == shared / f"batchyard-{os.geteuid()}"
    (fits / "run").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(fits / "run" / ("s" * p.SOCKET_NAME_BYTES)))


def test_a_service_that_is_kept_out_of_tmp_runs_jobs_and_is_found(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way(shared / f"batchyard-{os.geteuid()}", "directory of another user" if os.geteuid() == 0 else "file")
    elsewhere = (
        f"import pathlib; from batchyard.server.settings import paths; paths.SHARED = pathlib.Path({str(shared)!r}); "
        "from batchyard.__main__ import main; main()"
    )
    monkeypatch.setattr(running, "BATCHYARD", (sys.executable, "-c", elsewhere))
    home = shared / "home"
    home.mkdir()
    with running.Server(home) as server:
        assert (server.data_dir / "run" / "server.sock").is_socket()
        data_dir = {"BATCHYARD_DATA_DIR": str(server.data_dir)}
        ran = running.command(home, "run", "--vcpus", "1", "--", "echo", "hello", **data_dir)
        assert (ran.returncode, "hello" in ran.stdout) == (0, True), ran
        job_id = server.submit(["sleep", "60"])
        until(lambda: server.status(job_id) == "RUNNING", describe="the job to run")
        # The next server may be let into /tmp again: its supervisor still finds it.
        assert running.command(home, "down", **data_dir).returncode == 0
        server.process.wait(running.START_SECONDS)
        path = shared / f"batchyard-{os.geteuid()}"
        path.rmdir() if path.is_dir() else path.unlink()
        server.start()
        assert list(path.rglob("server.sock"))
        assert server.status(job_id) == "RUNNING"
        killed = running.command(home, "down", "--kill", **data_dir)
        assert "and 1 running job" in killed.stdout, killed


def test_a_server_file_names_one_process(tmp_path: Path) -> None:
    paths = p.paths_of(tmp_path, tmp_path / "work", {})
    assert p.read_server_file(paths.server_file) is None
    p.write_server_file(paths, "http://127.0.0.1:1", "1.2")
    found = p.read_server_file(paths.server_file)
    assert found is not None
    assert (found.pid, found.address, found.data_dir) == (os.getpid(), "http://127.0.0.1:1", str(tmp_path))
    assert p.is_running(found)
    assert stat.S_IMODE(paths.server_file.stat().st_mode) == 0o600
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
    paths.server_file.write_text("{")
    with pytest.raises(p.PathError, match="is damaged"):
        p.read_server_file(paths.server_file)
