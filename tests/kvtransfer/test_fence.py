"""Who may still write: cancelled copies stay in flight, a fence ends them, and afterwards nothing is written."""

import asyncio

import numpy as np
import pytest

from common.types.ids import AttemptId
from kvtransfer.transports.contract import TransportFailed
from tests.kvtransfer.carriers import KINDS, carrying
from tests.kvtransfer.pools import ATTEMPT, check_copied, pairs_of, snapshot

every_transport = pytest.mark.parametrize("kind", KINDS)
OTHER = AttemptId("r-2", 1)


async def turns(count: int) -> None:
    """Lets everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


@every_transport
async def test_a_cancelled_fetch_is_in_flight_until_it_has_drained(kind: str) -> None:
    async with carrying(kind, num_free=2) as c:
        fetch = asyncio.create_task(c.fetcher.fetch(ATTEMPT, pairs_of(c.source, range(8), range(8, 0, -1))))
        await c.gate.held.wait()
        fetch.cancel()
        await asyncio.wait([fetch])
        assert fetch.cancelled()
        assert c.fetcher.in_flight(ATTEMPT) == 1
        assert c.fetcher.in_flight(OTHER) == 0
        drained = asyncio.create_task(c.fetcher.drained(ATTEMPT))
        await c.fetcher.drained(OTHER)
        await turns(20)
        assert not drained.done()
        c.gate.release()
        await drained
        assert c.fetcher.in_flight(ATTEMPT) == 0
        after = snapshot(c.own)
        await turns(20)
        assert np.array_equal(c.own.blocks, after)


@every_transport
async def test_the_connection_is_good_after_a_cancelled_fetch(kind: str) -> None:
    async with carrying(kind, num_free=2) as c:
        fetch = asyncio.create_task(c.fetcher.fetch(ATTEMPT, pairs_of(c.source, range(8), range(8, 0, -1))))
        await c.gate.held.wait()
        fetch.cancel()
        await asyncio.wait([fetch])
        c.gate.release()
        await c.fetcher.drained(ATTEMPT)
        before = snapshot(c.own)
        pairs = pairs_of(c.source, [9, 3], [3, 9])
        await c.fetcher.fetch(OTHER, pairs)
        check_copied(c.source, c.own, pairs, before)


@every_transport
async def test_after_a_fence_nothing_is_written(kind: str) -> None:
    async with carrying(kind, num_free=2) as c:
        pairs = pairs_of(c.source, range(8), range(8, 0, -1))
        fetch = asyncio.create_task(c.fetcher.fetch(ATTEMPT, pairs))
        await c.gate.held.wait()
        fence = asyncio.create_task(c.fetcher.fence())
        await turns(20)
        if kind != "memory":
            # The thread is in the middle of a block: a fence that returned now would be a lie.
            assert not fence.done()
            c.gate.release()
        await fence
        after = snapshot(c.own)
        with pytest.raises(TransportFailed) as caught:
            await fetch
        assert caught.value.landed >= {0, 1}
        assert c.fetcher.in_flight(ATTEMPT) == 0
        c.gate.release()
        c.source.blocks[:] = 0
        await turns(20)
        assert np.array_equal(c.own.blocks, after)
        for position in {*range(8)} - caught.value.landed - {max(caught.value.landed) + 1}:
            assert (c.own.blocks[pairs[position].target] == 0xEE).all()


@every_transport
async def test_a_fence_covers_a_copy_whose_fetch_was_cancelled(kind: str) -> None:
    async with carrying(kind, num_free=1) as c:
        fetch = asyncio.create_task(c.fetcher.fetch(ATTEMPT, pairs_of(c.source, range(8), range(8, 0, -1))))
        await c.gate.held.wait()
        fetch.cancel()
        await asyncio.wait([fetch])
        fence = asyncio.create_task(c.fetcher.fence())
        await turns(5)
        c.gate.release()
        await fence
        await c.fetcher.drained(ATTEMPT)
        after = snapshot(c.own)
        await turns(20)
        assert np.array_equal(c.own.blocks, after)


@every_transport
async def test_a_fenced_connection_takes_no_more_fetches(kind: str) -> None:
    async with carrying(kind) as c:
        await c.fetcher.fence()
        await c.fetcher.fence()
        before = snapshot(c.own)
        with pytest.raises(TransportFailed):
            await c.fetcher.fetch(ATTEMPT, pairs_of(c.source, [1], [1]))
        assert np.array_equal(c.own.blocks, before)
        await c.fetcher.close()
        await c.fetcher.close()


@pytest.mark.parametrize("kind", ["shm", "tcp"])
async def test_a_fetch_cancelled_in_the_queue_never_writes(kind: str) -> None:
    async with carrying(kind, num_free=1) as c:
        first = asyncio.create_task(c.fetcher.fetch(ATTEMPT, pairs_of(c.source, [0, 2], [0, 2])))
        await c.gate.held.wait()
        second = asyncio.create_task(c.fetcher.fetch(OTHER, pairs_of(c.source, [5, 7], [5, 7])))
        await turns(3)
        assert (c.fetcher.in_flight(ATTEMPT), c.fetcher.in_flight(OTHER)) == (1, 1)
        second.cancel()
        await asyncio.wait([second])
        assert c.fetcher.in_flight(OTHER) == 1
        c.gate.release()
        await first
        await c.fetcher.drained(OTHER)
        assert (c.own.blocks[[5, 7]] == 0xEE).all()


@every_transport
async def test_waiting_for_a_drain_may_be_given_up(kind: str) -> None:
    async with carrying(kind, num_free=1) as c:
        fetch = asyncio.create_task(c.fetcher.fetch(ATTEMPT, pairs_of(c.source, [0, 2, 4], [4, 2, 0])))
        await c.gate.held.wait()
        waits = [asyncio.create_task(c.fetcher.drained(ATTEMPT)) for _ in range(3)]
        await turns(3)
        waits[0].cancel()
        await asyncio.wait(waits[:1])
        assert c.fetcher.in_flight(ATTEMPT) == 1
        c.gate.release()
        await fetch
        await asyncio.gather(*waits[1:])
