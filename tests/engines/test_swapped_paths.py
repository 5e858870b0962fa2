"""What a live task swaps in where the supervisor works: links, other directories, other files. Nothing outside of what
is its own is changed, read or removed."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchyard.engines.base import open_log
from batchyard.engines.log_file import LogFile
from batchyard.engines.supervisor.fifos import Output
from batchyard.engines.supervisor.scratch import Scratch, remove_tree
from batchyard.observe import logfile
from tests.waiting import until

ROUNDS = 200
_RENAME_EXCHANGE = 2  # linux/fs.h
_AT_FDCWD = -100


class Victim:
    """A directory with content that must not be touched."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "below").mkdir(parents=True)
        (path / "below" / "file").write_text("kept")
        path.chmod(0o755)
        self._was = self.state()

    def state(self) -> list[tuple[str, int, int, int]]:
        found = []
        for path in (self.path, *sorted(self.path.rglob("*"))):
            status = path.lstat()
            found.append((str(path), stat.S_IMODE(status.st_mode), status.st_uid, status.st_mtime_ns))
        return found

    def check(self) -> None:
        assert self.state() == self._was


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    return Victim(tmp_path / "victim")


@contextmanager
def exchanging(left: Path, right: Path) -> Iterator[None]:
    """Another process gives the two each other's names, as fast as it can."""
    libc = ctypes.CDLL(None)
    names = (_AT_FDCWD, os.fsencode(left), _AT_FDCWD, os.fsencode(right), _RENAME_EXCHANGE)
    child = os.fork()
    if child == 0:
        while True:
            libc.renameat2(*names)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_removing_a_tree_never_follows_what_is_swapped_in(tmp_path: Path, victim: Victim) -> None:
    top = tmp_path / "work" / ".discarded-x"
    top.mkdir(parents=True)
    with exchanging(top / "directory", top / "link"):
        for _ in range(ROUNDS):
            (top / "directory" / "deep").mkdir(parents=True)
            (top / "directory" / "deep" / "file").touch()
            (top / "link").symlink_to(victim.path)
            until(lambda: _is_removed(top))
            victim.check()
            top.mkdir()
    assert [path.name for path in top.parent.iterdir()] == [top.name]


def _is_removed(top: Path) -> bool:
    try:
        remove_tree(top)
    except FileNotFoundError:
        return True
    except OSError:  # it was changed just now: the next sweep tries again
        return False
    return True


def test_a_closed_tree_with_links_and_pipes_in_it_goes(tmp_path: Path, victim: Victim) -> None:
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "link").symlink_to(victim.path)
    os.mkfifo(top / "a" / "pipe")
    (top / "dangling").symlink_to("nowhere")
    for directory in (top / "a" / "b", top / "a", top):
        directory.chmod(0)
    remove_tree(top)
    assert sorted(path.name for path in tmp_path.iterdir()) == [victim.path.name]
    victim.check()
    link = tmp_path / "link"
    link.symlink_to(victim.path)
    remove_tree(link)
    assert not link.is_symlink()
    victim.check()


def test_a_link_in_the_place_of_a_scratch_directory_is_not_used(tmp_path: Path, victim: Victim) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "attempt").symlink_to(victim.path)
    scratch = Scratch(work, 0.0)
    with pytest.raises(NotADirectoryError):
        scratch.make("attempt", (os.geteuid(), os.getegid()))
    scratch.keep("attempt")
    victim.check()
    scratch.discard("attempt")
    until(lambda: not list(work.iterdir()))
    victim.check()


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_only_a_pipe_of_ours_is_taken_for_a_tasks_output(tmp_path: Path, kind: str) -> None:
    """A task chooses what its standard output is, also what it is called."""
    theirs, ours = tmp_path / "output-theirs", tmp_path / "runtime"
    ours.mkdir()
    os.mkfifo(theirs) if kind == "pipe" else theirs.touch()
    writer = os.open(theirs, os.O_RDWR)
    with subprocess.Popen(["sleep", "600"], stdout=writer, stderr=writer) as task:
        os.close(writer)
        try:
            output = Output("", lambda: LogFile(tmp_path / "log"))
            output.reopen(task.pid, ours)
            assert (output.fd, output.fifo) == (-1, "")
        finally:
            task.kill()
    assert theirs.exists()


def test_a_pipe_of_ours_is_found_through_the_task(tmp_path: Path) -> None:
    """Also where a link leads to our directory."""
    (tmp_path / "real").mkdir()
    runtime = tmp_path / "runtime"
    runtime.symlink_to("real")
    fifo = runtime / "output-1"
    os.mkfifo(fifo)
    writer = os.open(fifo, os.O_RDWR)
    with subprocess.Popen(["sleep", "600"], stdout=writer, stderr=writer) as task:
        os.close(writer)
        try:
            for name in ("", str(fifo)):
                output = Output(name, lambda: LogFile(tmp_path / "log"))
                output.reopen(task.pid, runtime)
                assert output.fifo == str(fifo)
                os.close(output.fd)
        finally:
            task.kill()


def test_a_log_is_neither_written_nor_read_through_a_link(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "x.log"
    secret.write_text("1\tsecret\n")
    path.symlink_to(secret)
    log = LogFile(path)
    log.resume()
    log.write(b"words\n", 5)
    log.finish(6)
    assert secret.read_text() == "1\tsecret\n"
    with logfile.LogFile(path) as found:
        assert found.forward(0).lines == []
    path.unlink()
    os.mkfifo(path)
    assert open_log(path) == -1  # nor is somebody waited for
