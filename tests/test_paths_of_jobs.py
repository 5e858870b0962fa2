"""A job may change what lies in its directories at any moment, while the service works there with its own rights, which
may be root's. So no code of ours changes or removes anything by a path that a link could bend, and the modules that
work inside directories of jobs open nothing by such a path either. Exceptions are named, each with its reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = "src/batchyard/"
ROOMS = ("engines", "server", "observe", "store")
INSIDE = {
    f"{SOURCE}{name}.py"
    for name in (
        "engines/base",
        "engines/docker/logs",
        "engines/supervisor/process_credentials",
        "engines/supervisor/fifos",
        "engines/supervisor/launcher",
        "engines/log_file",
        "engines/supervisor/scratch",
        "engines/supervisor/spawner",
        "observe/logfile",
    )
}

# Whole trees, owners and modes, by path. `os.fchmod` and `os.fchown` are the way, on what was opened.
CHANGES = {
    *(f"os.{name}" for name in ("chown", "lchown", "chmod", "lchmod", "walk", "truncate", "removedirs")),
    *(f"shutil.{name}" for name in ("rmtree", "copytree", "copy", "copy2", "copyfile", "copymode", "move", "chown")),
}
METHODS = {"chmod", "lchmod", "rmtree"}
OPENS = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "scandir", "listdir", "iterdir", "glob", "rglob",
    "utime",
}  # fmt: skip
# What a call must have in its arguments to be exact: it follows no link, or goes by what is open already.
EXACT = ("O_NOFOLLOW", "/proc/self/fd/", "follow_symlinks=False", "dir_fd=")

EXCEPTIONS = {
    ("engines/process", "self._socket_path.chmod"): "a socket can't be opened; in the runtime directory, 0700",
    ("server/settings/paths", "os.chmod"): "the data directory, by its owner, before anything runs in it",
    ("engines/supervisor/spawner", "os.open(os.devnull, os.O_RDWR)"): "of the system",
    ("engines/supervisor/spawner", "os.open('.', os.O_PATH | os.O_DIRECTORY)"): "where we are, before any task",
    ("engines/supervisor/scratch", "os.open(self._work_dir, os.O_RDONLY | os.O_DIRECTORY)"): "the owner's choice",
    ("engines/supervisor/scratch", "os.open(top.parent, os.O_RDONLY | os.O_DIRECTORY)"): "likewise",
    ("engines/supervisor/scratch", "os.scandir(work_dir)"): "open already",
    ("engines/supervisor/scratch", "os.scandir(directory)"): "open already",
    ("engines/supervisor/fifos", "os.open(path, os.O_PATH)"): "nothing is opened by it; then judged by what it is",
    ("engines/supervisor/fifos", "os.scandir(self._directory)"): "the runtime directory, 0700",
    ("engines/log_file", "self._path.parent.glob"): "the logs' directory, 0700; names alone",
    ("engines/supervisor/cgroups", "os.walk"): "the kernel's own directories",
    ("engines/docker/logs", "self._daemon.api.open"): "a request",
}


def calls(path: str, text: str) -> Iterator[tuple[str, ast.Call]]:
    """What goes by a path, in words for an exception."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        if called not in CHANGES and name not in METHODS | (OPENS if path in INSIDE else set()):
            continue
        whole = ast.unparse(node)
        if not any(word in whole for word in EXACT):
            yield (whole if called.startswith("os.") and name in OPENS else called), node


def goes_by_paths(path: str, text: str) -> list[str]:
    module = path.removeprefix(SOURCE).removesuffix(".py")
    return [
        f"{path}:{node.lineno}: {ast.unparse(node)} goes by a path that a job may bend"
        for words, node in calls(path, text)
        if (module, words) not in EXCEPTIONS
    ]


FILES = sorted(str(path.relative_to(ROOT)) for room in ROOMS for path in (ROOT / SOURCE / room).rglob("*.py"))


def test_nothing_goes_by_a_path_that_a_job_may_bend() -> None:
    assert set(FILES) > INSIDE
    found = [complaint for path in FILES for complaint in goes_by_paths(path, (ROOT / path).read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("module", "words"), EXCEPTIONS)
def test_every_exception_is_still_needed(module: str, words: str) -> None:
    path = f"{SOURCE}{module}.py"
    assert words in {found for found, _ in calls(path, (ROOT / path).read_text())}


SCRATCH = f"{SOURCE}engines/supervisor/scratch.py"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (SCRATCH, "os.chmod(directory, 0o700)"),
        (SCRATCH, "os.chown(path, *owner)"),
        (SCRATCH, "with os.scandir(path) as entries: pass"),
        (SCRATCH, "path.read_text()"),
        (SCRATCH, "open(path)"),
        (SCRATCH, "os.open(path, os.O_RDONLY)"),
        (SCRATCH, "os.utime(path)"),
        (f"{SOURCE}server/admin/retention.py", "shutil.rmtree(path)"),
        (f"{SOURCE}store/backup.py", "Path(path).chmod(0o600)"),
    ],
)
def test_a_breach_is_found(path: str, text: str) -> None:
    assert goes_by_paths(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (SCRATCH, "os.fchmod(fd, 0o700)"),
        (SCRATCH, "os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)"),
        (SCRATCH, "os.chmod(f'/proc/self/fd/{fd}', 0o700)"),
        (f"{SOURCE}store/backup.py", "path.read_bytes()"),
    ],
)
def test_what_is_exact_is_left_alone(path: str, text: str) -> None:
    assert goes_by_paths(path, text) == []
