"""The tables around service jobs begin empty."""

from batchyard.core.state.service_table import Services


def test_nothing_is_there_at_first() -> None:
    assert Services().environments == {}
