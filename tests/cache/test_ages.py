"""Since when blocks lie in the cache or in quarantine."""

from common.cache.pool import BlockPool, Oldest
from common.cache.prefix import PrefixIndex

BLOCK_TOKENS = 2


def cache_one(pool: BlockPool, index: PrefixIndex, tokens: list[int], now: float) -> None:
    """A full block that comes, is named and is let go."""
    blocks = pool.allocate(1)
    assert blocks is not None
    digests: list[bytes] = []
    index.hash_blocks(index.root(b""), tokens, 1, digests)
    index.publish(index.root(b""), tokens, digests, 0, blocks[0])
    pool.now = now
    pool.release(blocks)


def test_the_oldest_is_the_first_to_go() -> None:
    index = PrefixIndex(b"k", "m", BLOCK_TOKENS)
    pool = BlockPool(2, index)
    assert pool.oldest() == Oldest(None, None)
    cache_one(pool, index, [1, 2], now=5.0)
    cache_one(pool, index, [3, 4], now=9.0)
    assert pool.oldest() == Oldest(5.0, None)
    blocks = pool.allocate(1)
    assert blocks is not None
    assert pool.oldest() == Oldest(9.0, None)
    pool.now = 11.0
    pool.quarantine(blocks)
    pool.now = 12.0
    assert pool.oldest() == Oldest(9.0, 11.0)
    pool.release(blocks)
    assert pool.oldest() == Oldest(9.0, None)
    pool.check()
