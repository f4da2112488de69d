"""Real lenders in processes of their own that are killed or frozen in the middle of a copy."""

import asyncio
import signal

import numpy as np
import pytest

from kvtransfer.transports.contract import TransportFailed
from kvtransfer.transports.shm_fetch import ShmFetcher
from kvtransfer.transports.tcp_fetch import TcpFetcher
from tests.kvtransfer.carriers import Gate, connect
from tests.kvtransfer.lender_process import lending_process
from tests.kvtransfer.pools import ATTEMPT, check_copied, make_pool, pairs_of, snapshot

NUM_BLOCKS = 48
BLOCK_BYTES = 1_000_003
"""48 MB: several times what the kernel buffers between two processes."""


@pytest.mark.parametrize("kind", ["shm", "tcp"])
async def test_blocks_cross_between_processes(kind: str) -> None:
    async with lending_process(kind, 16, 70_001) as child:
        own = make_pool(16, 70_001)
        fetcher = await connect(kind, child.endpoint, child.hello(own), own, Gate(None))
        before = snapshot(own)
        pairs = pairs_of(child.source, range(16), [*range(8, 16), *range(7, -1, -1)])
        await fetcher.fetch(ATTEMPT, pairs)
        check_copied(child.source, own, pairs, before)
        await fetcher.close()


async def test_over_shm_a_copy_survives_the_lenders_death() -> None:
    async with lending_process("shm", 16, 70_001) as child:
        own, gate = make_pool(16, 70_001), Gate(3)
        before = snapshot(own)
        fetcher = await connect("shm", child.endpoint, child.hello(own), own, gate)
        pairs = pairs_of(child.source, range(16), range(15, -1, -1))
        fetch = asyncio.create_task(fetcher.fetch(ATTEMPT, pairs))
        await gate.held.wait()
        await child.kill()
        gate.release()
        await fetch
        check_copied(child.source, own, pairs, before)
        await fetcher.close()


async def test_over_shm_a_dead_lenders_memory_is_given_back() -> None:
    async with lending_process("shm", 16, 70_001) as child:
        own = make_pool(16, 70_001)
        fetcher = await ShmFetcher.connect(child.endpoint, child.hello(own), own, linger_s=0.0)
        await fetcher.fetch(ATTEMPT, pairs_of(child.source, [1], [1]))
        await child.kill()
        await fetcher.released.wait()
        with pytest.raises(TransportFailed, match="closed"):
            await fetcher.fetch(ATTEMPT, pairs_of(child.source, [1], [1]))
        await fetcher.close()


async def test_over_tcp_a_killed_lender_ends_the_copy_with_what_had_landed() -> None:
    async with lending_process("tcp", NUM_BLOCKS, BLOCK_BYTES) as child:
        own, gate = make_pool(NUM_BLOCKS, BLOCK_BYTES), Gate(3)
        fetcher = await connect("tcp", child.endpoint, child.hello(own), own, gate)
        pairs = pairs_of(child.source, range(NUM_BLOCKS), range(NUM_BLOCKS))
        fetch = asyncio.create_task(fetcher.fetch(ATTEMPT, pairs))
        await gate.held.wait()
        await child.kill()
        gate.release()
        with pytest.raises(TransportFailed, match=r"closed the connection|stopped sending") as caught:
            await fetch
        landed = caught.value.landed
        assert {0, 1, 2} <= landed < set(range(NUM_BLOCKS))
        for position in landed:
            assert np.array_equal(own.blocks[position], child.source.blocks[position])
        assert fetcher.in_flight(ATTEMPT) == 0
        with pytest.raises(TransportFailed, match=r"closed the connection|stopped sending"):
            await fetcher.fetch(ATTEMPT, pairs[:1])
        await fetcher.close()


async def test_over_tcp_a_frozen_lender_is_found_and_a_fence_does_not_wait_for_it() -> None:
    async with lending_process("tcp", NUM_BLOCKS, BLOCK_BYTES) as child:
        own = make_pool(NUM_BLOCKS, BLOCK_BYTES)
        patient = await connect("tcp", child.endpoint, child.hello(own), own, Gate(None), stall_s=1000.0)
        hasty = await connect("tcp", child.endpoint, child.hello(own), own, Gate(None), stall_s=1.0)
        pairs = pairs_of(child.source, range(NUM_BLOCKS), range(NUM_BLOCKS))
        await patient.fetch(ATTEMPT, pairs)
        child.signal(signal.SIGSTOP)
        with pytest.raises(TransportFailed, match="stopped sending"):
            await hasty.fetch(ATTEMPT, pairs)
        fetch = asyncio.create_task(patient.fetch(ATTEMPT, pairs))
        await asyncio.sleep(0)
        fetch.cancel()
        await asyncio.wait([fetch])
        assert patient.in_flight(ATTEMPT) == 1
        await patient.fence()
        assert patient.in_flight(ATTEMPT) == 0
        after = snapshot(own)
        child.signal(signal.SIGCONT)
        late = await connect("tcp", child.endpoint, child.hello(own), own, Gate(None))
        assert await late.measure(2) > 0
        assert np.array_equal(own.blocks, after)
        for fetcher in (patient, hasty, late):
            await fetcher.close()


async def test_over_tcp_a_lender_frozen_before_the_hello_is_not_waited_for() -> None:
    async with lending_process("tcp", 4, 100) as child:
        own = make_pool(4, 100)
        child.signal(signal.SIGSTOP)
        with pytest.raises(TransportFailed, match="did not answer"):
            await TcpFetcher.connect(child.endpoint, child.hello(own), own, stall_s=0.2)


@pytest.mark.parametrize("kind", ["shm", "tcp"])
async def test_a_dead_lender_cannot_be_reached(kind: str) -> None:
    async with lending_process(kind, 4, 100) as child:
        own = make_pool(4, 100)
        await child.kill()
        with pytest.raises(TransportFailed, match="reached"):
            await connect(kind, child.endpoint, child.hello(own), own, Gate(None))
