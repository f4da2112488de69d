"""The in-process transport under each kind of fault: what arrives is right or refused, on a clock that tests move."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.types.errors import StartupError
from kvtransfer.transports.contract import ChecksumMismatch, FetchingTransport, PoolBytes, TransportFailed
from kvtransfer.transports.faults import Delivery, Faults, Frame, Plan, undisturbed
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.memory import MemoryFabric, MemoryFetcher, MemoryLender
from tests.kvtransfer.carriers import EPOCH, hello_for
from tests.kvtransfer.pools import ATTEMPT, LAYOUT, Loans, check_copied, make_pool, pairs_of, snapshot

FRAMES = [Frame(i, bytes([i]) * 50) for i in range(40)]


async def joined(plan: Plan) -> tuple[MemoryFabric, PoolBytes, PoolBytes, FetchingTransport]:
    fabric, source, own = MemoryFabric(plan), make_pool(8, 100, seed=1), make_pool(8, 100)
    lender = MemoryLender(fabric, source, EPOCH, Loans().lends)
    await lender.start()
    return fabric, source, own, await MemoryFetcher.connect(fabric, lender.endpoint(), hello_for(lender, own), own)


def late(*seconds: float) -> Plan:
    return lambda frames: [Delivery(delay, frame) for delay, frame in zip(seconds, frames, strict=True)]


async def test_a_lost_frame_fails_the_fetch_with_the_rest_landed() -> None:
    _, source, own, fetcher = await joined(lambda frames: undisturbed([*frames[:2], *frames[3:]]))
    with pytest.raises(TransportFailed, match="stopped sending") as caught:
        await fetcher.fetch(ATTEMPT, pairs_of(source, range(5), range(5)))
    assert caught.value.landed == {0, 1, 3, 4}
    assert (own.blocks[2] == 0xEE).all()


async def test_frames_may_come_twice_and_in_any_order() -> None:
    _, source, own, fetcher = await joined(lambda frames: undisturbed([*reversed(frames), *frames]))
    before, pairs = snapshot(own), pairs_of(source, range(5), [7, 2, 0, 1, 4])
    await fetcher.fetch(ATTEMPT, pairs)
    check_copied(source, own, pairs, before)


async def test_a_second_copy_of_a_frame_is_not_written_once_the_fetch_is_over() -> None:
    fabric, source, own, fetcher = await joined(lambda frames: [*undisturbed(frames), Delivery(5.0, frames[0])])
    await fetcher.fetch(ATTEMPT, pairs_of(source, [1], [1]))
    own.blocks[1] = 3
    fabric.advance(10.0)
    assert (own.blocks[1] == 3).all()


async def test_a_frame_that_is_cut_short_or_flipped_is_not_taken() -> None:
    def cut(frames: Sequence[Frame]) -> list[Delivery]:
        return undisturbed([frames[0], Frame(1, frames[1].data[:-1])])

    _, source, own, fetcher = await joined(cut)
    with pytest.raises(TransportFailed, match="something else"):
        await fetcher.fetch(ATTEMPT, pairs_of(source, [0, 1], [0, 1]))
    assert (own.blocks[1] == 0xEE).all()
    _, source, own, fetcher = await joined(Faults(seed=1, flips=1.0))
    with pytest.raises(ChecksumMismatch):
        await fetcher.fetch(ATTEMPT, pairs_of(source, [0, 1], [0, 1]))


async def test_late_frames_arrive_when_the_clock_says_so() -> None:
    fabric, source, _, fetcher = await joined(late(0.0, 1.0, 2.5))
    fetch = asyncio.create_task(fetcher.fetch(ATTEMPT, pairs_of(source, range(3), range(3))))
    await asyncio.sleep(0)
    fabric.advance(1.5)
    assert fetcher.in_flight(ATTEMPT) == 1
    fabric.advance(1.0)
    report = await fetch
    assert report.seconds == 2.5


async def test_silence_longer_than_the_limit_ends_the_fetch() -> None:
    fabric, source, own, fetcher = await joined(late(0.0, 2.9, 6.0))
    fetch = asyncio.create_task(fetcher.fetch(ATTEMPT, pairs_of(source, range(3), range(3))))
    await asyncio.sleep(0)
    fabric.advance(20.0)
    with pytest.raises(TransportFailed, match="stopped sending") as caught:
        await fetch
    assert caught.value.landed == {0, 1}
    assert (own.blocks[2] == 0xEE).all()


async def test_a_cancelled_copy_writes_until_it_is_fenced() -> None:
    fabric, source, own, fetcher = await joined(late(0.0, 1.0, 2.0))
    fetch = asyncio.create_task(fetcher.fetch(ATTEMPT, pairs_of(source, range(3), range(3))))
    await asyncio.sleep(0)
    fetch.cancel()
    await asyncio.wait([fetch])
    fabric.advance(1.0)
    assert np.array_equal(own.blocks[1], source.blocks[1])
    assert fetcher.in_flight(ATTEMPT) == 1
    await fetcher.fence()
    fabric.advance(1.0)
    assert (own.blocks[2] == 0xEE).all()
    assert fetcher.in_flight(ATTEMPT) == 0


async def test_a_lender_that_left_cannot_be_reached() -> None:
    fabric, source, own = MemoryFabric(), make_pool(4, 100, seed=1), make_pool(4, 100)
    lender = MemoryLender(fabric, source, EPOCH, Loans().lends)
    await lender.start()
    with pytest.raises(StartupError, match="one epoch"):
        await MemoryLender(fabric, source, EPOCH, Loans().lends).start()
    with pytest.raises(TransportFailed, match="ticket"):
        await MemoryFetcher.connect(fabric, lender.endpoint(), Hello(1, 2, LAYOUT, 100, bytes(32)), own)
    fetcher = await MemoryFetcher.connect(fabric, lender.endpoint(), hello_for(lender, own), own)
    await lender.close()
    with pytest.raises(TransportFailed, match="closed"):
        await fetcher.fetch(ATTEMPT, pairs_of(source, [0], [0]))
    with pytest.raises(TransportFailed, match="reached"):
        await MemoryFetcher.connect(fabric, lender.endpoint(), hello_for(lender, own), own)


chances = st.floats(0.0, 1.0)


@settings(max_examples=30)
@given(st.integers(0, 2**32), chances, chances, chances, chances, chances, chances)
def test_the_same_seed_does_the_same(seed: int, a: float, b: float, c: float, d: float, e: float, f: float) -> None:
    assert Faults(seed, a, b, c, d, e, f)(FRAMES) == Faults(seed, a, b, c, d, e, f)(FRAMES)


def test_each_chance_does_its_own_thing() -> None:
    assert Faults(1)(FRAMES) == undisturbed(FRAMES)
    assert Faults(1, loss=1.0)(FRAMES) == []
    assert len(Faults(1, duplication=1.0)(FRAMES)) == 80
    shuffled = Faults(1, reordering=0.5)(FRAMES)
    assert shuffled != undisturbed(FRAMES)
    assert sorted(delivery.frame.position for delivery in shuffled) == list(range(40))
    assert all(len(delivery.frame.data) < 50 for delivery in Faults(1, truncation=1.0)(FRAMES))
    assert all(0.0 <= delivery.delay_s <= 7.0 for delivery in Faults(1, delay=1.0, max_delay_s=7.0)(FRAMES))
    for delivery, frame in zip(Faults(1, flips=1.0)(FRAMES), FRAMES, strict=True):
        changed = [x ^ y for x, y in zip(delivery.frame.data, frame.data, strict=True) if x != y]
        assert [bin(change).count("1") for change in changed] == [1]


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_happens_a_fetch_ends_and_nothing_wrong_counts_as_landed(seed: int) -> None:
    plan = Faults(seed, loss=0.05, duplication=0.2, reordering=0.3, truncation=0.03, flips=0.03, delay=0.5)
    fabric, source, own, fetcher = await joined(plan)
    before, pairs = snapshot(own), pairs_of(source, range(8), range(7, -1, -1))
    fetch = asyncio.create_task(fetcher.fetch(ATTEMPT, pairs))
    for _ in range(12):
        await asyncio.sleep(0)
        fabric.advance(1.0)
    (outcome,) = await asyncio.gather(fetch, return_exceptions=True)
    if isinstance(outcome, TransportFailed):
        for position in outcome.landed:
            assert np.array_equal(own.blocks[pairs[position].target], source.blocks[pairs[position].source.block])
    elif isinstance(outcome, ChecksumMismatch):
        assert not np.array_equal(own.blocks[pairs[outcome.position].target], source.blocks[outcome.source.block])
    else:
        check_copied(source, own, pairs, before)
    assert fetcher.in_flight(ATTEMPT) == 0
    after = snapshot(own)
    fabric.advance(60.0)
    assert np.array_equal(own.blocks, after)
