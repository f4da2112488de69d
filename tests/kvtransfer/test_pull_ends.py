"""How a puller's connections end: fences, new epochs, failures, and being forgotten."""

import asyncio

import numpy as np
import pytest

from common.types.ids import AttemptId
from kvtransfer.pull import Endpoint, TransportFailed
from tests.kvtransfer.carriers import EPOCH
from tests.kvtransfer.pools import ATTEMPT, LAYOUT, check_copied, descriptors, pairs_of, snapshot
from tests.kvtransfer.yard import pulling

OTHER = AttemptId("r-2", 1)


@pytest.mark.parametrize("kind", ["shm", "tcp"])
async def test_a_fence_for_one_attempt_leaves_a_healthy_connection_alone(kind: str) -> None:
    async with pulling(kind, held=kind) as yard:
        fetch = asyncio.create_task(
            yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs_of(yard.source, [1, 3, 5, 7], [7, 5, 3, 1]))
        )
        await yard.gates[kind].held.wait()
        fetch.cancel()
        await asyncio.wait([fetch])
        assert yard.puller.in_flight(ATTEMPT) == 1
        fence = asyncio.create_task(yard.puller.fence(yard.endpoint(), ATTEMPT))
        await asyncio.sleep(0)
        assert not fence.done()
        yard.gates[kind].release()
        await fence
        assert yard.puller.in_flight(ATTEMPT) == 0
        await yard.puller.fetch(yard.endpoint(), OTHER, pairs_of(yard.source, [2], [2]))
        assert len(yard.made) == 1


async def test_a_fence_ends_a_connection_that_hangs_and_others_go_on_over_a_new_one() -> None:
    async with pulling("memory", held="memory") as yard:
        before, pairs = snapshot(yard.own), pairs_of(yard.source, range(4), range(4))
        hung = asyncio.create_task(yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs))
        await yard.gates["memory"].held.wait()
        yard.gates["memory"].let_later_ones_pass()
        hung.cancel()
        await asyncio.wait([hung])
        await yard.puller.fence(yard.endpoint(), ATTEMPT)
        assert yard.puller.in_flight(ATTEMPT) == 0
        after = snapshot(yard.own)
        yard.gates["memory"].release()
        assert np.array_equal(yard.own.blocks, after)
        await yard.puller.fetch(yard.endpoint(), OTHER, pairs)
        check_copied(yard.source, yard.own, pairs, before)
        assert len(yard.made) == 2


async def test_a_fence_without_an_attempt_covers_the_whole_lender() -> None:
    async with pulling("shm", "tcp") as yard:
        pairs = pairs_of(yard.source, range(4), range(4))
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        await yard.puller.fence(yard.endpoint())
        for transport in yard.made:
            with pytest.raises(TransportFailed):
                await transport.fetch(ATTEMPT, pairs)
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        assert len(yard.made) == 4


async def test_a_new_epoch_ends_the_connections_of_the_old_one() -> None:
    async with pulling("shm", "tcp") as yard:
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, ())
        old = list(yard.made)
        with pytest.raises(TransportFailed, match="restarted"):
            await yard.puller.fetch(yard.endpoint(EPOCH + 1), ATTEMPT, ())
        for transport in old:
            await yard.closed[transport].wait()
        assert len(yard.made) == 2


async def test_connections_that_failed_give_everything_back() -> None:
    async with pulling("shm", "tcp") as yard:
        pairs = pairs_of(yard.source, range(4), range(4))
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        before, old = descriptors(), list(yard.made)
        for transport in old:
            await transport.fence()
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        for transport in old:
            await yard.closed[transport].wait()
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        assert descriptors() <= before


async def test_forgetting_while_connecting_fails_the_fetch_that_waits() -> None:
    async with pulling("shm") as yard:
        never = asyncio.Event()

        async def slow() -> tuple[str, list[tuple[str, str, bytes]]]:
            await never.wait()
            return LAYOUT, []

        endpoint = Endpoint("prefill:1", EPOCH, slow)
        fetch = asyncio.create_task(yard.puller.fetch(endpoint, ATTEMPT, ()))
        await asyncio.sleep(0)
        await yard.puller.forget(endpoint)
        with pytest.raises(TransportFailed, match="forgotten"):
            await fetch
        await yard.puller.forget(endpoint)
        await yard.puller.close()
        with pytest.raises(TransportFailed, match="stopping"):
            await yard.puller.fetch(yard.endpoint(), ATTEMPT, ())
