"""Lines of output as HTML: colours become classes, every other escape code is dropped, addresses become links."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

MAX_LINE_CHARACTERS = 10_000  # a longer line is cut, and says so
# Escape sequences (ECMA-48): CSI with its parameters; OSC, DCS, SOS, PM and APC up to their end; two-character ones.
ESCAPE = re.compile(
    r"\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]?|\x9b([0-?]*)[ -/]*([@-~])"
)
# C0 and C1 but the tab, and what reverses the order of text or cannot be seen (bidirectional controls).
CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
LINK = re.compile(r"https?://[^\s<>\"'`\x00-\x1f]{3,2000}", re.ASCII)
ATTRIBUTES = frozenset((1, 2, 3, 4))  # bold, faint, italic, underlined
COLOURS = frozenset((*range(30, 38), *range(90, 98)))
RESETS = {22: (1, 2), 23: (3,), 24: (4,)}
EXTENDED = (38, 48)  # colours of a larger palette, which are passed over with their parameters
MAX_PARAMETER_DIGITS = 4


def line_html(text: str) -> Markup:
    """Returns one line as HTML. A carriage return keeps what follows it, as terminals show it."""
    kept = text.rstrip("\r").rpartition("\r")[2]
    more = len(kept) - MAX_LINE_CHARACTERS
    kept = kept[:MAX_LINE_CHARACTERS]
    parts: list[Markup] = []
    style: set[int] = set()
    start = 0
    for match in ESCAPE.finditer(kept):
        parts.append(_span(kept[start : match.start()], style))
        start = match.end()
        if (match[2] or match[4]) == "m":
            _restyle(style, match[1] if match[2] else match[3])
    parts.append(_span(kept[start:], style))
    if more > 0:
        parts.append(Markup('<span class="muted"> … {} characters more</span>').format(f"{more:,}"))
    return Markup("").join(parts)


def plain(text: str) -> str:
    """Returns one line without escape codes."""
    return CONTROL.sub("", ESCAPE.sub("", text.rstrip("\r").rpartition("\r")[2]))


def _restyle(style: set[int], parameters: str) -> None:
    codes = [
        int(code[:MAX_PARAMETER_DIGITS] or 0) for code in re.split("[;:]", parameters) if code.isdigit() or not code
    ]
    at = 0
    while at < len(codes):
        code = codes[at]
        if code in EXTENDED:
            at += 3 if codes[at + 1 : at + 2] == [5] else 5
            continue
        if code == 0:
            style.clear()
        elif code in ATTRIBUTES:
            style.add(code)
        elif code in COLOURS or code == 39:
            style.difference_update(COLOURS)
            style.update({code} & COLOURS)
        style.difference_update(RESETS.get(code, ()))
        at += 1


def _span(text: str, style: set[int]) -> Markup:
    text = CONTROL.sub("", text)
    if not text:
        return Markup("")
    inner = _linked(text)
    if not style:
        return inner
    return Markup('<span class="{}">{}</span>').format(" ".join(f"a{code}" for code in sorted(style)), inner)


def _linked(text: str) -> Markup:
    parts: list[Markup] = []
    start = 0
    for match in LINK.finditer(text):
        address = match[0].rstrip(".,;:!?)]}")
        parts.append(escape(text[start : match.start()]))
        link = Markup('<a href="{0}" rel="noopener noreferrer nofollow" target="_blank">{0}</a>')
        parts.append(link.format(address))
        start = match.start() + len(address)
    parts.append(escape(text[start:]))
    return Markup("").join(parts)
