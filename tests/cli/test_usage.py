"""Wrong usage and refusals: one sentence in our own words, never a validator's."""

from __future__ import annotations

import re
import typing

import pytest
from typer.testing import CliRunner

from batchyard.__main__ import app
from batchyard.cli.refusal_texts import in_words
from batchyard.docsgen.reference import all_commands, parameters_of
from tests.cli.conftest import Invoke
from tests.cli.stub import Refusal, Stub

# What validators and the parser's own words would be recognized by.
FOREIGN = re.compile(
    r"Input should|Member must|failed to satisfy|valid(ation)? (error|pattern)|Invalid value|Traceback|pydantic|type=|"
    r"unexpected extra|got an unexpected|\[OPTIONS\]|TyperException"
)
NUMBERS = [
    (name, parameter.flags[0])
    for name, function in all_commands().items()
    if name != "up"
    for parameter in parameters_of(function)
    if {int, float} & {parameter.kind, *typing.get_args(parameter.kind)}
]
WORDS = {"interrupt": ["i-1"], "logs": ["aaaaaaaa"], "run": ["x"]}


def said(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), prog_name="batchyard")
    assert result.exit_code == 2, result.output
    assert not FOREIGN.search(result.output), result.output
    return result.output


@pytest.mark.parametrize("bad", ["x", "-1", "1e999", ""])
@pytest.mark.parametrize(("name", "flag"), NUMBERS, ids=lambda text: str(text))
def test_every_number_says_its_bounds(name: str, flag: str, bad: str) -> None:
    text = said(*name.split(), flag, bad, *WORDS.get(name, []))
    wanted = rf"batchyard {name}: {flag} must be a (whole )?number .*, not {re.escape(repr(bad))}\."
    assert re.match(wanted, text), text


def test_numbers_were_found() -> None:
    assert ("run", "--timeout") in NUMBERS
    assert ("interrupt", "--notice") in NUMBERS


@pytest.mark.parametrize("name", all_commands())
def test_every_command_refuses_what_it_does_not_know(name: str) -> None:
    text = said(*name.split(), "--no-such-option")
    assert text.startswith(f"batchyard {name}: there is no option --no-such-option.")
    assert text.endswith(f"How it is used: batchyard {name} --help\n")


@pytest.mark.parametrize("name", all_commands())
def test_every_command_says_which_argument_is_missing(name: str) -> None:
    parameters = [one for one in parameters_of(all_commands()[name]) if one.is_argument and "[" not in one.usage]
    if parameters:
        first = parameters[0].metavar.removeprefix("-- ").removesuffix("...")
        assert said(*name.split()).startswith(f"batchyard {name}: {first} is missing.")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nonsense",), "batchyard: no such command 'nonsense'."),
        (("logs", "a", "b"), "batchyard logs: there is no place for 'b' here."),
        (("up", "--port"), "batchyard: --port needs a value."),
        (("jobs", "--status", "LOST"), "batchyard jobs: --status must be one of SUBMITTED, PENDING"),
    ],
)
def test_other_wrong_usage(words: tuple[str, ...], text: str) -> None:
    assert said(*words).startswith(text)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "Job name should match valid pattern",
            (
                "Job name: it may hold letters, digits, - and _, and have 1 to 128 characters, "
                "the first a letter or digit."
            ),
        ),
        (
            "Job Queue name should match a valid pattern.",
            "Job Queue name: it may hold letters, digits, - and _, and have 1 to 128 characters.",
        ),
        (
            "ShareIdentifier name should match a valid pattern.",
            "ShareIdentifier name: it may hold letters, digits, - and _, and have 1 to 255 characters.",
        ),
        (
            (
                "1 validation error detected: Value null at 'secretId' failed to satisfy constraint: "
                "Member must not be null"
            ),
            "secretId is missing.",
        ),
        (
            (
                "2 validation errors detected: Value '0' at 'limit' failed to satisfy constraint: Member must "
                "have value greater than or equal to 1"
            ),
            "limit must be 1 at least (it is '0')",
        ),
        (
            "tags: Member must have length less than or equal to 50, got 51.",
            "tags: must have at most 50 characters or entries, got 51.",
        ),
        ("JobQueue q not found", "JobQueue q not found"),
    ],
)
def test_refusals_in_words(message: str, words: str) -> None:
    assert in_words(message) == words
    assert not FOREIGN.search(words)


def test_a_refused_name_shows_what_a_name_may_hold(invoke: Invoke, stub: Stub) -> None:
    stub.refused["RunJob"] = Refusal("ClientException", "Job name should match valid pattern")
    assert "Job name: it may hold letters, digits, - and _" in invoke("run", "--name", "a b", "--", "x").stderr


@pytest.mark.parametrize("name", ["", "keys", "secrets", *all_commands()])
def test_help_names_no_type_of_the_program(name: str) -> None:
    result = CliRunner().invoke(app, [*name.split(), "--help"], prog_name="batchyard")
    assert result.exit_code == 0
    assert not re.search(r"<\w+>|list\[|[{}]|\.\.\.\]\.\.\.", result.output), result.output
    for parameter in parameters_of(all_commands()[name]) if name in all_commands() else []:
        assert parameter.flags[0].split("/")[0] in result.output or parameter.is_argument
