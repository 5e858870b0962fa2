"""Drawing lots: a generator for each thing that is decided, so that leaving one thing out changes no other."""

from __future__ import annotations

import random


def lot(*parts: object) -> random.Random:
    """The same parts give the same draws, in every process."""
    return random.Random("/".join(str(part) for part in parts))
