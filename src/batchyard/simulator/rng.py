"""Seeded random generators: one for each decision, so that omitting one decision changes no other."""

from __future__ import annotations

import random


def seeded(*parts: object) -> random.Random:
    """Returns a generator that draws the same numbers for the same parts, in every process."""
    return random.Random("/".join(str(part) for part in parts))
