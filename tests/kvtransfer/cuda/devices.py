"""Pools on devices that need no GPU, and queues whose end a test can hold back."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np

from common.cache.device_memory import DeviceMemory
from common.types.kv import BlockRef, Pair
from kvtransfer.transports.contract import Bytes
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.cuda.ipc import CudaIpcLender
from kvtransfer.transports.cuda.ipc_fetch import CudaIpcFetcher
from kvtransfer.transports.digests import device_checksum
from kvtransfer.transports.hello import Hello
from tests.cache.fake_driver import FakeDriver, FakeMachine
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH
from tests.kvtransfer.pools import LAYOUT


class FakeQueue:
    """Does everything at once; `wait` returns once the gate is open."""

    stream = 0

    def __init__(self, gate: "DeviceGate | None" = None) -> None:
        self._gate = gate

    def order(self) -> AbstractContextManager[object]:
        return nullcontext()

    def wait(self) -> None:
        if self._gate is not None:
            self._gate.wait()


class DeviceGate:
    """Lets `num_free` waits pass and holds the next one until `release`."""

    def __init__(self, num_free: int) -> None:
        self._num_free = num_free
        self._go = threading.Event()
        self._loop = asyncio.get_running_loop()
        self.held = asyncio.Event()

    def wait(self) -> None:
        if self._num_free:
            self._num_free -= 1
            return
        self._loop.call_soon_threadsafe(self.held.set)
        self._go.wait(60)

    def release(self) -> None:
        self._go.set()


def device_pool(
    driver: FakeDriver, num_blocks: int, block_bytes: int, *, seed: int | None = None, gate: DeviceGate | None = None
) -> DevicePool:
    """Random contents from a seed; without one every byte is 0xEE. Has one more block, which is not lent."""
    memory = DeviceMemory(driver, (num_blocks + 1) * block_bytes)
    memory.content.fill_(0xEE)
    pool = DevicePool(
        memory, memory.content[: num_blocks * block_bytes].view(num_blocks, -1), LAYOUT, lambda: FakeQueue(gate)
    )
    if seed is not None:
        octets(pool)[:] = np.random.default_rng(seed).integers(0, 256, (num_blocks, block_bytes), np.uint8)
    return pool


def octets(pool: DevicePool) -> Bytes:
    found: Bytes = pool.blocks.numpy()
    return found


def device_pairs(pool: DevicePool, sources: Iterable[int], targets: Iterable[int]) -> tuple[Pair, ...]:
    rows = octets(pool)
    return tuple(
        Pair(BlockRef(source, 1, device_checksum(rows[source])), target)
        for source, target in zip(sources, targets, strict=True)
    )


def hello_to(lender: CudaIpcLender, own: DevicePool) -> Hello:
    return Hello(EPOCH, FETCHER_EPOCH, own.layout, own.block_bytes, lender.ticket(FETCHER_EPOCH))


@dataclass
class IpcPair:
    """A lender and a fetcher as if in two processes; `apart` on two devices."""

    source: DevicePool
    own: DevicePool
    lender: CudaIpcLender
    fetcher: CudaIpcFetcher
    machine: FakeMachine = field(default_factory=FakeMachine)


@contextlib.asynccontextmanager
async def lending_over_ipc(
    *, num_blocks: int = 16, block_bytes: int = 4096, apart: bool = False, gate: DeviceGate | None = None
) -> AsyncIterator[IpcPair]:
    machine = FakeMachine()
    here = FakeDriver(machine, identity=bytes([apart]) * 16)
    source = device_pool(FakeDriver(machine), num_blocks, block_bytes, seed=1)
    own = device_pool(here, num_blocks + 3, block_bytes, gate=gate)
    lender = CudaIpcLender(source, EPOCH)
    await lender.start()
    fetcher = await CudaIpcFetcher.connect(lender.endpoint(), hello_to(lender, own), own)
    try:
        yield IpcPair(source, own, lender, fetcher, machine)
    finally:
        if gate is not None:
            gate.release()
        await fetcher.close()
        await lender.close()
        assert not here.opened
