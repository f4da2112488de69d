"""NCCL between two devices: bytes, refusals, and a way out of every wait."""

import asyncio
import contextlib
import ctypes
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
import pytest

from common.types.errors import StartupError
from common.types.kv import BlockRef, Pair
from kvtransfer.transports.contract import ChecksumMismatch, TransportFailed
from kvtransfer.transports.cuda import nccl
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.cuda.nccl import NcclLender
from kvtransfer.transports.cuda.nccl_fetch import NcclFetcher
from kvtransfer.transports.cuda.nccl_library import NcclLibrary
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.table import lending_transports
from tests.cache.fake_driver import FakeDriver, FakeMachine
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH
from tests.kvtransfer.cuda.devices import device_pairs, device_pool, octets
from tests.kvtransfer.cuda.fake_nccl import FakeNccl
from tests.kvtransfer.pools import ATTEMPT, LAYOUT, Loans

BLOCK_BYTES = 4096


@dataclass
class Rig:
    """A lender and a fetcher as if on two devices."""

    source: DevicePool
    own: DevicePool
    loans: Loans
    library: FakeNccl
    lender: NcclLender
    fetcher: NcclFetcher


def pools() -> tuple[DevicePool, DevicePool]:
    machine = FakeMachine()
    source = device_pool(FakeDriver(machine), 16, BLOCK_BYTES, seed=1)
    return source, device_pool(FakeDriver(machine, identity=b"1" * 16), 19, BLOCK_BYTES)


def hello(lender: NcclLender) -> Hello:
    return Hello(EPOCH, FETCHER_EPOCH, LAYOUT, BLOCK_BYTES, lender.ticket(FETCHER_EPOCH))


@contextlib.asynccontextmanager
async def rigged(monkeypatch: pytest.MonkeyPatch, window: int = 64, stall_s: float = 30.0) -> AsyncIterator[Rig]:
    monkeypatch.setattr(nccl, "WINDOW_BYTES", window * BLOCK_BYTES)
    source, own = pools()
    loans, library = Loans(), FakeNccl()
    lender = NcclLender(source, EPOCH, loans.lends, library=library)
    await lender.start()
    fetcher = await NcclFetcher.connect(lender.endpoint(), hello(lender), own, stall_s=stall_s, library=library)
    try:
        yield Rig(source, own, loans, library, lender, fetcher)
    finally:
        await fetcher.close()
        await lender.close()


def check_copied(rig: Rig, pairs: tuple[Pair, ...], before: "np.typing.NDArray[np.uint8]") -> None:
    expected = before.copy()
    for pair in pairs:
        expected[pair.target] = octets(rig.source)[pair.source.block]
    assert np.array_equal(octets(rig.own), expected)


@pytest.mark.parametrize("window", [1, 3, 64])
async def test_blocks_arrive_whole_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    async with rigged(monkeypatch, window) as rig:
        before = octets(rig.own).copy()
        pairs = device_pairs(rig.source, range(16), range(18, 2, -1))
        report = await rig.fetcher.fetch(ATTEMPT, pairs)
        assert (report.num_bytes, report.transport) == (16 * BLOCK_BYTES, "nccl")
        check_copied(rig, pairs, before)
        assert (await rig.fetcher.fetch(ATTEMPT, ())).num_bytes == 0


async def test_measuring_touches_neither_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rigged(monkeypatch) as rig:
        before = octets(rig.own).copy()
        rig.loans.open = False
        assert await rig.fetcher.measure(99) > 0
        check_copied(rig, (), before)


async def test_one_flipped_bit_is_caught_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rigged(monkeypatch, 4) as rig:
        pairs = device_pairs(rig.source, range(8), range(8))
        octets(rig.source)[5, 9] ^= 1
        with pytest.raises(ChecksumMismatch) as caught:
            await rig.fetcher.fetch(ATTEMPT, pairs)
        assert caught.value.position == 5
        await rig.fetcher.fetch(ATTEMPT, device_pairs(rig.source, [5], [0]))


async def test_what_is_lent_before_a_refusal_arrives_and_the_connection_stays_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with rigged(monkeypatch, 4) as rig:
        before = octets(rig.own).copy()
        pairs = device_pairs(rig.source, range(8), range(8))
        rig.loans.generations[6] = 2
        with pytest.raises(TransportFailed, match="does not lend") as caught:
            await rig.fetcher.fetch(ATTEMPT, pairs)
        assert caught.value.refused
        assert caught.value.landed == set(range(6))
        check_copied(rig, pairs[:6], before)
        with pytest.raises(TransportFailed, match="does not lend"):
            await rig.fetcher.fetch(ATTEMPT, pairs[6:7])
        await rig.fetcher.fetch(ATTEMPT, pairs[7:])


async def test_a_block_outside_the_lenders_pool_is_refused_here(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rigged(monkeypatch) as rig:
        with pytest.raises(TransportFailed, match="outside its pool"):
            await rig.fetcher.fetch(ATTEMPT, [Pair(BlockRef(16, 1, 0), 0)])


async def test_a_lender_that_stops_sending_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rigged(monkeypatch, stall_s=0.2) as rig:
        before = octets(rig.own).copy()
        rig.library.swallow = True
        with pytest.raises(TransportFailed, match="stopped sending") as caught:
            await rig.fetcher.fetch(ATTEMPT, device_pairs(rig.source, range(4), range(4)))
        assert caught.value.landed == frozenset()
        assert np.array_equal(octets(rig.own), before)
        with pytest.raises(TransportFailed, match="stopped sending"):
            await rig.fetcher.fetch(ATTEMPT, device_pairs(rig.source, [1], [1]))


async def test_half_a_window_reaches_no_pool_however_long_the_abort_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rigged(monkeypatch, stall_s=0.2) as rig:
        before = octets(rig.own).copy()
        rig.library.swallow, rig.library.lingering = True, threading.Event()
        with pytest.raises(TransportFailed, match="stopped sending"):
            await rig.fetcher.fetch(ATTEMPT, device_pairs(rig.source, range(4), range(4)))
        assert np.array_equal(octets(rig.own), before)
        rig.library.lingering.set()


async def test_a_fence_ends_a_copy_that_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rigged(monkeypatch, stall_s=1000.0) as rig:
        before = octets(rig.own).copy()
        rig.library.swallow = True
        fetch = asyncio.create_task(rig.fetcher.fetch(ATTEMPT, device_pairs(rig.source, range(4), range(4))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert rig.fetcher.in_flight(ATTEMPT) == 1
        fetch.cancel()
        await asyncio.wait([fetch])
        await rig.fetcher.fence()
        assert rig.fetcher.in_flight(ATTEMPT) == 0
        assert np.array_equal(octets(rig.own), before)


async def test_one_device_has_no_way_to_itself() -> None:
    machine = FakeMachine()
    source, own = (device_pool(FakeDriver(machine), 4, BLOCK_BYTES, seed=1) for _ in range(2))
    library = FakeNccl()
    lender = NcclLender(source, EPOCH, Loans().lends, library=library)
    await lender.start()
    with pytest.raises(TransportFailed, match="on one device"):
        await NcclFetcher.connect(lender.endpoint(), hello(lender), own, library=library)
    await lender.close()
    assert not library.pipes, "a name would wait for both sides for ever"


async def test_a_side_that_does_not_join_is_given_up() -> None:
    source, own = pools()
    library = FakeNccl(absent=True)
    lender = NcclLender(source, EPOCH, Loans().lends, library=library)
    await lender.start()
    with pytest.raises(TransportFailed, match="did not join"):
        await NcclFetcher.connect(lender.endpoint(), hello(lender), own, library=library)
    await lender.close()


async def test_no_ticket_no_communicator() -> None:
    source, own = pools()
    library = FakeNccl()
    lender = NcclLender(source, EPOCH, Loans().lends, library=library)
    await lender.start()
    wrong = Hello(EPOCH, FETCHER_EPOCH, LAYOUT, BLOCK_BYTES, bytes(32))
    with pytest.raises(TransportFailed, match="ticket"):
        await NcclFetcher.connect(lender.endpoint(), wrong, own, library=library)
    assert not library.pipes
    await lender.close()


async def test_beyond_loopback_it_must_be_allowed() -> None:
    source, _ = pools()
    with pytest.raises(StartupError, match="the nccl transport would be reachable"):
        await NcclLender(source, EPOCH, Loans().lends, host="0.0.0.0", library=FakeNccl()).start()


def test_it_is_only_offered_where_asked_for() -> None:
    source, _ = pools()
    names = ("cuda_ipc", "nccl", "tcp")
    assert [t.name for t in lending_transports(names, source, EPOCH, lambda *_: True)] == list(names)


async def test_where_it_is_not_installed_it_is_told() -> None:
    try:
        ctypes.CDLL("libnccl.so.2")
    except OSError:
        with pytest.raises(TransportFailed, match="not installed"):
            NcclLibrary()
        with pytest.raises(StartupError, match="Leave nccl out"):
            await NcclLender(pools()[0], EPOCH, Loans().lends).start()
    else:
        pytest.skip("this machine has NCCL")
