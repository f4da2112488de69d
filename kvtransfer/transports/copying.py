"""Copies runs of blocks between two pools of bytes and hashes what was written. Owns the inner loop of a copy.

Knows nothing of connections. Every block is hashed right after it was copied, while it is in the core's own cache.
"""

from collections.abc import Iterator, Sequence

import xxhash

from common.cache.checksum import block_checksum
from common.types.kv import Pair
from kvtransfer.transports.contract import Bytes, Digest

PIECE_BYTES = 512 << 10
"""What is copied before it is hashed: large enough to forget the interpreter, small enough for a second-level cache.

Measured: 256 KiB costs a tenth at blocks of 512 KiB, because hashing in pieces is slower than hashing at once.
"""


def runs(pairs: Sequence[Pair], max_blocks: int) -> Iterator[tuple[int, int, int]]:
    """(source block, target block, number of blocks) of stretches contiguous on both sides, in order."""
    source = target = length = 0
    for pair in pairs:
        block = pair.source.block
        if 0 < length < max_blocks and block == source + length and pair.target == target + length:
            length += 1
        else:
            if length:
                yield source, target, length
            source, target, length = block, pair.target, 1
    if length:
        yield source, target, length


def run_blocks(block_bytes: int) -> int:
    """How many blocks one run may hold."""
    return max(1, PIECE_BYTES // block_bytes)


def carry(own: Bytes, target: int, source: Bytes, start: int, length: int, digest: Digest) -> Sequence[int]:
    """Copies one run; the checksum of each block is of the bytes that arrived, never of the source."""
    if length == 1:
        block = own[target]
        if len(block) > PIECE_BYTES and digest is block_checksum:
            return (_carry_large(block, source[start]),)
        block[:] = source[start]
        return (digest(block),)
    blocks = own[target : target + length]
    blocks[:] = source[start : start + length]
    return [digest(block) for block in blocks]


def _carry_large(own: Bytes, source: Bytes) -> int:
    """A block that would fall out of the cache before it is hashed goes in pieces; its checksum is the same."""
    checksum = xxhash.xxh3_64()
    for start in range(0, len(own), PIECE_BYTES):
        piece = own[start : start + PIECE_BYTES]
        piece[:] = source[start : start + PIECE_BYTES]
        checksum.update(piece.data)
    return int(checksum.intdigest())
