"""A task of another user: exactly that user, who gets nothing by the rights of the service."""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.core.model.records import Mount, TaskSpec, Ulimit
from batchyard.core.model.reports import Exited, NotStarted
from batchyard.engines.process import ProcessSettings
from batchyard.engines.supervisor import spawner
from batchyard.engines.supervisor.process_credentials import _KEYCTL, acting_as, new_session_keyring
from batchyard.engines.supervisor.spawner import ExecFailed, Identity, Program, Spawner
from tests.engines.conformance import run_to_end
from tests.engines.process_harness import ProcessHarness

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as others")

NOBODY = pwd.getpwnam("nobody")
DAEMON = 1  # a group that every Linux has
_KEY_SPEC_SESSION_KEYRING = -3  # include/uapi/linux/keyctl.h


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach, unlike those of pytest."""
    directory = Path(tempfile.mkdtemp(prefix="by-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def words_of(process: ProcessHarness, task: TaskSpec) -> list[str]:
    final = run_to_end(process, task)
    assert isinstance(final, Exited), final
    return process.words(final.attempt_id)


def refusal_of(process: ProcessHarness, task: TaskSpec) -> str:
    final = run_to_end(process, task)
    assert isinstance(final, NotStarted), final
    return final.reason


def unused_number() -> int:
    taken = {account.pw_uid for account in pwd.getpwall()}
    return next(number for number in range(54321, 60000) if number not in taken)


# -- Who it is --

WHO = "id -u; id -g; id -G; grep -E '^(Uid|Gid|CapPrm|CapEff)' /proc/self/status"
NO_CAPABILITIES = ["CapPrm: 0000000000000000", "CapEff: 0000000000000000"]


def status(uid: int, gid: int) -> list[str]:
    """Real, effective, saved and file system: all four."""
    return [f"Uid: {' '.join([str(uid)] * 4)}", f"Gid: {' '.join([str(gid)] * 4)}", *NO_CAPABILITIES]


@pytest.mark.parametrize("ulimits", [(), (Ulimit("nofile", 100, 200),)], ids=["", "with limits"])
def test_a_user_has_its_own_groups_or_the_one_that_is_named(
    process: ProcessHarness, ulimits: tuple[Ulimit, ...]
) -> None:
    """The two ways to start one: CPython's own change of user, and ours where there is more to change."""
    number = unused_number()
    own = " ".join(map(str, os.getgrouplist("nobody", NOBODY.pw_gid)))
    uid, gid = NOBODY.pw_uid, NOBODY.pw_gid
    for user, expected in {
        "nobody": [str(uid), str(gid), own, *status(uid, gid)],
        str(uid): [str(uid), str(gid), own, *status(uid, gid)],
        f"nobody:{DAEMON}": [str(uid), str(DAEMON), str(DAEMON), *status(uid, DAEMON)],
        f"{number}:{number}": [str(number)] * 3 + status(number, number),
    }.items():
        found = words_of(process, process.shell(WHO, user=user, ulimits=ulimits))
        assert [" ".join(line.split()) for line in found] == expected, user


def test_no_group_is_guessed_and_root_is_not_named(process: ProcessHarness) -> None:
    number = unused_number()
    assert f"uid {number} has no account on this host" in refusal_of(process, process.program("true", user=str(number)))
    for user in ("root", "0", f"0:{DAEMON}", f"{number}:0", "nobody:root", "nobody:0"):
        assert "--allow-root-jobs" in refusal_of(process, process.program("true", user=user)), user
    for user in ("4294967295", f"nobody:{2**32 - 1}", "9" * 30):
        assert "is no user or group" in refusal_of(process, process.program("true", user=user)), user
    assert "group 'no_such' does not exist" in refusal_of(process, process.program("true", user="nobody:no_such"))
    assert words_of(process, process.shell("id -u")) == ["0"]  # who names none runs as the service


def test_root_may_be_named_where_the_owner_says_so(tmp_path: Path) -> None:
    process = ProcessHarness(tmp_path, ProcessSettings(allow_root_jobs=True))
    try:
        own = " ".join(map(str, os.getgrouplist("root", 0)))
        assert words_of(process, process.shell("id -u; id -G", user="root")) == ["0", own]
        assert words_of(process, process.shell("id -u; id -G", user="nobody:0")) == [str(NOBODY.pw_uid), "0"]
    finally:
        process.close()


# -- Where it is --


def test_a_directory_is_entered_as_the_user(process: ProcessHarness, place: Path) -> None:
    closed, entrance = place / "closed", place / "entrance"
    (closed / "below").mkdir(parents=True)
    (closed / "below" / "secret").write_text("secret")
    closed.chmod(0o700)
    entrance.mkdir(mode=0o700)
    for directory, said in {closed / "below": "can't be reached as uid", entrance: "can't be entered"}.items():
        for ulimits in ((), (Ulimit("nofile", 100, 200),)):
            task = process.shell("cat secret", user="nobody", working_directory=str(directory), ulimits=ulimits)
            assert said in refusal_of(process, task)
    assert words_of(process, process.shell("pwd", user="nobody", working_directory=str(place))) == [str(place)]
    # And the supervisor is where it was, and who it was.
    assert words_of(process, process.shell("cat secret", working_directory=str(closed / "below"))) == ["secret"]


def test_scratch_is_the_users_own_though_the_way_there_is_closed(process: ProcessHarness) -> None:
    final = run_to_end(process, process.shell("stat -c '%u %a' .; ls ..; touch mine; exit 1", user="nobody"))
    assert isinstance(final, Exited)
    assert process.words(final.attempt_id)[0] == f"{NOBODY.pw_uid} 700"
    assert "denied" in process.words(final.attempt_id)[1]
    assert (process.work_dir / final.attempt_id / "mine").stat().st_uid == NOBODY.pw_uid


def test_volumes_are_made_as_the_user_where_it_may(process: ProcessHarness, place: Path) -> None:
    place.chmod(0o777)
    made, closed = place / "made" / "deep", place / "closed"
    closed.mkdir(mode=0o755)
    shown = process.shell(f"ls {made}; echo listed", user="nobody", mounts=(Mount(str(made), str(made)),))
    assert words_of(process, shown) == ["listed"]
    assert [made.stat().st_uid, made.parent.stat().st_uid] == [NOBODY.pw_uid] * 2
    refused = closed / "new"
    task = process.program("true", user="nobody", mounts=(Mount(str(refused), str(refused)),))
    assert "can't be made as uid" in refusal_of(process, task)
    assert not refused.exists()


def test_file_access_is_the_users_for_a_while_and_root_cant_be_signalled(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    groups = os.getgroups()
    with acting_as(NOBODY.pw_uid, NOBODY.pw_gid, (NOBODY.pw_gid,)):
        assert os.getresuid() == (0, 0, 0)  # who may signal a process goes by these
        with pytest.raises(PermissionError):
            secret.read_text()
    with pytest.raises(KeyError), acting_as(NOBODY.pw_uid, NOBODY.pw_gid, (NOBODY.pw_gid,)):
        raise KeyError
    assert secret.read_text() == "secret"
    assert os.getgroups() == groups


# -- What it inherits --


def add_key(description: bytes) -> None:
    """To the session keyring of this process."""
    new_session_keyring()
    libc = ctypes.CDLL(None, use_errno=True)
    number = _KEYCTL - 2  # add_key, request_key and keyctl follow each other on every machine
    if not _KEYCTL or libc.syscall(number, b"user", description, b"x", 1, _KEY_SPEC_SESSION_KEYRING) < 0:
        pytest.skip(f"no key can be kept here: {os.strerror(ctypes.get_errno())}")
    assert description.decode() in Path("/proc/keys").read_text()


@pytest.mark.skipif(not shutil.which("perl"), reason="a task of another user asks for its keyring with perl")
def test_the_session_keyring_is_new_for_each_user_and_never_the_services(tmp_path: Path) -> None:
    """/proc/keys has the keyrings of all processes of its user: each task reads its own."""
    add_key(b"by-test:services")
    process = ProcessHarness(tmp_path)
    show = f"import ctypes; print(ctypes.CDLL(None).syscall({_KEYCTL}, 0, {_KEY_SPEC_SESSION_KEYRING}, 0))"
    own = ctypes.CDLL(None).syscall(_KEYCTL, 0, _KEY_SPEC_SESSION_KEYRING, 0)
    ask = f"print syscall({_KEYCTL}, 0, {_KEY_SPEC_SESSION_KEYRING}, 0)"  # Python's own files may be closed to it
    as_nobody = f"cat /proc/keys; exec perl -e '{ask}'"
    try:
        seen = [words_of(process, process.shell(as_nobody, user="nobody")) for _ in range(2)]
        keyrings = [int(words_of(process, process.program(sys.executable, "-c", show))[0])]
        keyrings += [int(lines[-1]) for lines in seen]
    finally:
        process.close()
    assert not any("by-test:services" in line for lines in seen for line in lines)
    assert len({own, *keyrings}) == len(keyrings) + 1  # no two are the same


def test_limits_are_set_before_the_user_who_may_not_raise_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child does, without the fork."""
    done: list[str] = []
    monkeypatch.setattr(resource, "setrlimit", lambda number, values: done.append(f"limit {number} {values}"))
    for name in ("setgroups", "setresgid", "setresuid"):
        monkeypatch.setattr(os, name, lambda *values, name=name: done.append(name))
    identity = Identity(NOBODY.pw_uid, NOBODY.pw_gid, (), "/")
    program = Program([b"true"], [b"true"], "/", [], identity, (("nofile", 10, 20),))
    Spawner((5, 6))._preparation(program, ())(2)
    number = resource.RLIMIT_NOFILE
    limits = [f"limit {number} (5, 6)", f"limit {number} (10, 20)"]
    assert done == [*limits, "setgroups", "setresgid", "setresuid"]


def test_a_task_that_is_kept_from_beginning_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its user's other programs may stop it as soon as it is that user, and a file system of that user's may never
    answer: both before its program runs."""
    monkeypatch.setattr(spawner, "become", lambda identity, errors: os.kill(os.getpid(), signal.SIGSTOP))
    assert not_begun() == errno.EINTR
    monkeypatch.setattr(spawner, "become", lambda identity, errors: signal.pause())
    monkeypatch.setattr(spawner, "EXEC_SECONDS", 0.0)
    assert not_begun() == errno.ETIMEDOUT


def not_begun() -> int:
    """Why a task did not begin."""
    identity = Identity(NOBODY.pw_uid, NOBODY.pw_gid, (), "/")
    program = Program([b"true"], [b"/bin/true"], "/", [], identity, (("nofile", 10, 20),))
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        with pytest.raises(ExecFailed) as failed:
            Spawner(resource.getrlimit(resource.RLIMIT_NOFILE)).start(program, null)
    finally:
        os.close(null)
    assert failed.value.at_stop
    return failed.value.errno
