"""Copies runs of blocks between two pools of bytes and checks what was written. Owns the inner loop of a copy.

Knows nothing of connections. Every block is hashed right after it was copied, while it is in the core's own cache.
"""

from collections.abc import Callable, Iterator, Sequence

import xxhash

from common.cache.checksum import block_checksum
from common.types.kv import Pair
from kvtransfer.transports.contract import Bytes

PIECE_BYTES = 256 << 10
"""What is copied before it is hashed: large enough to forget the interpreter, small enough for a second-level cache."""

Carry = Callable[[Bytes, Bytes], list[int]]
"""Copies `[n, block_bytes]` to the first from the second; returns the checksum of each block as it was written."""


def runs(pairs: Sequence[Pair], max_blocks: int) -> Iterator[tuple[int, int, int, int]]:
    """(first position, source block, target block, number of blocks) of stretches contiguous on both sides."""
    position = 0
    while position < len(pairs):
        source, target = pairs[position].source.block, pairs[position].target
        length = 1
        limit = min(max_blocks, len(pairs) - position)
        while length < limit:
            pair = pairs[position + length]
            if pair.target != target + length or pair.source.block != source + length:
                break
            length += 1
        yield position, source, target, length
        position += length


def run_blocks(block_bytes: int) -> int:
    """How many blocks one run may hold."""
    return max(1, PIECE_BYTES // block_bytes)


def carry_verified(own: Bytes, source: Bytes) -> list[int]:
    """The carry of production: xxh3 over the bytes that arrived, never over the source."""
    if own.nbytes > PIECE_BYTES:
        return [_carry_large(own[i], source[i]) for i in range(len(own))]
    own[:] = source
    return [block_checksum(block) for block in own]


def _carry_large(own: Bytes, source: Bytes) -> int:
    checksum = xxhash.xxh3_64()
    for start in range(0, len(own), PIECE_BYTES):
        piece = own[start : start + PIECE_BYTES]
        piece[:] = source[start : start + PIECE_BYTES]
        checksum.update(piece.data)
    return int(checksum.intdigest())
