"""What every transport promises about bytes: the same assertions over each of them."""

import asyncio
from typing import Any

import numpy as np
import pytest

from common.types.ids import AttemptId
from common.types.kv import BlockRef, Pair
from kvtransfer.transports.contract import ChecksumMismatch, FetchReport, PoolBytes, TransportFailed, check_pairs
from tests.kvtransfer.carriers import KINDS, carrying
from tests.kvtransfer.pools import ATTEMPT, check_copied, make_pool, pairs_of, ref, snapshot

every_transport = pytest.mark.parametrize("kind", KINDS)


@every_transport
@pytest.mark.parametrize("block_bytes", [1, 63, 4096, 65_537, 300_001, 1_048_577])
async def test_blocks_arrive_whole_and_nothing_else_changes(kind: str, block_bytes: int) -> None:
    async with carrying(kind, num_blocks=8, block_bytes=block_bytes) as c:
        before = snapshot(c.own)
        pairs = pairs_of(c.source, [0, 1, 2, 5, 4, 7], [3, 4, 5, 1, 10, 9])
        report = await c.fetcher.fetch(ATTEMPT, pairs)
        assert (report.num_bytes, report.transport) == (6 * block_bytes, c.lender.name)
        check_copied(c.source, c.own, pairs, before)
        assert c.fetcher.in_flight(ATTEMPT) == 0


@every_transport
async def test_no_pairs_is_a_fetch_too(kind: str) -> None:
    async with carrying(kind) as c:
        before = snapshot(c.own)
        report = await c.fetcher.fetch(ATTEMPT, ())
        assert report.num_bytes == 0
        check_copied(c.source, c.own, (), before)


@every_transport
async def test_many_fetches_at_once(kind: str) -> None:
    async with carrying(kind, num_blocks=60) as c:
        before = snapshot(c.own)
        fetches = [pairs_of(c.source, range(i, i + 5), range(i + 2, i + 7)) for i in range(0, 60, 5)]
        attempts = [AttemptId(f"r-{i}", i) for i in range(len(fetches))]
        await asyncio.gather(*(c.fetcher.fetch(id, pairs) for id, pairs in zip(attempts, fetches, strict=True)))
        check_copied(c.source, c.own, [pair for pairs in fetches for pair in pairs], before)


@every_transport
async def test_one_flipped_bit_is_caught(kind: str) -> None:
    async with carrying(kind) as c:
        pairs = pairs_of(c.source, range(6), range(6, 12))
        c.source.blocks[3, 1000] ^= 1
        with pytest.raises(ChecksumMismatch) as caught:
            await c.fetcher.fetch(ATTEMPT, pairs)
        assert (caught.value.position, caught.value.source) == (3, pairs[3].source)
        assert c.fetcher.in_flight(ATTEMPT) == 0
        await c.fetcher.fetch(ATTEMPT, pairs_of(c.source, [3], [0]))


@every_transport
async def test_a_block_that_was_given_to_another_request_is_never_taken_for_the_old_one(kind: str) -> None:
    async with carrying(kind) as c:
        pairs = pairs_of(c.source, range(4), range(4))
        c.source.blocks[2] = 7
        c.loans.generations[2] = 2
        with pytest.raises((ChecksumMismatch, TransportFailed)) as caught:
            await c.fetcher.fetch(ATTEMPT, pairs)
        if isinstance(caught.value, TransportFailed):
            assert caught.value.landed == {0, 1}
        else:
            assert isinstance(caught.value, ChecksumMismatch)
            assert caught.value.position == 2


@pytest.mark.parametrize("kind", ["tcp", "memory"])
async def test_a_closed_loan_is_refused_and_the_connection_stays_good(kind: str) -> None:
    async with carrying(kind) as c:
        c.loans.open = False
        with pytest.raises(TransportFailed, match="does not lend") as caught:
            await c.fetcher.fetch(ATTEMPT, pairs_of(c.source, range(4), range(4)))
        assert caught.value.refused
        assert caught.value.landed == frozenset()
        c.loans.open = True
        await c.fetcher.fetch(ATTEMPT, pairs_of(c.source, range(4), range(4)))


@every_transport
@pytest.mark.parametrize("block", [-1, 16, 2**31, 2**32 - 1, 2**64, 2**80])
async def test_a_block_outside_the_lenders_pool_is_refused(kind: str, block: int) -> None:
    async with carrying(kind) as c:
        before = snapshot(c.own)
        pairs = (Pair(ref(c.source, 0), 0), Pair(BlockRef(block, 1, 0), 1))
        with pytest.raises(TransportFailed, match="outside its pool") as caught:
            await c.fetcher.fetch(ATTEMPT, pairs)
        assert caught.value.refused
        assert np.array_equal(c.own.blocks, before)
        assert c.loans.asked == 0


@every_transport
@pytest.mark.parametrize(("generation", "checksum"), [(-1, 0), (2**64, 0), (1, -1), (1, 2**64)])
async def test_numbers_beyond_64_bits_are_refused(kind: str, generation: int, checksum: int) -> None:
    async with carrying(kind) as c:
        with pytest.raises(TransportFailed, match="64 bits"):
            await c.fetcher.fetch(ATTEMPT, [Pair(BlockRef(0, generation, checksum), 0)])


@every_transport
async def test_measuring_touches_neither_pool(kind: str) -> None:
    async with carrying(kind) as c:
        before = snapshot(c.own)
        assert await c.fetcher.measure(4) > 0
        check_copied(c.source, c.own, (), before)
        await c.fetcher.fetch(ATTEMPT, pairs_of(c.source, [1], [1]))


def test_own_blocks_outside_the_pool_or_named_twice_are_a_bug() -> None:
    source = BlockRef(0, 1, 0)
    for targets in ([-1], [4], [1, 1]):
        with pytest.raises(ValueError, match="distinct blocks"):
            check_pairs([Pair(source, target) for target in targets], 4, 4)
    check_pairs([Pair(source, 0), Pair(source, 3)], 4, 4)
    check_pairs([], 4, 4)


def test_a_pool_is_contiguous_bytes() -> None:
    whole = make_pool(4, 8).blocks
    wrongs: list[Any] = [whole.reshape(-1), whole[:, ::2], whole.view(np.int8), whole[:0]]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="a pool"):
            PoolBytes(None, wrong, "layout")
    pool = PoolBytes(None, whole, "layout")
    assert (pool.num_blocks, pool.block_bytes) == (4, 8)


def test_reports_and_failures_say_what_happened() -> None:
    assert FetchReport(10, 0.5, "shm").transport == "shm"
    assert TransportFailed("gone").landed == frozenset()
    assert "position 2" in str(ChecksumMismatch(2, BlockRef(5, 6, 7)))
