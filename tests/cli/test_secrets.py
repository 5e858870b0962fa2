"""`batchyard secrets` against the service itself; no value is ever an argument, or shown."""

import json
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from batchyard.cli.app import app
from tests.server.running import Server, environment


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture
def invoke(server: Server) -> Callable[..., Result]:
    def call(*arguments: str, stdin: bytes = b"") -> Result:
        words = ["secrets", *arguments]
        return CliRunner().invoke(app, words, input=stdin, env={"BATCHYARD_DATA_DIR": str(server.data_dir)})

    return call


@pytest.fixture(scope="module")
def manager(server: Server) -> Any:
    session = boto3.Session("any", "any", region_name="us-east-1")
    return session.client("secretsmanager", endpoint_url=server.address)


def named(name: str, invoke: Callable[..., Result]) -> list[Any]:
    """Of all that are listed, those of this name: other tests' are there too."""
    return [one for one in json.loads(invoke("list", "--json").stdout) if one["Name"] == name]


def test_a_secret_is_set_changed_listed_and_removed(invoke: Callable[..., Result], manager: Any) -> None:
    made = invoke("set", "prod/db", "--description", "the database", stdin=b"one\n")
    arn = manager.describe_secret(SecretId="prod/db")["ARN"]
    assert (made.exit_code, made.stdout) == (0, f"Set prod/db. Jobs name it as {arn}\n")
    assert manager.get_secret_value(SecretId="prod/db")["SecretString"] == "one"
    assert invoke("set", "prod/db", stdin=b"two\n\n").exit_code == 0
    assert manager.get_secret_value(SecretId="prod/db")["SecretString"] == "two\n"
    assert manager.get_secret_value(SecretId="prod/db", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    assert manager.describe_secret(SecretId="prod/db")["Description"] == "the database"
    heading, *lines = invoke("list").stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("prod/db ")]  # other tests' are there too
    assert heading.split() == ["NAME", "CHANGED", "STATE", "ARN", "DESCRIPTION"]
    assert (line.split()[0], arn in line, "the database" in line, "two" in line) == ("prod/db", True, True, False)
    assert invoke("rm", "prod/db").stdout.startswith("Deleted prod/db: it goes for good at 2")
    (listed,) = named("prod/db", invoke)
    assert "DeletedDate" in listed
    assert "marked for deletion" in invoke("set", "prod/db", stdin=b"x").stderr
    assert invoke("rm", "prod/db", "--now").stdout == "Removed prod/db.\n"
    assert named("prod/db", invoke) == []
    gone = invoke("rm", "prod/db")
    assert (gone.exit_code, gone.stderr) == (
        1,
        "Secrets Manager can't find the specified secret. (ResourceNotFoundException)\n",
    )


def test_a_secret_that_was_made_without_a_value_is_listed_and_given_one(
    invoke: Callable[..., Result], manager: Any
) -> None:
    """Terraform's order: the secret first, its value later."""
    manager.create_secret(Name="later")
    assert "VersionIdsToStages" not in manager.describe_secret(SecretId="later")
    assert " no value " in invoke("list").stdout
    assert invoke("set", "later", stdin=b"now").exit_code == 0
    assert manager.get_secret_value(SecretId="later")["SecretString"] == "now"
    assert " no value " not in invoke("list").stdout
    assert invoke("rm", "later", "--now").exit_code == 0


def test_a_file_is_taken_as_it_is(invoke: Callable[..., Result], manager: Any, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(b"line\nline\n")
    assert invoke("set", "tls", "--from-file", str(tmp_path / "key.pem")).exit_code == 0
    assert manager.get_secret_value(SecretId="tls")["SecretString"] == "line\nline\n"
    assert "cannot be read: No such file" in invoke("set", "tls", "--from-file", str(tmp_path / "none")).stderr


@pytest.mark.parametrize(("value", "why"), [(b"", "1 to 65536"), (b"x" * 65537, "1 to 65536"), (b"\xff", "no UTF-8")])
def test_values_that_are_none(invoke: Callable[..., Result], value: bytes, why: str) -> None:
    result = invoke("set", "odd", stdin=value)
    assert result.exit_code == 1
    assert why in result.stderr


def test_at_a_terminal_the_value_is_asked_for_and_not_shown(server: Server, manager: Any) -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "batchyard", "secrets", "set", "typed", "--url", server.address],
        env=environment(server.directory),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    with open(ours, "r+b", buffering=0) as terminal, open(theirs, "rb"):
        shown = b""
        while b"Value: " not in shown:
            shown += terminal.read(4096)
        terminal.write(b"typed in\n")
        while b"Jobs name it as" not in shown:
            shown += terminal.read(4096)
        assert child.wait(30) == 0
    assert b"typed in" not in shown
    assert manager.get_secret_value(SecretId="typed")["SecretString"] == "typed in"
