"""The only module that writes to the terminal: every line of every command, with texts from outside escaped.

Names, reasons, tags, log lines and errors come from others. None of them can move the cursor, ring, reorder a line
or break a table: a character that is not printable appears as `\\x1b`, `\\n` or `\\u202e`. No other module of the
command line prints (tests/cli/test_terminal_output.py holds that).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import unicodedata
from typing import TextIO

COLOURS = {"SUCCEEDED": 32, "FAILED": 31, "RUNNING": 36, "STARTING": 36, "RUNNABLE": 33, "PENDING": 33}
# Marks of our own colours in text for `say`: noncharacters, which `shown` escapes in the text of others.
COLOUR_BASE = 0xFDD0
COLOUR_END = "\ufdef"
_MARKS = {chr(COLOUR_BASE + code - 30): f"\x1b[{code}m" for code in set(COLOURS.values())} | {COLOUR_END: "\x1b[0m"}
_MARK = re.compile(f"([{''.join(_MARKS)}])")
HOME_AND_CLEAR = "\x1b[H\x1b[J"
LINE_AND_CLEAR = "\r\x1b[K"
SPACES = "Zs"  # Unicode's category of spaces: they take room, and do nothing else
NAMED_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def shown(text: str, keep: str = "") -> str:
    """Returns `text` of others in one line: each character that is not printable (Unicode's controls, formats such
    as the bidirectional ones, surrogates, unassigned and private ones) as its escape, unless it is one of `keep`."""
    if text.isprintable():
        return text
    return "".join(one if one in keep or one.isprintable() else _escape(one) for one in text)


def _escape(one: str) -> str:
    if unicodedata.category(one) == SPACES:
        return one
    code = ord(one)
    if one in NAMED_ESCAPES:
        return NAMED_ESCAPES[one]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def coloured(text: str, status: str) -> str:
    """Returns `text` marked with the colour of a job's status. `say` writes the colour, or drops it where none is
    wanted."""
    code = COLOURS.get(status)
    return f"{chr(COLOUR_BASE + code - 30)}{text}{COLOUR_END}" if code else text


def _colours_wanted(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _dressed(text: str, stream: TextIO) -> str:
    """Returns the text to write: line breaks are ours, characters are escaped, and colours come from marks alone."""
    if "\n" not in text and text.isprintable():
        return text
    wanted = _colours_wanted(stream)
    parts = []
    for part in _MARK.split(text):
        mark = _MARKS.get(part)
        parts.append(shown(part, keep="\n") if mark is None else mark if wanted else "")
    return "".join(parts)


def prepare_streams() -> None:
    """Configures the streams, so that output never fails for a character that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def say(text: str = "", *, flush: bool = False) -> None:
    """Writes lines to standard output. Values of others in them must have passed `shown`: here a newline ends a
    line."""
    print(_dressed(text, sys.stdout), flush=flush)


def tell(text: str = "") -> None:
    """Writes a line to standard error at once: about the work, not its result."""
    print(_dressed(text, sys.stderr), file=sys.stderr, flush=True)


def complain(sentence: str) -> None:
    """Writes an error, in one line whatever its text contains."""
    tell(shown(sentence))


def redraw(text: str) -> None:
    """Writes the next state of a watched table: over the last one on a terminal, else below it."""
    if sys.stdout.isatty():
        print(HOME_AND_CLEAR + _dressed(text, sys.stdout), flush=True)
    else:
        print(_dressed(text, sys.stdout) + "\n", flush=True)


def print_json(document: object, *, line: bool = False) -> None:
    """Writes JSON. `line`: one line, written at once, for programs that follow. What is not printable is escaped as
    in JSON, so that nothing is lost."""
    text = json.dumps(document, indent=None if line else 2, ensure_ascii=False)
    if not text.isprintable():
        text = "".join(one if one == "\n" or one.isprintable() else _json_escape(one) for one in text)
    print(text, flush=line)


def _json_escape(one: str) -> str:
    return one if unicodedata.category(one) == SPACES else json.dumps(one)[1:-1]


def output_is_raw(raw: bool) -> bool:
    """Whether a job's output is written unescaped: into a file or pipe, or because the user asked for it."""
    return raw or not sys.stdout.isatty()


def job_line(prefix: str, message: str, *, raw: bool) -> bool:
    """Writes one line of a job's output. Returns whether something in it had to be escaped."""
    text = message if raw else shown(message, keep=TAB)
    print(f"{shown(prefix)}{text}")
    return text != message


TAB = "\t"  # on a line of its own it moves nothing else


def ask(question: str) -> bool:
    """Asks the user at the terminal; returns whether the answer is yes. The default is no."""
    sys.stderr.write(_dressed(question, sys.stderr))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def flush() -> None:
    sys.stdout.flush()


def drop_output() -> None:
    """Discards further output: its reader has left (`| head`), and Python flushes once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class StatusLine:
    """One line on standard error about the current wait. On a terminal it is rewritten in place and goes away before
    other output; elsewhere each new text is a line."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._terminal = sys.stderr.isatty()
        self._shown = ""
        self._last = ""

    def show(self, text: str) -> None:
        text = shown(text)
        if self._silent or text == (self._shown if self._terminal else self._last):
            return
        self._last = text
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"{LINE_AND_CLEAR}{text[:width]}")
            sys.stderr.flush()
            self._shown = text
        else:
            tell(text)

    def progress(self, text: str) -> None:
        """Does the same as `show` for numbers that change all the time: on terminals only."""
        if self._terminal:
            self.show(text)

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write(LINE_AND_CLEAR)
            sys.stderr.flush()
            self._shown = ""

    def note(self, text: str) -> None:
        """Writes a line that stays."""
        self.clear()
        if not self._silent:
            complain(text)
