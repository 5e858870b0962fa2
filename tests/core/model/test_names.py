"""Keys and ids, values in, values out."""

import pytest

from batchyard.core.model import names


@pytest.mark.parametrize("parent_key", [1, 7, 2**40])
def test_the_keys_of_an_arrays_children_follow_its_own(parent_key: int) -> None:
    assert [names.child_key(parent_key, index) for index in range(3)] == [
        parent_key + 1,
        parent_key + 2,
        parent_key + 3,
    ]


def test_a_childs_index_is_found_from_its_key() -> None:
    assert [names.child_index(7, names.child_key(7, index)) for index in (0, 1, 9_999)] == [0, 1, 9_999]
