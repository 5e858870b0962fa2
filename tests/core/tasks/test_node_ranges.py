"""Which range has a node, where several hold it (AWS Batch behaviour 8.1, 14)."""

import pytest

from batchyard.core.tasks.node_ranges import nodes_of_each, parse_target


@pytest.mark.parametrize(
    ("targets", "owners"),
    [
        (["0", "1:"], "0111"),
        ([":", "1:2"], "0110"),  # the inner one wins
        (["1:2", ":"], "1001"),  # also where it comes first
        (["0:2", "1:3"], "0111"),  # of others the later one
        (["1:3", "0:2"], "1110"),
        ([":", "1:3", "2"], "0121"),
        (["0:1", "0:1", "2:"], "1122"),
    ],
)
def test_each_node_has_one_range(targets: list[str], owners: str) -> None:
    found = nodes_of_each([parse_target(text) for text in targets], 4)
    shown = ["?"] * 4
    for at, ranges in enumerate(found):
        for start, stop in ranges:
            shown[start:stop] = [str(at)] * (stop - start)
    assert "".join(shown) == owners


def test_ranges_of_nodes_are_kept_together() -> None:
    assert nodes_of_each([parse_target(":"), parse_target("2")], 5) == [((0, 2), (3, 5)), ((2, 3),)]
