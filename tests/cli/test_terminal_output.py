"""What reaches a person's terminal: nothing that came from outside may command it."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.cli.terminal_output import shown
from batchyard.server.log_output import LOG_FORMAT, ShownFormatter
from batchyard.wire.model import Shape, load_service_model
from tests.cli.stub import Refusal, Stub, serving
from tests.waiting import until

SOURCE = Path(__file__).parents[2] / "src" / "batchyard"
# Clears, titles, rings, overwrites, reorders, hides, colours, breaks lines, and asks for the markup of libraries.
HOSTILE = (
    "a\x1b[2J\x1b]0;t\x07\r\x08\x00\x0b\x7f\x85\x9b31m\u061c\u200b\u202e\u2066\u2069\u2028\ufeff\ufdd1\ud800\U000e0041"
    "\t[bold]b[/bold][link=http://x]c[/link]\nFORGED"
)
ESCAPED = (
    r"a\x1b[2J\x1b]0;t\x07\r\x08\x00\x0b\x7f\x85\x9b31m\u061c\u200b\u202e\u2066\u2069\u2028\ufeff\ufdd1\ud800\U000e0041"
    r"\t[bold]b[/bold][link=http://x]c[/link]\nFORGED"
)
OURS = re.compile(r"\x1b\[3\d(;\d)?m|\x1b\[0m|\x1b\[H\x1b\[J|\r\x1b\[K|\r\n")
A = "aaaaaaaa-0000-4000-8000-000000000000"
MODELS = [load_service_model(name) for name in ("batch", "yard", "logs", "secretsmanager")]
OUTPUTS = {name: found.output for model in MODELS for name, found in model.operations.items()}
DEEPEST = 12  # shapes hold themselves

# Members that decide what the command line does next: what they say is a status, a token or a type, never a text.
STEERING = {"nextToken", "NextToken", "nextBackwardToken"}
KINDS: dict[str, tuple[str, ...]] = {
    "plain": ("arrayProperties", "ecsProperties", "nodeProperties", "taskProperties"),
    "array": ("ecsProperties", "nodeProperties", "taskProperties"),
    "containers": ("arrayProperties", "nodeProperties"),
}


def hostile(shape: Shape, without: tuple[str, ...], depth: int = 0) -> Any:
    """A document of `shape` with every member that it can have, and the hostile text in each that is a text."""
    if depth > DEEPEST:
        return {} if shape.type in ("structure", "map") else []
    if shape.type == "structure":
        return {
            member.name: hostile(member.shape, without, depth + 1)
            for member in shape.members.values()
            if member.name not in STEERING and member.name not in without
        }
    if shape.type == "list":
        assert shape.element is not None
        return [hostile(shape.element, without, depth + 1)]
    if shape.type == "map":
        assert shape.element is not None
        return {HOSTILE: hostile(shape.element, without, depth + 1)}
    if shape.type == "string":
        return HOSTILE
    return {"boolean": True, "integer": 1, "long": 1_700_000_000_000}.get(shape.type, 1_700_000_000.0)


class Hostile(Stub):
    """Answers every operation with all that its model has, hostile everywhere."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.without = KINDS[kind]
        self.refuses = False

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if self.refuses or operation == "Exec":
            raise Refusal("ClientException", HOSTILE)
        output = OUTPUTS[operation]
        document: dict[str, Any] = hostile(output, self.without) if output is not None else {}
        for job in [*document.get("jobs", []), *document.get("jobSummaryList", [])]:
            job["status"] = "SUCCEEDED"  # else it would be followed for ever; and tails go by ids
            job["jobId"] = f"{A}:0" if "arrayJobId" in request else request.get("jobs", [A])[0]
        if operation == "GetLogEvents":
            document["nextForwardToken"] = "f/1"
            document["events"] = [] if "nextToken" in request else document["events"]
        if operation == "FilterLogEvents":
            for event in document["events"]:
                event["logStreamName"] = HOSTILE
        return document


COMMANDS = [
    ["run", "--queue", "q", "--", "x"],
    ["jobs"],
    ["jobs", "--all", "--json"],
    ["jobs", "--watch"],
    ["jobs", "--watch", "--json"],
    ["logs", A],
    ["logs", "--follow", A],
    ["logs", A, "--json"],
    ["describe", A],
    ["describe", A, "--json"],
    ["explain", A],
    ["explain", A, "--json"],
    ["cancel", A],
    ["terminate", A],
    ["envs"],
    ["envs", "--watch"],
    ["envs", "--json"],
    ["queues"],
    ["queues", "--watch"],
    ["queues", "--json"],
    ["instances"],
    ["instances", "--json"],
    ["interrupt", "i-1"],
    ["secrets", "list"],
    ["secrets", "list", "--json"],
    ["secrets", "set", "--from-file", "value", "n"],
    ["secrets", "rm", "n"],
    ["secrets", "rm", "--now", "n"],
    ["exec", A, "--", "x"],
    ["describe", HOSTILE.replace("\x00", "")],
    ["describe", "--" + HOSTILE.replace("\x00", "")],
    ["run", "--env", HOSTILE.replace("\x00", ""), "--", "x"],
]
# All of them in one process on one terminal: what this is about is bytes, not exit codes. A watch ends with its round.
PROGRAM = """
import json, sys, time
def stop(seconds):
    raise KeyboardInterrupt
time.sleep = stop
from batchyard.__main__ import app
for words in json.load(open("commands")):
    print("-- " + ascii(words)[1:60], flush=True)
    try:
        app(words, prog_name="batchyard")
    except SystemExit as end:
        print("-- ended", end.code, flush=True)
"""


def on_a_terminal(stub: Stub, folder: Path, commands: list[list[str]]) -> bytes:
    """What the commands write to a terminal that is 200 columns wide."""
    (folder / "value").write_text("v")
    (folder / "commands").write_text(json.dumps(commands))
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "BATCHYARD_URL": stub.url, "COLUMNS": "200"}
    variables |= {"TERM": "xterm", "LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(sys.path)}
    terminal, inside = os.openpty()
    seen = bytearray()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=variables, cwd=folder, stdin=inside, stdout=inside, stderr=inside
        ) as process:
            os.close(inside)
            os.set_blocking(terminal, False)

            def ended() -> bool:
                try:
                    while block := os.read(terminal, 65536):
                        seen.extend(block)
                except BlockingIOError:
                    return False
                except OSError:  # nobody has the other side open
                    return True
                return True

            until(ended, 60, describe="the commands to end")
            assert process.wait(60) == 0, seen.decode("utf-8", "replace")
    finally:
        os.close(terminal)
    return bytes(seen)


def check(seen: bytes) -> str:
    """Only our own sequences, tabs of log lines and what is printable; no line that others began. Returns the text."""
    text = seen.decode("utf-8")  # strictly: half a character would be somebody's too
    bare = OURS.sub("\n", text)
    wrong = {ascii(one) for one in bare if one not in "\n\t" and not one.isprintable()}
    assert not wrong, f"{wrong} in {bare!a}"
    assert not [line for line in bare.splitlines() if line.startswith("FORGED")], bare
    return bare


@pytest.mark.parametrize("kind", KINDS)
def test_no_field_of_any_answer_commands_the_terminal(kind: str, tmp_path: Path) -> None:
    with serving(Hostile(kind)) as stub:
        text = check(on_a_terminal(stub, tmp_path, COMMANDS))
    assert "Traceback" not in text
    assert text.count("\n-- ended") + text.startswith("-- ended") == len(COMMANDS)
    assert text.count(ESCAPED) > 20
    # In JSON nothing is lost.
    assert text.count(json.dumps(HOSTILE)[1:-1].lower()) + text.count(json.dumps(HOSTILE)[1:-1]) > 20


def test_no_refusal_commands_the_terminal(tmp_path: Path) -> None:
    hostile_stub = Hostile("plain")
    hostile_stub.refuses = True
    with serving(hostile_stub) as stub:
        text = check(on_a_terminal(stub, tmp_path, COMMANDS))
    assert text.count(ESCAPED) > 20
    assert "Traceback" not in text


def test_output_of_a_job_is_raw_where_it_is_asked_for_or_goes_into_a_pipe(tmp_path: Path) -> None:
    with serving(Stub()) as stub:
        stub.add(A)
        stub.run(A, "s", "\x1b[31mred\x1b[0m\ttab")
        stub.end(A)
        seen = on_a_terminal(stub, tmp_path, [["logs", A], ["logs", A, "--raw"]])
        variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "BATCHYARD_URL": stub.url}
        arguments = [sys.executable, "-m", "batchyard", "logs", A]
        piped = subprocess.run(arguments, env=variables, capture_output=True, check=True).stdout
    assert b"\\x1b[31mred\\x1b[0m\ttab\r\nControl characters in the output are shown, not obeyed; --raw lets" in seen
    assert seen.count(b"--raw lets them through.") == 1
    assert b"\n\x1b[31mred\x1b[0m\ttab\r\n" in seen
    assert piped == b"\x1b[31mred\x1b[0m\ttab\n"


@given(st.text(st.characters()))
def test_what_is_shown_is_printable_and_tells_what_there_was(text: str) -> None:
    line = shown(text)
    assert all(one.isprintable() or one.isspace() for one in line)
    assert not {"\n", "\r", "\t", "\x85", "\u2028"} & set(line)
    assert line == shown(line)
    if text.isprintable():
        assert line == text


# Who else may touch the streams: its frames are another program's terminal, which somebody asked for.
PASSES_BYTES = {"execution.py", "worker.py"}  # to a terminal as they are; to the process that asked
WRITES_DOCS = {"reference.py", "compatibility.py"}  # `make docs`, not a command of the product
PRINTERS = [
    *sorted((SOURCE / "cli").rglob("*.py")),
    SOURCE / "__main__.py",
    *sorted(path for path in (SOURCE / "server").rglob("*.py") if path.name not in WRITES_DOCS),
]


def prints(tree: ast.AST) -> list[int]:
    """Lines that write to the terminal."""
    writing = re.compile(
        r"print|input|(typer|click)\.(s?echo|secho|prompt|confirm)|(sys\.)?(stdout|stderr)\..*write.*|os\.write"
    )
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and writing.fullmatch(ast.unparse(node.func))
    ]


@pytest.mark.parametrize("path", PRINTERS, ids=lambda path: path.name)
def test_one_module_prints(path: Path) -> None:
    if path.name == "terminal_output.py":
        assert prints(ast.parse(path.read_text()))
    elif path.name not in PASSES_BYTES:
        assert prints(ast.parse(path.read_text())) == [], f"{path}: use batchyard.cli.terminal_output"


@pytest.mark.parametrize("code", ["print(1)", "typer.echo(x)", "sys.stderr.write(x)", "sys.stdout.buffer.write(x)"])
def test_the_rule_bites(code: str) -> None:
    assert prints(ast.parse(code)) == [1]


def test_the_services_own_log_commands_no_terminal() -> None:
    record = logging.LogRecord("a", logging.WARNING, "", 1, "refused %s", (HOSTILE.replace("\n", ""),), None)
    assert ESCAPED.replace(r"\n", "") in ShownFormatter(LOG_FORMAT).format(record)
