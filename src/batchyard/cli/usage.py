"""Parses command lines: numbers with bounds, and wrong usage as one sentence in our own words."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from batchyard.cli.terminal_output import complain, say, tell

Function = TypeVar("Function", bound=Callable[..., Any])
WRONG_USAGE = 2
NO_COMMAND = "NoArgsIsHelpError"  # its text is the help itself
# The base class of BadParameter: the parser's exceptions have no public names of their own.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def whole_number(low: int, high: int | None = None, why: str = "") -> Callable[[str], int]:
    """Returns a parser of whole numbers from `low` to `high`. `why`: a sentence about the bound."""
    bounds = f"from {low} to {high}" if high is not None else f"of {low} or more"

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < low or (high is not None and number > high):
            raise typer.BadParameter(f"must be a whole number {bounds}, not {text!r}." + (f" {why}" if why else ""))
        return number

    return parse


def decimal_number(low: float) -> Callable[[str], float]:
    """Returns a parser of numbers of at least `low`, fractions too."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = low - 1
        if not low <= number < float("inf"):
            raise typer.BadParameter(f"must be a number of {low:g} or more, not {text!r}.")
        return number

    return parse


def seconds(text: str) -> float:
    """Returns a parser of durations."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise typer.BadParameter(f"must be a number of seconds, 0 or more, not {text!r}.")
    return number


TYPES = re.compile(r" <(list\[)?(str|int|float)\]?>")
REPEATED = re.compile(r"\[((?:-- )?[A-Z]+)\.\.\.\]\.\.\.|\{((?:-- )?[A-Z]+)(?:\.\.\.)?\}(\.\.\.)?")


def plain_help(text: str) -> str:
    """Formats help without Python's types, and with usage as in manual pages: `JOB`, `[JOB...]`."""

    def argument(found: re.Match[str]) -> str:
        return f"[{found[1]}...]" if found[1] else f"{found[2]}{found[3] or ''}"

    usage, blank, rest = text.partition("\n\n")
    usage = REPEATED.sub(argument, usage)
    return usage + blank + TYPES.sub(lambda found: " " * len(found[0]), rest)  # columns stay where they are


class Command(TyperCommand):
    def get_help(self, ctx: Any) -> str:
        return plain_help(super().get_help(ctx))


class Application(typer.Typer):
    """Commands whose help and errors are in our own words."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            cls=Commands,
            no_args_is_help=True,
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
            **options,
        )

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        return super().command(name, cls=Command, **options)


class Commands(TyperGroup):
    """A group of commands that reports mistakes in a command line in words of its own."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command, also one of two words beside one of the first word alone (`logs query`)."""
        two = " ".join(args[:2])
        return super().resolve_command(ctx, [two, *args[2:]] if two in self.commands else args)

    def main(self, *args: Any, **options: Any) -> Any:
        options["standalone_mode"] = False  # the parser would word it for programmers
        try:
            code = super().main(*args, **options)
        except UsageError as error:
            report(error)
            sys.exit(WRONG_USAGE)
        except typer.Abort:
            tell("Aborted.")
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def report(error: Exception) -> None:
    """Prints wrong usage: what is wrong, and where the right one is shown."""
    if type(error).__name__ == NO_COMMAND:
        say(str(error))
        return
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "batchyard"
    complain(f"{command}: {sentence(error)}")
    if context is not None:
        tell(f"How it is used: {command} --help")


def sentence(error: Exception) -> str:
    """Returns what is wrong, from an exception of the parser."""
    if hasattr(error, "param_type"):  # a missing parameter
        return f"{_subject(error) or 'an argument'} is missing."
    if hasattr(error, "possibilities"):  # an option that does not exist
        near = " or ".join(sorted(error.possibilities or ()))
        return f"there is no option {error.option_name}." + (f" Did you mean {near}?" if near else "")  # type: ignore[attr-defined]
    message = str(getattr(error, "message", error))
    if hasattr(error, "param_hint"):
        return f"{_subject(error)} {message}".strip()
    extra = message.removeprefix("Got unexpected extra argument(s) (").removesuffix(")")
    if extra != message:
        return f"there is no place for {extra!r} here."
    if hasattr(error, "option_name") and "requires an argument" in message:
        return f"{error.option_name} needs a value."
    return message[:1].lower() + message[1:]


def _subject(error: Any) -> str:
    """Returns the option or argument concerned, as it is typed."""
    hint, parameter = error.param_hint, error.param
    if isinstance(hint, str):
        return hint
    if hint:
        return " / ".join(hint)
    if parameter is None:
        return ""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.metavar or parameter.name.upper()).removeprefix("-- ").removesuffix("...")
