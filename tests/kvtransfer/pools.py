"""Pools to copy between: memfd-backed like a worker's, filled from a seed."""

import gc
import mmap
import os
import weakref
from collections.abc import Iterable, Sequence

import numpy as np

from common.cache.checksum import block_checksum
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Pair
from kvtransfer.transports.contract import Bytes, PoolBytes

LAYOUT = "layout-1"
ATTEMPT = AttemptId("r-1", 1)


def make_pool(num_blocks: int, block_bytes: int, *, seed: int | None = None, layout: str = LAYOUT) -> PoolBytes:
    """Random contents from a seed; without one every byte is 0xEE, so that an unwanted write shows."""
    fd = os.memfd_create("test-pool", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.posix_fallocate(fd, 0, num_blocks * block_bytes)
    memory = mmap.mmap(fd, num_blocks * block_bytes)
    blocks = np.frombuffer(memory, np.uint8).reshape(num_blocks, block_bytes)
    weakref.finalize(blocks, os.close, fd)
    if seed is None:
        blocks[:] = 0xEE
    else:
        blocks[:] = np.random.default_rng(seed).integers(0, 256, blocks.shape, np.uint8)
    return PoolBytes(fd, blocks, layout)


class Loans:
    """Which blocks are lent to whom, as a prefill worker would answer."""

    def __init__(self) -> None:
        self.generations: dict[int, int] = {}
        self.open = True
        self.asked = 0

    def lends(self, attempt: AttemptId, block: int, generation: int) -> bool:
        self.asked += 1
        return self.open and attempt.request_id.startswith("r-") and self.generations.get(block, 1) == generation


def ref(pool: PoolBytes, block: int, generation: int = 1) -> BlockRef:
    return BlockRef(block, generation, block_checksum(pool.blocks[block]))


def pairs_of(pool: PoolBytes, sources: Iterable[int], targets: Iterable[int]) -> tuple[Pair, ...]:
    return tuple(Pair(ref(pool, source), target) for source, target in zip(sources, targets, strict=True))


def snapshot(pool: PoolBytes) -> Bytes:
    return pool.blocks.copy()


def check_copied(source: PoolBytes, own: PoolBytes, pairs: Sequence[Pair], before: Bytes) -> None:
    """Every target holds its source, and nothing else changed."""
    expected = before.copy()
    for pair in pairs:
        expected[pair.target] = source.blocks[pair.source.block]
    assert np.array_equal(own.blocks, expected)


def descriptors() -> int:
    """Open ones in this process, after what earlier tests left to the garbage collector is gone."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
