"""The IPv4 addresses of the nodes of multi-node jobs: consecutive ones in a block that no other attempt has.

Engines whose nodes share this machine's network give each node an address of the loopback network; engines with
networks of their own give each attempt a network. Both follow from the block, so that every node can know all
addresses before any of them exists."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from msgspec import Struct

# Of 127.0.0.0/8 without the part in which distributions and resolvers have addresses (127.0.0.1, .53; 127.0.1.1).
LOOPBACK_POOL = IPv4Network("127.64.0.0/10")
# For tests between networks (RFC 2544), and so in use neither on the internet nor in a lab's own network.
NETWORK_POOL = IPv4Network("198.18.0.0/15")
FIRST_HOST = 2  # in a block: the network's own address and its gateway come before
RESERVED = FIRST_HOST + 1  # addresses of a block that no node gets: those, and broadcast
MIN_BLOCK_SIZE = 16


class Block(Struct, frozen=True):
    """Consecutive addresses, as many as a power of two."""

    first: int
    size: int

    def overlaps(self, other: Block) -> bool:
        return self.first < other.first + other.size and other.first < self.first + self.size


def block_size(num_nodes: int) -> int:
    """Returns the size of the block for so many nodes."""
    return max(MIN_BLOCK_SIZE, 1 << (num_nodes + RESERVED - 1).bit_length())


def block_of(first_address: str, num_nodes: int) -> Block:
    """Returns the block in which node 0 has this address."""
    return Block(int(IPv4Address(first_address)) - FIRST_HOST, block_size(num_nodes))


def choose(pool: IPv4Network, num_nodes: int, attempt_id: str, taken: Iterable[Block]) -> str:
    """Returns the address of node 0 in a free block of the pool. The search begins where the attempt's id says, so that
    two services on one machine rarely choose the same. `taken`: the blocks of other attempts."""
    size, start = block_size(num_nodes), int(pool.network_address)
    count = pool.num_addresses // size
    begin = int.from_bytes(hashlib.blake2b(attempt_id.encode(), digest_size=8).digest(), "big")
    others = [block for block in taken if start <= block.first < start + pool.num_addresses]
    for step in range(count):
        block = Block(start + (begin + step) % count * size, size)
        if not any(block.overlaps(other) for other in others):
            return str(IPv4Address(block.first + FIRST_HOST))
    raise AssertionError(f"all {count} blocks of {pool} for {num_nodes} nodes are taken")


def address_of(first_address: str, node: int) -> str:
    return str(IPv4Address(first_address) + node)


def network_of(first_address: str, num_nodes: int) -> IPv4Network:
    """Returns the network of an attempt's block."""
    block = block_of(first_address, num_nodes)
    return IPv4Network((block.first, 33 - block.size.bit_length()))


def gateway_of(first_address: str, num_nodes: int) -> str:
    return str(network_of(first_address, num_nodes).network_address + 1)
