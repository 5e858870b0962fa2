"""Addresses of nodes: consecutive, in blocks that no two attempts share."""

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.attempt_node import MAX_NODES
from batchyard.core.model.node_addresses import (
    LOOPBACK_POOL,
    NETWORK_POOL,
    address_of,
    block_of,
    choose,
    gateway_of,
    network_of,
)


@given(st.lists(st.integers(1, MAX_NODES), min_size=1, max_size=12), st.sampled_from([LOOPBACK_POOL, NETWORK_POOL]))
def test_no_two_attempts_share_an_address(counts: list[int], pool: object) -> None:
    assert pool in (LOOPBACK_POOL, NETWORK_POOL)
    known = LOOPBACK_POOL if pool == LOOPBACK_POOL else NETWORK_POOL
    taken: list[tuple[str, int]] = []
    seen: set[str] = set()
    for count in counts:
        first = choose(known, count, "same attempt", [block_of(*one) for one in taken])
        own = {address_of(first, node) for node in range(count)}
        assert not own & seen
        network = network_of(first, count)
        assert network.subnet_of(known)
        assert gateway_of(first, count) not in own
        assert str(network.broadcast_address) not in own
        assert str(network.network_address) not in own
        taken.append((first, count))
        seen |= own


def test_a_block_is_where_the_attempt_says() -> None:
    assert choose(NETWORK_POOL, 3, "a", []) == choose(NETWORK_POOL, 3, "a", [])
    assert choose(NETWORK_POOL, 3, "a", []) != choose(NETWORK_POOL, 3, "b", [])
