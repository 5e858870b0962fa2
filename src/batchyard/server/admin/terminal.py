"""Messages of commands to the user: sentences, no tracebacks, and output that may be closed early."""

from __future__ import annotations

import sys
from typing import NoReturn

from batchyard.cli import terminal_output

EXIT_FAILED = 1
EXIT_USAGE = 2  # a flag, variable or file that the caller has to change
EXIT_COMMIT_FAILED = 3  # the store could not make a commit durable
EXIT_DISK_FULL = 4
EXIT_DAMAGED = 5  # the database, or a backup, is not what was written
EXIT_FORCED = 130  # what shells show for Ctrl-C


class Failure(Exception):
    """Ends the command with one readable sentence and an exit code."""

    def __init__(self, sentence: str, code: int = EXIT_FAILED) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


def say(text: str = "") -> None:
    """Prints a line at once. A reader that went away (`up | head`) stops neither server nor command."""
    try:
        terminal_output.say(terminal_output.shown(text), flush=True)
    except BrokenPipeError:
        terminal_output.drop_output()


def complain(sentence: str) -> None:
    terminal_output.complain(f"batchyard: {sentence}")


def leave(failure: Failure) -> NoReturn:
    complain(failure.sentence)
    sys.exit(failure.code)
