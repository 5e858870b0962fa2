"""The demo's input: one day of a web shop's access log, made from a fixed seed, so that every run counts the same."""

from __future__ import annotations

import random
from itertools import accumulate
from pathlib import Path

DATE = "2026-06-09"
SEED = 20260609
SECONDS_PER_DAY = 86_400
CHUNK_LINES = 10_000  # written at once: a line at a time is slow, all of them at once is a lot of memory
# Real logs hold lines that no parser expects; one in this many here is cut short.
BROKEN_EVERY = 1_000

PAGES = ("/", "/search", "/cart", "/checkout", "/login", "/account", "/help", "/terms", "/robots.txt", "/favicon.ico")
PRODUCTS = tuple(f"/products/{number}" for number in range(1, 31))
OLD = ("/old/index.html", "/old/catalogue.html", "/wp-login.php", "/.env")
PATHS = (*PAGES, *PRODUCTS, *OLD)
# The n-th path is asked for 1/n as often as the first, as on real sites.
PATH_WEIGHTS = tuple(accumulate(1 / rank for rank in range(1, len(PATHS) + 1)))
STATUSES = ("200", "304", "302", "500", "503")
STATUS_WEIGHTS = tuple(accumulate((880, 70, 40, 7, 3)))


def write_log(path: Path, lines: int, seed: int = SEED) -> int:
    """Writes `lines` lines in the common log format, in the order of time; returns the size in bytes."""
    chance = random.Random(seed)
    with path.open("w", encoding="ascii", newline="\n") as log:
        for first in range(0, lines, CHUNK_LINES):
            count = min(CHUNK_LINES, lines - first)
            paths = chance.choices(PATHS, cum_weights=PATH_WEIGHTS, k=count)
            statuses = chance.choices(STATUSES, cum_weights=STATUS_WEIGHTS, k=count)
            log.writelines(
                _line(chance, (first + row) * SECONDS_PER_DAY // lines, path, status)
                for row, (path, status) in enumerate(zip(paths, statuses, strict=True))
            )
    return path.stat().st_size


def _line(chance: random.Random, second: int, path: str, status: str) -> str:
    number = chance.getrandbits(40)
    if path in OLD:
        status = "404"
    size = 0 if status in ("304", "302") else 200 + number % 40_000
    # 203.0.113.0/24 and 198.51.100.0/24 are set aside for examples.
    client = f"{'203.0.113' if number & 1 else '198.51.100'}.{number >> 8 & 255}"
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    line = f'{client} - - [09/Jun/2026:{clock} +0000] "GET {path} HTTP/1.1" {status} {size}\n'
    return line if number % BROKEN_EVERY else line[:40] + "\n"
