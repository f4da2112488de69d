"""Copies blocks between two pools of bytes and sums up what was written. Owns the inner loop of a copy.

Knows nothing of connections. Where there is native code a block is copied and summed up in one go, and its bytes are
read once; elsewhere it is summed up right after it was copied, while it is in the core's own cache.
"""

from collections.abc import Iterable, Iterator, Sequence

import xxhash

from common.cache.checksum import block_checksum
from common.kernels.native.blocks import carry_blocks
from common.types.kv import Pair
from kvtransfer.transports.contract import Bytes, Digest
from kvtransfer.transports.inbox import Inbox

CALL_BYTES = 8 << 20
"""What one native call copies: long enough to forget the call, less than a millisecond for who wants it to stop."""
PIECE_BYTES = 512 << 10
"""What is copied before it is hashed: large enough to forget the interpreter, small enough for a second-level cache.

Measured: 256 KiB costs a tenth at blocks of 512 KiB, because hashing in pieces is slower than hashing at once.
"""


def carried(inbox: Inbox, source: Bytes, pairs: Sequence[Pair], digest: Digest) -> Iterator[Sequence[int]]:
    """Copies block after block; yields the checksums of the next ones, always of what arrived, never of the source."""
    at_once = max(1, CALL_BYTES // source.shape[1])
    for start in range(0, len(pairs), at_once):
        some = pairs[start : start + at_once]
        rows, places = inbox.place([pair.target for pair in some])
        blocks = [pair.source.block for pair in some]
        checksums = carry_blocks(rows, places, source, blocks) if digest is block_checksum else None
        if checksums is not None:
            yield checksums
            continue
        for first, row, length in runs(zip(blocks, places, strict=True), run_blocks(source.shape[1])):
            yield carry(rows, row, source, first, length, digest)


def runs(numbers: Iterable[tuple[int, int]], max_blocks: int) -> Iterator[tuple[int, int, int]]:
    """(source block, target row, number of blocks) of stretches contiguous on both sides, in order."""
    source = target = length = 0
    for block, row in numbers:
        if 0 < length < max_blocks and block == source + length and row == target + length:
            length += 1
        else:
            if length:
                yield source, target, length
            source, target, length = block, row, 1
    if length:
        yield source, target, length


def run_blocks(block_bytes: int) -> int:
    """How many blocks one run may hold."""
    return max(1, PIECE_BYTES // block_bytes)


def carry(own: Bytes, target: int, source: Bytes, start: int, length: int, digest: Digest) -> Sequence[int]:
    """Copies one run without native code."""
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
