"""A module of its own, so that `python -m bench.run` and what it imports mean the same class."""


class BenchError(Exception):
    """The bench could not be run to its end; the text says why."""
