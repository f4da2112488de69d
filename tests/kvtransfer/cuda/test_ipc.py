"""CUDA IPC: bytes, order, who is let in, and what happens when either side or the device does not play along."""

import asyncio

import numpy as np
import pytest

from common.cache.driver import HANDLE_BYTES, DriverError
from common.types.errors import StartupError
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Pair
from kvtransfer.transports.contract import ChecksumMismatch, TransportFailed
from kvtransfer.transports.cuda import ipc_fetch
from kvtransfer.transports.cuda.ipc import IPC_WELCOME_BYTES, CudaIpcLender, Offer
from kvtransfer.transports.cuda.ipc_fetch import CudaIpcFetcher
from kvtransfer.transports.hello import Hello, Malformed, Welcome
from tests.cache.fake_driver import FakeDriver, FakeMachine
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH
from tests.kvtransfer.cuda.devices import (
    DeviceGate,
    FakeQueue,
    IpcPair,
    device_pairs,
    device_pool,
    hello_to,
    lending_over_ipc,
    octets,
)
from tests.kvtransfer.pools import ATTEMPT, LAYOUT
from tests.kvtransfer.test_shm import pretend, tasks

either_device = pytest.mark.parametrize("apart", [False, True])


def check_copied(pair: IpcPair, pairs: tuple[Pair, ...], before: "np.typing.NDArray[np.uint8]") -> None:
    expected = before.copy()
    for each in pairs:
        expected[each.target] = octets(pair.source)[each.source.block]
    assert np.array_equal(octets(pair.own), expected)


@either_device
@pytest.mark.parametrize("block_bytes", [8, 4096, 65_544])
async def test_blocks_arrive_whole_and_nothing_else_changes(apart: bool, block_bytes: int) -> None:
    async with lending_over_ipc(num_blocks=8, block_bytes=block_bytes, apart=apart) as c:
        before = octets(c.own).copy()
        pairs = device_pairs(c.source, [0, 1, 2, 5, 4, 7], [3, 4, 5, 1, 10, 9])
        report = await c.fetcher.fetch(ATTEMPT, pairs)
        assert (report.num_bytes, report.transport) == (6 * block_bytes, "cuda_ipc")
        check_copied(c, pairs, before)
        assert c.fetcher.in_flight(ATTEMPT) == 0
        assert (await c.fetcher.fetch(ATTEMPT, ())).num_bytes == 0


@either_device
async def test_more_than_a_window(apart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc_fetch, "WINDOW_BYTES", 3 * 4096)
    async with lending_over_ipc(num_blocks=16, apart=apart) as c:
        before = octets(c.own).copy()
        pairs = device_pairs(c.source, range(16), range(15, -1, -1))
        await c.fetcher.fetch(ATTEMPT, pairs)
        check_copied(c, pairs, before)


@either_device
async def test_one_flipped_bit_is_caught_and_named(apart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc_fetch, "WINDOW_BYTES", 2 * 4096)
    async with lending_over_ipc(apart=apart) as c:
        pairs = device_pairs(c.source, range(6), range(6, 12))
        octets(c.source)[3, 1000] ^= 1
        with pytest.raises(ChecksumMismatch) as caught:
            await c.fetcher.fetch(ATTEMPT, pairs)
        assert (caught.value.position, caught.value.source) == (3, pairs[3].source)
        await c.fetcher.fetch(ATTEMPT, device_pairs(c.source, [3], [0]))


@pytest.mark.parametrize("block", [-1, 16, 2**32 - 1])
async def test_a_block_outside_the_lenders_pool_never_becomes_an_address(block: int) -> None:
    async with lending_over_ipc() as c:
        before = octets(c.own).copy()
        with pytest.raises(TransportFailed, match="outside its pool"):
            await c.fetcher.fetch(ATTEMPT, [Pair(BlockRef(block, 1, 0), 1)])
        assert np.array_equal(octets(c.own), before)


@either_device
async def test_measuring_touches_neither_pool(apart: bool) -> None:
    async with lending_over_ipc(apart=apart) as c:
        before = octets(c.own).copy()
        assert await c.fetcher.measure(64) > 0
        check_copied(c, (), before)


async def test_a_cancelled_copy_is_in_flight_until_the_device_is_done_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc_fetch, "WINDOW_BYTES", 4096)
    gate = DeviceGate(2)
    async with lending_over_ipc(gate=gate) as c:
        fetch = asyncio.create_task(c.fetcher.fetch(ATTEMPT, device_pairs(c.source, range(6), range(6))))
        await gate.held.wait()
        fetch.cancel()
        await asyncio.wait([fetch])
        assert c.fetcher.in_flight(ATTEMPT) == 1
        assert c.fetcher.in_flight(AttemptId("r-2", 1)) == 0
        fence = asyncio.create_task(c.fetcher.fence())
        await asyncio.sleep(0)
        assert not fence.done()
        gate.release()
        await fence
        assert c.fetcher.in_flight(ATTEMPT) == 0
        assert (octets(c.own)[4:6] == 0xEE).all(), "it went on after it was told to stop"


async def test_a_lender_that_is_gone_is_not_read_from_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc_fetch, "WINDOW_BYTES", 4096)
    gate = DeviceGate(2)
    async with lending_over_ipc(gate=gate) as c:
        fetch = asyncio.create_task(c.fetcher.fetch(ATTEMPT, device_pairs(c.source, range(6), range(6))))
        await gate.held.wait()
        lost = asyncio.Event()
        on_lost = c.fetcher._on_lost

        def noticed() -> None:
            on_lost()
            lost.set()

        asyncio.get_running_loop().add_reader(c.fetcher._sock, noticed)
        await c.lender.close()
        await lost.wait()
        gate.release()
        with pytest.raises(TransportFailed, match="closed the connection") as caught:
            await fetch
        assert caught.value.landed == {0, 1, 2}
        with pytest.raises(TransportFailed, match="closed the connection"):
            await c.fetcher.fetch(ATTEMPT, ())


async def test_no_ticket_no_handle() -> None:
    machine = FakeMachine()
    source, own = device_pool(FakeDriver(machine), 4, 64, seed=1), device_pool(FakeDriver(machine), 4, 64)
    lender = CudaIpcLender(source, EPOCH)
    await lender.start()
    for epoch, layout, num_bytes, ticket, reason in (
        (EPOCH, LAYOUT, 64, bytes(32), "ticket"),
        (EPOCH, LAYOUT, 64, lender.ticket(FETCHER_EPOCH + 1), "ticket"),
        (EPOCH + 1, LAYOUT, 64, lender.ticket(FETCHER_EPOCH), "restarted"),
        (EPOCH, "other", 64, lender.ticket(FETCHER_EPOCH), "laid out"),
        (EPOCH, LAYOUT, 32, lender.ticket(FETCHER_EPOCH), "laid out"),
    ):
        hello = Hello(epoch, FETCHER_EPOCH, layout, num_bytes, ticket)
        with pytest.raises(TransportFailed, match=reason):
            await CudaIpcFetcher.connect(lender.endpoint(), hello, own)
    await lender.close()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (201, "one PID namespace"),
        (205, "one IPC namespace"),
        (217, "cannot read each other"),
        (711, "as many peers as it can"),
        (801, "not support"),
        (999, "the driver refuses"),
    ],
)
async def test_a_handle_that_does_not_open_is_a_failure_with_its_reason(code: int, reason: str) -> None:
    machine = FakeMachine()
    lender = CudaIpcLender(device_pool(FakeDriver(machine), 4, 64, seed=1), EPOCH)
    own = device_pool(FakeDriver(machine, refusal=code), 4, 64)
    await lender.start()
    with pytest.raises(TransportFailed, match=reason):
        await CudaIpcFetcher.connect(lender.endpoint(), hello_to(lender, own), own)
    await lender.close()


async def test_a_copy_that_the_driver_refuses_is_left_only_once_the_device_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with lending_over_ipc(apart=True) as pair:
        waits: list[int] = []
        done: list[int] = []
        copy = FakeDriver.copy

        def refused(driver: FakeDriver, target: int, source: int, num_bytes: int, stream: int) -> None:
            if done:
                raise DriverError("cuMemcpyAsync", 719)
            done.append(num_bytes)
            copy(driver, target, source, num_bytes, stream)

        monkeypatch.setattr(FakeDriver, "copy", refused)
        monkeypatch.setattr(FakeQueue, "wait", lambda queue: waits.append(len(done)))
        with pytest.raises(TransportFailed, match="refuses the copy"):
            await pair.fetcher.fetch(ATTEMPT, device_pairs(pair.source, (1, 5), (0, 2)))
        assert waits == [1]
        assert pair.fetcher.in_flight(ATTEMPT) == 0


async def test_within_one_process_the_driver_opens_nothing() -> None:
    driver = FakeDriver(FakeMachine())
    lender = CudaIpcLender(device_pool(driver, 4, 64, seed=1), EPOCH)
    await lender.start()
    own = device_pool(driver, 4, 64)
    with pytest.raises(TransportFailed, match="belongs to this very process"):
        await CudaIpcFetcher.connect(lender.endpoint(), hello_to(lender, own), own)
    await lender.close()


async def test_a_device_that_exports_nothing_is_a_startup_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = device_pool(FakeDriver(FakeMachine()), 4, 64)
    pool.memory.pointer += 1
    with pytest.raises(StartupError, match="cannot be lent over CUDA IPC"):
        await CudaIpcLender(pool, EPOCH).start()


async def test_rubbish_is_only_ever_rubbish() -> None:
    own = device_pool(FakeDriver(FakeMachine()), 4, 64)
    hello = Hello(EPOCH, FETCHER_EPOCH, LAYOUT, 64, bytes(32))
    offer = Offer(bytes(16), bytes(HANDLE_BYTES)).pack()
    for answer, reason in (
        (b"", "protocol"),
        (b"x" * IPC_WELCOME_BYTES, "protocol"),
        (Welcome(0, 4, 64, EPOCH).pack(), "protocol"),
        (Welcome(0, 4, 32, EPOCH).pack() + offer, "protocol"),
        (Welcome(0, 0, 64, EPOCH).pack() + offer, "protocol"),
        (Welcome(0, 4, 64, EPOCH).pack() + offer, "cannot be opened here"),
        (Welcome(99).pack(), "unknown reason"),
    ):
        with pytest.raises(TransportFailed, match=reason):
            await CudaIpcFetcher.connect(await pretend(answer), hello, own)
    await asyncio.wait(tasks)
    tasks.clear()
    with pytest.raises(Malformed):
        Offer.unpack(offer[:-1])
    with pytest.raises(TransportFailed, match="cannot be reached"):
        await CudaIpcFetcher.connect("unix-abstract:nobody", hello, own)
