"""Every pair of host and device pools, over the transports that go by way of host memory."""

import asyncio

import numpy as np
import pytest

from common.cache.checksum import block_checksum
from common.types.errors import StartupError
from common.types.kv import BlockRef, Pair
from kvtransfer.transports.contract import Bytes, ChecksumMismatch, PoolBytes, TransportFailed
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.digests import device_checksum, digest_of
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.inbox import DeviceInbox
from kvtransfer.transports.pools import Pool
from kvtransfer.transports.shm import ShmLender
from kvtransfer.transports.table import connect, lending_transports, start_all, usable
from tests.cache.fake_driver import FakeDriver, FakeMachine
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH
from tests.kvtransfer.cuda.devices import device_pool, octets
from tests.kvtransfer.pools import ATTEMPT, make_pool

KINDS = ("host", "device")
BLOCK_BYTES = 4104


def make(kind: str, num_blocks: int, seed: int | None = None) -> Pool:
    if kind == "host":
        return make_pool(num_blocks, BLOCK_BYTES, seed=seed)
    return device_pool(FakeDriver(FakeMachine()), num_blocks, BLOCK_BYTES, seed=seed)


def rows(pool: Pool) -> Bytes:
    if isinstance(pool, DevicePool):
        return octets(pool)
    return pool.blocks


def pairs_of(pool: Pool, sources: "list[int] | range", targets: "list[int] | range") -> list[Pair]:
    digest = device_checksum if isinstance(pool, DevicePool) else block_checksum
    found = rows(pool)
    return [Pair(BlockRef(s, 1, digest(found[s])), t) for s, t in zip(sources, targets, strict=True)]


@pytest.mark.parametrize("name", ["tcp", "shm"])
@pytest.mark.parametrize("lent", KINDS)
@pytest.mark.parametrize("fetched", KINDS)
async def test_any_pool_to_any_pool(name: str, lent: str, fetched: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvtransfer.transports.outbox.DEVICE_BATCH_BYTES", 3 * BLOCK_BYTES)
    source, own = make(lent, 20, seed=1), make(fetched, 24)
    offered = lending_transports((name,), source, EPOCH, lambda *_: True)
    if name == "shm" and lent == "device":
        assert offered == ()
        return
    (lender,) = await start_all(offered, pytest.fail)
    hello = Hello(EPOCH, FETCHER_EPOCH, own.layout, BLOCK_BYTES, lender.ticket(FETCHER_EPOCH))
    fetcher = await connect(name, lender.endpoint(), hello, own, 5.0)
    assert await fetcher.measure(3) > 0
    expected = rows(own).copy()
    pairs = pairs_of(source, range(20), [*range(4, 14), *range(23, 13, -1)])
    for pair in pairs:
        expected[pair.target] = rows(source)[pair.source.block]
    await fetcher.fetch(ATTEMPT, pairs)
    assert np.array_equal(rows(own), expected)
    rows(source)[7, 5] ^= 1
    with pytest.raises(ChecksumMismatch) as caught:
        await fetcher.fetch(ATTEMPT, pairs)
    assert caught.value.position == 7
    await fetcher.close()
    await lender.close()


async def test_a_loan_that_ends_stops_a_device_lender_where_it_stands() -> None:
    source, own = make("device", 12, seed=1), make("device", 12)
    (lender,) = await start_all(lending_transports(("tcp",), source, EPOCH, lambda _, b, __: b < 5), pytest.fail)
    hello = Hello(EPOCH, FETCHER_EPOCH, own.layout, BLOCK_BYTES, lender.ticket(FETCHER_EPOCH))
    fetcher = await connect("tcp", lender.endpoint(), hello, own, 5.0)
    with pytest.raises(TransportFailed, match="does not lend") as caught:
        await fetcher.fetch(ATTEMPT, pairs_of(source, range(12), range(12)))
    assert caught.value.landed == set(range(5))
    assert np.array_equal(rows(own)[:5], rows(source)[:5])
    assert (rows(own)[5:] == 0xEE).all()
    await fetcher.close()
    await lender.close()


async def test_a_device_pool_offers_what_can_carry_it_and_the_rest_is_said_aloud() -> None:
    names = ("cuda_ipc", "shm", "tcp")
    source = device_pool(FakeDriver(FakeMachine()), 4, 64)
    host = make_pool(4, 64)
    assert [t.name for t in lending_transports(names, source, EPOCH, lambda *_: True)] == ["cuda_ipc", "tcp"]
    assert [t.name for t in lending_transports(names, host, EPOCH, lambda *_: True)] == ["shm", "tcp"]
    assert usable(names, host) == ("shm", "tcp")
    assert usable(names, source) == names
    source.memory.pointer += 1
    said: list[str] = []
    started = await start_all(lending_transports(names, source, EPOCH, lambda *_: True), said.append)
    assert [transport.name for transport in started] == ["tcp"]
    assert said == [
        "HAND-OFFS GO ANOTHER WAY: the KV pool cannot be lent over CUDA IPC: cuIpcGetMemHandle: invalid value"
    ]
    for transport in started:
        await transport.close()
    with pytest.raises(StartupError, match="over CUDA IPC"):
        await start_all(lending_transports(("cuda_ipc",), source, EPOCH, lambda *_: True), said.append)


async def test_a_transport_of_the_host_that_does_not_start_ends_those_that_did() -> None:
    first = ShmLender(make_pool(4, 64), EPOCH)
    with pytest.raises(StartupError):
        await start_all([first, ShmLender(PoolBytes(None, np.zeros((1, 8), np.uint8), "l"), EPOCH)], pytest.fail)
    hello = Hello(EPOCH, FETCHER_EPOCH, "l", 64, bytes(32))
    with pytest.raises(TransportFailed):
        await connect("shm", first.endpoint(), hello, make_pool(4, 64), 1.0)


async def test_a_host_pool_cannot_be_fetched_into_over_cuda_ipc() -> None:
    with pytest.raises(TransportFailed, match="not known here"):
        await connect("cuda_ipc", "unix-abstract:x", Hello(1, 2, "l", 8, bytes(32)), make_pool(2, 8), 1.0)


def test_both_sides_compute_the_same_sums() -> None:
    source = device_pool(FakeDriver(FakeMachine()), 3, 4096, seed=5)
    from common.kernels.blocks import block_checksums

    sums = block_checksums(source.blocks, source.upload([2, 0])).numpy().view(np.uint64).tolist()
    assert sums == [device_checksum(octets(source)[2]), device_checksum(octets(source)[0])]
    assert digest_of(0) is block_checksum
    with pytest.raises(TransportFailed, match="not known here"):
        digest_of(2)


def test_words_that_change_places_change_the_sum() -> None:
    block = np.arange(64, dtype=np.uint64)
    swapped = block.copy()
    swapped[[3, 9]] = swapped[[9, 3]]
    assert device_checksum(block.view(np.uint8)) != device_checksum(swapped.view(np.uint8))


def test_an_inbox_is_emptied_when_it_is_full() -> None:
    pool = device_pool(FakeDriver(FakeMachine()), 8, 64)
    inbox = DeviceInbox(pool, 3 * 64)
    for target, length in ((0, 2), (5, 2), (7, 1)):
        memory, rows = inbox.place(range(target, target + length))
        memory[list(rows)] = target
    inbox.settle()
    inbox.settle()
    assert octets(pool)[:, 0].tolist() == [0, 0, 0xEE, 0xEE, 0xEE, 5, 5, 7]
    with pytest.raises(ValueError, match="more blocks at a time"):
        inbox.place(range(4))


async def test_a_read_that_is_cancelled_leaves_its_memory_alone() -> None:
    from kvtransfer.transports.outbox import DeviceOutbox

    outbox = DeviceOutbox(device_pool(FakeDriver(FakeMachine()), 8, 64, seed=1))
    read = asyncio.create_task(outbox.read([1, 2]))
    await asyncio.sleep(0)
    read.cancel()
    await asyncio.wait([read])
    assert [bytes(view)[:2] for view in await outbox.read([3])] != []
