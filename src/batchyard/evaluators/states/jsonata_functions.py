"""Functions that AWS adds to JSONata: $partition, $range, $hash, $random, $uuid, $parse (step functions spec 10)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

from batchyard.evaluators.json_text import InvalidJson, minified, parse_json
from batchyard.evaluators.states.jsonata_budget import coded, wrong_argument
from batchyard.evaluators.states.scope import Scope

MAX_RANGE_ITEMS = 1_000  # as States.ArrayRange
ALGORITHMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
GENERATOR_FACTOR = 0x5DEECE66D
GENERATOR_MASK = (1 << 48) - 1
FUNCTION_NAMES = frozenset({"partition", "range", "hash", "random", "uuid", "parse"})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def partition(array: Any = None, size: Any = None) -> list[list[Any]]:
    """Returns an array in parts of at most `size` items."""
    if not isinstance(array, list):
        raise wrong_argument("partition", 1)
    if not _is_number(size) or int(size) < 1:
        raise wrong_argument("partition", 2)
    return [array[start : start + int(size)] for start in range(0, len(array), int(size))]


def number_range(first: Any = None, last: Any = None, step: Any = None) -> Any:
    """Returns the numbers from `first` to `last`, both inclusive. A single one is no array, as in AWS's recordings."""
    for position, value in enumerate((first, last, step), start=1):
        if not _is_number(value) or (position == 3 and value == 0):
            raise wrong_argument("range", position)
    span = (last - first) / step
    if span >= MAX_RANGE_ITEMS:
        raise coded("D2014", f"The size of the sequence allocated by $range must not exceed {MAX_RANGE_ITEMS} items")
    numbers = [first + index * step for index in range(math.floor(max(span, -1.0)) + 1)]
    return numbers[0] if len(numbers) == 1 else numbers


def hash_text(value: Any = None, algorithm: Any = None) -> str:
    """Returns the digest, in hexadecimal, of a string, or of another value's JSON text."""
    if value is None:
        raise wrong_argument("hash", 1)
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise wrong_argument("hash", 2)
    text = value if isinstance(value, str) else minified(value)
    return hashlib.new(ALGORITHMS[algorithm], text.encode(errors="replace"), usedforsecurity=False).hexdigest()


def parse(text: Any = None) -> Any:
    """Returns the value of a JSON text."""
    if not isinstance(text, str):
        raise wrong_argument("parse", 1)
    try:
        return parse_json(text)
    except InvalidJson as error:
        raise coded("D3121", f"The argument of $parse is no JSON text: {error}") from error


def random_number(scope: Scope, *arguments: Any) -> float:
    """Returns a number from 0 to below 1: the next one that belongs to the scope, or the one that belongs to a seed."""
    if not arguments or arguments[0] is None:
        return scope.random_fraction()
    if not _is_number(arguments[0]):
        raise wrong_argument("random", 1)
    return seeded_fraction(int(arguments[0]))


def seeded_fraction(seed: int) -> float:
    """Returns the first number of a seed, as AWS has it: by the linear congruential generator of Java, of 48 bits."""
    state = (seed ^ GENERATOR_FACTOR) & GENERATOR_MASK
    bits = 0
    for width in (26, 27):
        state = (state * GENERATOR_FACTOR + 0xB) & GENERATOR_MASK
        bits = (bits << width) | (state >> (48 - width))
    return bits / (1 << 53)


def functions_of(scope: Scope) -> dict[str, Callable[..., Any]]:
    """Returns the functions by name. Further arguments are ignored, as JSONata's own functions ignore them."""
    return {
        "partition": lambda *arguments: partition(*arguments[:2]),
        "range": lambda *arguments: number_range(*arguments[:3]),
        "hash": lambda *arguments: hash_text(*arguments[:2]),
        "random": lambda *arguments: random_number(scope, *arguments),
        "uuid": lambda *_arguments: scope.random_uuid(),
        "parse": lambda *arguments: parse(*arguments[:1]),
    }
