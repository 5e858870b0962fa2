"""The house style that no linter knows. Each rule is a function over text, tried first on a text that breaks it."""

import ast
import io
import os
import re
import subprocess
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAX_FUNCTION_LINES = 60  # what is longer has parts that deserve a name
MAX_FILE_LINES = 600  # what is longer is more than one thing
MIN_PATIENCE_SECONDS = 30  # of what waits for a condition or a process
BANNED_MODULES = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "misc", "base_utils"}

# Generated from AWS's models or copied with their licence: not written here, so not styled here.
DATA_FOLDERS = ("src/batchyard/vendor/", "tests/browser/vendor/")
UNTRACKED_FOLDERS = {".git", ".venv", "build", "dist", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}

# Files of the core besides lifecycle.py that may pass status=, since what they change is no job.
STATUS_OF_OTHER_THINGS = {
    "transient_states.py": "environments and queues",
    "environments.py": "compute environments: status is their health",
    "queues.py": "job queues: status is their health",
    "definitions.py": "definitions: ACTIVE or INACTIVE",
    "node_views.py": "a node as a job of its own, for answers: its status follows from its job's attempt",
}
# And those that may make a job record with any status.
STATUS_SAID_BY_ANOTHER_RECORD = {
    "arrays.py": "a child without a row has the status that its parent's ranges say",
}

# Callers, jobs and processes have names; these words do not say which of them is meant. -> what to write instead
VAGUE_WORDS = {
    "whoever": "name the caller, user or process",
    "nobody": "name it: no job, no caller, no consumer, unknown",
    "everybody": "name them: every caller, every user",
    "somebody": "name it: a caller, another process, a consumer",
    "told": "write emitted, reported, informed, requested or configured",
}

# Spelled in pieces, so that this file does not trip over itself.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b")
MACHINE_PATHS = re.compile(
    r"(?<![\w.~$}-])/(root/|home/[a-z]|Users/[a-zA-Z]|wor[k]/(main|shared|plan)|opt/(pypi|wheels))"
)
INDEX_HOSTS = re.compile(
    r"pypi\.[o]rg|python[h]osted|artifac[t]ory|^\s*(-i|--(extra-)?index[-]url|--find-links|--trusted-host)\b",
    re.IGNORECASE | re.MULTILINE,
)
SECRETS = re.compile(
    r"\b(AKIA|ASIA)(?!\w*EXAMPLE)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE[ ]KEY|\bgh[pousr]_\w{36}|\bxox[bp]-\d"
    r"|secret_access_key\W{1,4}(?![A-Za-z0-9/+]*EXAMPLE)[A-Za-z0-9/+]{40}\b",
)


def repository_files() -> list[str]:
    """Paths below ROOT of every file that is, or is about to be, part of the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode == 0 and listing.stdout:
        return sorted(name for name in set(listing.stdout.split("\0")) if name and (ROOT / name).is_file())
    found = []  # an unpacked archive, or a checkout that git refuses to read for its owner
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in UNTRACKED_FOLDERS and not name.endswith(".egg-info")]
        found += [str((Path(folder) / name).relative_to(ROOT)) for name in names]
    return sorted(found)


FILES = [name for name in repository_files() if not name.startswith(DATA_FOLDERS)]
PYTHON_FILES = [name for name in FILES if name.endswith(".py")]


@lru_cache(maxsize=1)  # one file after the other goes through all rules
def nodes_of(text: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(text)))


def text_of(name: str) -> str:
    try:
        return (ROOT / name).read_text()
    except UnicodeDecodeError:
        return ""  # an image or another binary file


# -- the rules: (path, text) -> complaints --

Rule = Callable[[str, str], list[str]]


def too_long(path: str, text: str) -> list[str]:
    found = []
    if text.count("\n") > MAX_FILE_LINES:
        found.append(f"{path}: {text.count(chr(10))} lines, at most {MAX_FILE_LINES}")
    for node in nodes_of(text):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                found.append(f"{path}:{node.lineno}: {node.name} has {lines} lines, at most {MAX_FUNCTION_LINES}")
    return found


def vaguely_named(path: str, text: str) -> list[str]:
    names = {*Path(path).parts[:-1], Path(path).stem}
    return [f"{path}: a module is named after what it is, not {name}" for name in sorted(names & BANNED_MODULES)]


def proves_nothing(path: str, text: str) -> list[str]:
    if not Path(path).name.startswith("test_"):
        return []
    for node in nodes_of(text):
        if isinstance(node, ast.Assert) or (
            isinstance(node, ast.Attribute) and node.attr in ("raises", "warns", "fail")
        ):
            return []
    return [f"{path}: a test file without a single assert or raises"]


def hopes_by_sleeping(path: str, text: str) -> list[str]:
    """Only calls count: a job under test may well be a program that sleeps."""
    if not path.startswith("tests/") or path == "tests/waiting.py":
        return []
    return [
        f"{path}:{node.lineno}: wait for what is to happen (tests.waiting.until) instead of sleeping"
        for node in nodes_of(text)
        if (isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep"))
        or (isinstance(node, ast.ImportFrom) and node.module == "time" and any(n.name == "sleep" for n in node.names))
    ]


def loses_patience(path: str, text: str) -> list[str]:
    """A machine may have ten other things to do: what takes a moment alone takes many seconds there."""
    if not path.startswith("tests/") or path == "tests/test_waiting.py":
        return []
    found = []
    for node in nodes_of(text):
        limits: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "until":
            limits = node.args[1:2]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("wait", "communicate")
            and ast.unparse(node.func.value).endswith("process")
        ):
            limits = [*node.args[:1], *(one.value for one in node.keywords if one.arg == "timeout")]
        limit = limits[0].value if limits and isinstance(limits[0], ast.Constant) else None
        if isinstance(limit, int | float) and limit < MIN_PATIENCE_SECONDS:
            line = getattr(node, "lineno", 0)
            found.append(f"{path}:{line}: waits {limit} s at most: leave it to tests.waiting, or 60 s")
    return found


def swallows(path: str, text: str) -> list[str]:
    found = []
    for node in nodes_of(text):
        if isinstance(node, ast.ExceptHandler):
            caught = (
                {ast.unparse(name) for name in ast.walk(node.type) if isinstance(name, ast.Name)}
                if node.type
                else set()
            )
            idle = all(
                isinstance(line, ast.Pass | ast.Continue)
                or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
                for line in node.body
            )
            if node.type is None:
                found.append(f"{path}:{node.lineno}: a bare except takes KeyboardInterrupt too; name the exception")
            elif idle and caught & {"Exception", "BaseException"}:
                found.append(f"{path}:{node.lineno}: every exception is swallowed here")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            named = {ast.unparse(argument) for argument in node.args}
            found += [f"{path}:{node.lineno}: every exception is swallowed here"] * bool(
                named & {"Exception", "BaseException"}
            )
    return found


def moves_a_job(path: str, text: str) -> list[str]:
    """A job's status is assigned in core/model/lifecycle.py alone. A new job begins SUBMITTED."""
    name = Path(path).name
    if not path.startswith("src/batchyard/core/") or path.endswith("/model/lifecycle.py"):
        return []
    found = []
    for node in nodes_of(text):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).split(".")[-1]
            given = [keyword.value for keyword in node.keywords if keyword.arg == "status"]
            if called == "Job":
                given += node.args[1:2]  # status is the second member of the record
                begins = all(ast.unparse(value) == "Status.SUBMITTED" for value in given)
                if not begins and name not in STATUS_SAID_BY_ANOTHER_RECORD:
                    found.append(f"{path}:{node.lineno}: a job begins SUBMITTED and is moved by lifecycle.move")
            elif called in ("replace", "force_setattr") and name not in STATUS_OF_OTHER_THINGS:
                named = any(isinstance(value, ast.Constant) and value.value == "status" for value in node.args)
                found += [f"{path}:{node.lineno}: only core/model/lifecycle.py assigns a job's status"] * bool(
                    given or named
                )
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Attribute) and target.attr == "status" for target in targets):
                found.append(f"{path}:{node.lineno}: only core/model/lifecycle.py assigns a job's status")
    return found


def two_clocks(path: str, text: str) -> list[str]:
    """In the core, what takes the world reads the time from it (`world.now_ms`); functions of values take the time."""
    if not path.startswith("src/batchyard/core/"):
        return []
    found = []
    for node in nodes_of(text):
        if isinstance(node, ast.FunctionDef):
            taken = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
            if {"world", "now_ms"} <= taken:
                found.append(f"{path}:{node.lineno}: {node.name} takes the world, and the time once more")
    return found


def prose(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yields (line, text, whether it is a docstring) of every docstring and comment of a module."""
    for node in nodes_of(text):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring is not None:
                yield node.body[0].lineno, docstring, True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, False


def speaks_vaguely(path: str, text: str) -> list[str]:
    """A docstring begins with what a thing does or is, and names whom it speaks of."""
    if not path.startswith("src/"):
        return []
    found = []
    for line, words, is_docstring in prose(text):
        if is_docstring and words.startswith("Of "):
            found.append(
                f"{path}:{line}: a docstring starts with a verb or a noun (Returns ..., Checks ...), not with Of"
            )
        for word in re.findall(r"\w+", words.lower()):
            if word in VAGUE_WORDS:
                found.append(f"{path}:{line}: {word}: {VAGUE_WORDS[word]}")
    return found


def matches(pattern: re.Pattern[str], complaint: str, path: str, text: str) -> list[str]:
    return [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {complaint}: {match.group(0).strip()}"
        for match in pattern.finditer(text)
    ]


def unfinished(path: str, text: str) -> list[str]:
    return matches(UNFINISHED, "finish it, or say in the docs that it is not built", path, text)


def tied_to_a_machine(path: str, text: str) -> list[str]:
    return matches(MACHINE_PATHS, "a path of one machine", path, text)


def tied_to_an_index(path: str, text: str) -> list[str]:
    return matches(INDEX_HOSTS, "the user's own pip configuration says where packages come from", path, text)


def secret(path: str, text: str) -> list[str]:
    return matches(SECRETS, "looks like a secret", path, text)


CODE_RULES = [
    too_long,
    vaguely_named,
    proves_nothing,
    hopes_by_sleeping,
    loses_patience,
    swallows,
    moves_a_job,
    two_clocks,
    speaks_vaguely,
]
TEXT_RULES = [unfinished, tied_to_a_machine, tied_to_an_index, secret]


# -- the tree keeps them --


@cache
def complaints() -> dict[Rule, list[str]]:
    """Returns what is wrong with the code, by rule."""
    found: dict[Rule, list[str]] = {rule: [] for rule in CODE_RULES}
    for name in PYTHON_FILES:
        text = text_of(name)
        for rule in CODE_RULES:
            found[rule] += rule(name, text)
    return found


@pytest.mark.parametrize("rule", CODE_RULES)
def test_code_is_tidy(rule: Rule) -> None:
    assert len(PYTHON_FILES) > 10
    found = complaints()[rule]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("rule", TEXT_RULES)
def test_every_file_is_tidy(rule: Rule) -> None:
    assert len(FILES) > 20
    found = [complaint for name in FILES for complaint in rule(name, text_of(name))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", [*STATUS_OF_OTHER_THINGS, *STATUS_SAID_BY_ANOTHER_RECORD])
def test_every_exception_to_the_status_rule_is_still_needed(name: str) -> None:
    paths = list((ROOT / "src/batchyard/core").rglob(name))
    assert paths, f"{name} is gone, and needs no exception"
    assert any("status" in path.read_text() for path in paths), f"{name} no longer needs its exception"


# -- each module of the core has a test file of its name --


def untested_modules(files: list[str]) -> list[str]:
    """The test files that are missing: `src/batchyard/core/state/world.py` has `tests/core/state/test_world.py`."""
    modules = [Path(name) for name in files if name.startswith("src/batchyard/core/") and name.endswith(".py")]
    wanted = [
        (Path("tests") / path.relative_to("src/batchyard")).with_name(f"test_{path.name}")
        for path in modules
        if path.name != "__init__.py"
    ]
    return [str(path) for path in wanted if str(path) not in files]


def test_each_module_of_the_core_has_a_test_file_of_its_name() -> None:
    assert untested_modules(FILES) == []


# -- the requirement files and pyproject.toml say the same --


def requirement_lines(name: str) -> list[str]:
    lines = (line.split("#")[0].strip() for line in text_of(f"requirements/{name}").splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def test_base_requirements_are_those_of_the_package() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))
    assert sorted(requirement_lines("base.in")) == sorted(project["project"]["dependencies"])
    assert requirement_lines("build.in") == project["build-system"]["requires"]
    assert requirement_lines("gpu.in") == project["project"]["optional-dependencies"]["gpu"]
    assert requirement_lines("otel.in") == project["project"]["optional-dependencies"]["otel"]
    assert requirement_lines("apprise.in") == project["project"]["optional-dependencies"]["apprise"]


@pytest.mark.parametrize("name", ["build", "base", "gpu", "otel", "apprise", "dev", "mpi"])
def test_the_lock_pins_and_hashes_everything_asked_for(name: str) -> None:
    blocks = text_of(f"requirements/{name}.txt").replace("\\\n", " ").splitlines()
    pins = [line for line in blocks if line and not line.lstrip().startswith("#")]
    assert all(re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line) for line in pins), pins
    pinned = {line.split("==")[0].lower() for line in pins}
    wanted = {re.split(r"[<>=!~;\[ ]", line)[0].lower() for line in requirement_lines(f"{name}.in")}
    assert wanted <= pinned


def test_dev_locks_the_versions_that_base_locks() -> None:
    pins = [
        set(re.findall(r"^([\w.-]+==[^\s;]+)", text_of(f"requirements/{n}.txt"), re.MULTILINE)) for n in ("base", "dev")
    ]
    assert pins[0] <= pins[1]


# -- the rules bite --

CORE = "src/batchyard/core/machine.py"
BREAKING = [
    (too_long, CORE, "def f():\n" + "    x = 1\n" * 60),
    (too_long, CORE, "class C:\n    async def f():\n" + "        x = 1\n" * 60),
    (too_long, "tests/test_x.py", "x = 1\n" * 601),
    (vaguely_named, "src/batchyard/api/utils.py", ""),
    (vaguely_named, "src/batchyard/helpers/text.py", ""),
    (proves_nothing, "tests/core/test_x.py", "def test_x():\n    print(1)\n"),
    (hopes_by_sleeping, "tests/core/test_x.py", "import time\ntime.sleep(1)\n"),
    (hopes_by_sleeping, "tests/core/test_x.py", "from time import sleep\n"),
    (loses_patience, "tests/core/test_x.py", "until(lambda: job.ended, 10)"),
    (loses_patience, "tests/core/test_x.py", "assert server.process.wait(5.0) == 0"),
    (loses_patience, "tests/core/test_x.py", "process.communicate(timeout=20)"),
    (swallows, CORE, "try:\n    f()\nexcept:\n    raise\n"),
    (swallows, CORE, "try:\n    f()\nexcept Exception:\n    pass\n"),
    (swallows, CORE, "try:\n    f()\nexcept (ValueError, BaseException) as e:\n    ...\n"),
    (swallows, CORE, "with contextlib.suppress(Exception):\n    f()\n"),
    (moves_a_job, CORE, "job = replace(job, status=Status.FAILED)"),
    (moves_a_job, CORE, "job = msgspec.structs.replace(job, status=target)"),
    (moves_a_job, CORE, "msgspec.structs.force_setattr(job, 'status', target)"),
    (moves_a_job, CORE, "job.status = Status.FAILED"),
    (moves_a_job, CORE, "job = Job(key=1, status=Status.RUNNING)"),
    (moves_a_job, CORE, "job = records.Job(1, status, now_ms)"),
    (moves_a_job, "src/batchyard/core/registry/queues.py", "job = Job(key=1, status=Status.RUNNING)"),
    (two_clocks, CORE, "def f(world, now_ms): ..."),
    (two_clocks, CORE, "class A:\n    def f(self, world, *, now_ms): ..."),
    (speaks_vaguely, CORE, 'def f():\n    """Of one that launches instances."""\n'),
    (speaks_vaguely, CORE, 'class A:\n    """The keys of whoever\n    calls."""\n'),
    (speaks_vaguely, CORE, '"""The text\nthat nobody reads."""\n'),
    (speaks_vaguely, CORE, "x = 1  # Everybody may read it\n"),
    (speaks_vaguely, CORE, "async def f():\n    # somebody else removed it\n    g()\n"),
    (speaks_vaguely, "src/batchyard/__main__.py", 'def f():\n    """Returns what the engine is told."""\n'),
    (unfinished, "docs/x.md", "a\nTO" + "DO: b"),
    (tied_to_a_machine, "README.md", "see /ro" + "ot/batchyard"),
    (tied_to_a_machine, "README.md", "cd /ho" + "me/someone/x"),
    (tied_to_an_index, "requirements/x.txt", "--index" + "-url x"),
    (tied_to_an_index, "docs/x.md", "from https://py" + "pi.org/simple"),
    (secret, "tests/x.py", "key = 'AKIA" + "ABCDEFGHIJKLMNOP'"),
    (secret, "x.pem", "-----BEGIN RSA PRIVATE" + " KEY-----"),
    (secret, "x.ini", "aws_secret_access_key" + " = " + "a1B2" * 10),
]
KEEPING = [
    (too_long, CORE, "def f():\n" + "    x = 1\n" * 59),
    (vaguely_named, "src/batchyard/core/model/names.py", ""),
    (proves_nothing, "tests/test_x.py", "with pytest.raises(ValueError):\n    f()\n"),
    (hopes_by_sleeping, "tests/test_x.py", "program = 'import time; time.sleep(9)'"),
    (swallows, CORE, "try:\n    f()\nexcept KeyError:\n    pass\n"),
    (swallows, CORE, "try:\n    f()\nexcept Exception:\n    count()\n    raise\n"),
    (
        moves_a_job,
        CORE,
        "job = Job(key=1, status=Status.SUBMITTED, created_at_ms=2)\nif job.status == 1: replace(job, key=2)",
    ),
    (moves_a_job, "src/batchyard/core/model/lifecycle.py", "job = replace(job, status=target)"),
    (moves_a_job, "src/batchyard/core/registry/queues.py", "queue = replace(queue, status=Health.VALID)"),
    (moves_a_job, "src/batchyard/api/batch/jobs.py", "f.status = 1"),
    (two_clocks, CORE, "def f(world): return g(world.now_ms)\ndef g(now_ms): ..."),
    (two_clocks, "src/batchyard/simulator/server.py", "def f(world, now_ms): ..."),
    (
        speaks_vaguely,
        CORE,
        'def f():\n    """Often of use: the user `nobody_`."""\n    return "nobody"  # of one caller\n',
    ),
    (speaks_vaguely, "tests/core/test_x.py", '"""Nobody is told."""\n'),
    (tied_to_a_machine, "docs/x.md", "$HOME/work ~/home/x https://example.com/home/x /home"),
    (secret, "docs/x.md", "AKIAIOSFODNN7" + "EXAMPLE"),
    (secret, "docs/x.md", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BREAKING)
def test_a_breach_is_found(rule: Rule, path: str, text: str) -> None:
    assert len(rule(path, text)) >= 1


def test_a_module_without_a_test_is_found() -> None:
    files = ["src/batchyard/core/state/new.py", "src/batchyard/core/state/__init__.py", "tests/core/test_new.py"]
    assert untested_modules(files) == ["tests/core/state/test_new.py"]
    assert untested_modules([*files, "tests/core/state/test_new.py"]) == []


@pytest.mark.parametrize(("rule", "path", "text"), KEEPING)
def test_what_keeps_the_rule_is_left_alone(rule: Rule, path: str, text: str) -> None:
    assert rule(path, text) == []
