"""The block pool alone: references, seals, quarantine, eviction order."""

import pytest

from common.cache.pool import BlockPool, PoolCounts
from common.cache.prefix import PrefixIndex


def publish(index: PrefixIndex, root: bytes, token_ids: list[int], blocks: list[int]) -> None:
    digests: list[bytes] = []
    index.hash_blocks(root, token_ids, len(blocks), digests)
    for place, block in enumerate(blocks):
        assert index.publish(root, token_ids, digests, place, block) == block


def pool_with_index(num_blocks: int) -> tuple[BlockPool, PrefixIndex]:
    index = PrefixIndex(b"key", "model", 2)
    return BlockPool(num_blocks, index), index


def taken(pool: BlockPool, num: int) -> list[int]:
    blocks = pool.allocate(num)
    assert blocks is not None
    return blocks


def test_neighbours_come_first_and_every_allocation_has_its_own_generation() -> None:
    pool = BlockPool(4)
    assert taken(pool, 3) == [0, 1, 2]
    pool.release([0, 1, 2])
    assert taken(pool, 2) == [0, 1]
    assert [pool.generation(block) for block in range(4)] == [2, 2, 1, 0]


def test_too_much_is_refused_whole() -> None:
    pool = BlockPool(3)
    assert pool.allocate(4) is None
    assert pool.counts() == PoolCounts(3, 0, 0, 0, 0)
    assert pool.allocate(0) == []


def test_a_block_is_free_when_the_last_reference_goes() -> None:
    pool = BlockPool(2)
    blocks = taken(pool, 2)
    pool.retain(blocks)
    pool.release(blocks)
    assert pool.counts().num_owned == 2
    pool.release(blocks)
    assert pool.counts().num_free == 2
    with pytest.raises(RuntimeError, match="more often"):
        pool.release([0])


def test_a_free_block_cannot_be_retained() -> None:
    with pytest.raises(RuntimeError, match="holds nothing"):
        BlockPool(1).retain([0])


def test_a_named_block_is_cached_and_can_be_taken_up_again() -> None:
    pool, index = pool_with_index(3)
    blocks = taken(pool, 2)
    publish(index, index.root(b""), [1, 2, 3, 4], blocks)
    pool.release(blocks)
    assert pool.counts() == PoolCounts(1, 2, 0, 0, 0)
    assert pool.num_available == 3
    pool.retain(blocks)
    assert pool.counts() == PoolCounts(1, 0, 2, 0, 0)
    pool.check()


def test_eviction_takes_the_oldest_and_begins_at_the_leaf() -> None:
    pool, index = pool_with_index(6)
    root = index.root(b"")
    old, young = taken(pool, 3), taken(pool, 3)
    publish(index, root, [1, 2, 3, 4, 5, 6], old)
    publish(index, root, [9, 9, 8, 8, 7, 7], young)
    pool.release(old)
    pool.release(young)
    assert taken(pool, 2) == [1, 2]
    assert 0 in index
    assert 1 not in index
    assert taken(pool, 2) == [0, 5]
    pool.check()


def test_use_makes_young() -> None:
    pool, index = pool_with_index(2)
    first, second = taken(pool, 1), taken(pool, 1)
    publish(index, index.root(b"a"), [1, 1], first)
    publish(index, index.root(b"b"), [1, 1], second)
    pool.release(first)
    pool.release(second)
    pool.retain(first)
    pool.release(first)
    assert taken(pool, 1) == second


def test_a_sealed_block_cannot_be_released() -> None:
    pool = BlockPool(2)
    blocks = taken(pool, 2)
    pool.retain(blocks)
    pool.seal(blocks)
    pool.seal(blocks)
    assert pool.counts() == PoolCounts(0, 0, 0, 2, 0)
    with pytest.raises(RuntimeError, match="while sealed"):
        pool.release(blocks)
    with pytest.raises(RuntimeError, match="cannot be sealed"):
        pool.seal(blocks)
    pool.unseal(blocks)
    pool.release(blocks)
    assert pool.counts().num_sealed == 2
    pool.unseal(blocks)
    assert pool.counts().num_owned == 2
    with pytest.raises(RuntimeError, match="not sealed"):
        pool.unseal(blocks)


def test_quarantine_ends_in_free() -> None:
    pool = BlockPool(2)
    blocks = taken(pool, 2)
    pool.quarantine(blocks)
    assert pool.counts() == PoolCounts(0, 0, 0, 0, 2)
    assert pool.allocate(1) is None
    with pytest.raises(RuntimeError, match="cannot be sealed"):
        pool.seal(blocks)
    pool.release(blocks)
    assert pool.counts().num_free == 2
    pool.check()


def test_what_others_see_cannot_be_quarantined() -> None:
    pool, index = pool_with_index(2)
    shared, named = taken(pool, 1), taken(pool, 1)
    pool.retain(shared)
    publish(index, index.root(b""), [1, 2], named)
    for blocks in (shared, named):
        with pytest.raises(RuntimeError, match="shared"):
            pool.quarantine(blocks)


def test_check_sees_a_block_in_two_places() -> None:
    pool = BlockPool(3)
    taken(pool, 1)
    pool.check()
    pool._free.append(0)
    with pytest.raises(RuntimeError, match="not whole"):
        pool.check()


def test_check_sees_a_lost_block() -> None:
    pool = BlockPool(3)
    pool._free.pop()
    with pytest.raises(RuntimeError, match="not whole"):
        pool.check()
