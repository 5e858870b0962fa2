"""What nodes know of each other is a plain value."""

from batchyard.core.model.gang import Gang


def test_equal_gangs_are_equal() -> None:
    assert Gang(0, ("a", "b"), (1, 2)) == Gang(0, ("a", "b"), (1, 2)) != Gang(1, ("a", "b"), (1, 2))
