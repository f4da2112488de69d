"""One lender and one fetcher over any transport, with a gate that holds a copy after so many blocks."""

import asyncio
import atexit
import contextlib
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common.cache.checksum import block_checksum
from common.net.peers import fleet_files
from common.net.tls import TlsFiles
from kvtransfer.transports.contract import Bytes, FetchingTransport, LendingTransport, PoolBytes
from kvtransfer.transports.faults import Delivery, Frame
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.memory import MemoryFabric, MemoryFetcher, MemoryLender
from kvtransfer.transports.pools import Pool
from kvtransfer.transports.shm import ShmLender
from kvtransfer.transports.shm_fetch import ShmFetcher
from kvtransfer.transports.tcp import TcpLender
from kvtransfer.transports.tcp_fetch import TcpFetcher
from tests.kvtransfer.pools import Loans, make_pool
from tests.net.certificates import Authority

KINDS = ("shm", "tcp", "tcp over tls", "memory")
EPOCH = 71
FETCHER_EPOCH = 99


@cache
def fleet_folder() -> str:
    """Certificates of every role, for as long as the tests run."""
    folder = tempfile.mkdtemp(prefix="baton-tests-")
    atexit.register(shutil.rmtree, folder)
    return Authority(Path(folder)).fleet()


def certificates(role: str) -> TlsFiles:
    return fleet_files(fleet_folder(), role)


class Gate:
    """Lets `num_free` blocks pass and holds the next until `release`; never holds when `num_free` is None."""

    def __init__(self, num_free: int | None) -> None:
        self._num_free = num_free
        self._passed = 0
        self._go = threading.Event()
        self._loop = asyncio.get_running_loop()
        self.held = asyncio.Event()
        self.fabric = MemoryFabric(self._late)

    @property
    def holds(self) -> bool:
        """Otherwise blocks are summed up as they are outside of tests."""
        return self._num_free is not None

    def release(self) -> None:
        self._go.set()
        self.fabric.advance(1.0)

    def let_later_ones_pass(self) -> None:
        """What it holds stays held."""
        self._num_free = None

    def digest(self, block: Bytes) -> int:
        """For shm and tcp: holds the thread before the block counts as landed."""
        self._pass(1)
        return block_checksum(block)

    def count(self, block: Bytes) -> int:
        """For memory: nothing waits, later frames are late."""
        self._passed += 1
        if self._passed == self._num_free:
            self.held.set()
        return block_checksum(block)

    def _pass(self, num_blocks: int) -> None:
        if self._num_free is not None and self._passed >= self._num_free and not self._go.is_set():
            self._loop.call_soon_threadsafe(self.held.set)
            self._go.wait(60)
        self._passed += num_blocks

    def _late(self, frames: Sequence[Frame]) -> list[Delivery]:
        """For memory: frames behind the gate arrive a second later."""
        if self._num_free is None or self._go.is_set():
            return [Delivery(0.0, frame) for frame in frames]
        self._go.set()
        return [Delivery(float(frame.position >= self._num_free), frame) for frame in frames]


@dataclass
class Carrier:
    """What a test of the contract needs."""

    source: PoolBytes
    own: PoolBytes
    loans: Loans
    lender: LendingTransport
    fetcher: FetchingTransport
    gate: Gate


def make_lender(kind: str, pool: PoolBytes, loans: Loans, fabric: MemoryFabric, epoch: int = EPOCH) -> LendingTransport:
    made: dict[str, Callable[[], LendingTransport]] = {
        "shm": lambda: ShmLender(pool, epoch),
        "tcp": lambda: TcpLender(pool, epoch, loans.lends),
        "tcp over tls": lambda: TcpLender(pool, epoch, loans.lends, tls=certificates("prefill")),
        "memory": lambda: MemoryLender(fabric, pool, epoch, loans.lends),
    }
    return made[kind]()


def hello_for(lender: LendingTransport, own: PoolBytes, epoch: int = EPOCH) -> Hello:
    return Hello(epoch, FETCHER_EPOCH, own.layout, own.block_bytes, lender.ticket(FETCHER_EPOCH))


async def connect(
    kind: str, endpoint: str, hello: Hello, own: Pool, gate: Gate, stall_s: float = 30.0
) -> FetchingTransport:
    if kind == "shm":
        return await ShmFetcher.connect(endpoint, hello, own, digest=gate.digest if gate.holds else None)
    if kind in ("tcp", "tcp over tls"):
        tls = certificates("decode") if kind == "tcp over tls" else None
        return await TcpFetcher.connect(endpoint, hello, own, stall_s=stall_s, digest=gate.digest, tls=tls)
    if not isinstance(own, PoolBytes):
        raise TypeError("the in-process transport knows pools in host memory only")
    return await MemoryFetcher.connect(gate.fabric, endpoint, hello, own, digest=gate.count)


@contextlib.asynccontextmanager
async def carrying(
    kind: str, *, num_blocks: int = 16, block_bytes: int = 4099, num_free: int | None = None
) -> AsyncIterator[Carrier]:
    """A source pool with contents, an own pool without, and a connection between them."""
    gate, loans = Gate(num_free), Loans()
    source, own = make_pool(num_blocks, block_bytes, seed=1), make_pool(num_blocks + 3, block_bytes)
    lender = make_lender(kind, source, loans, gate.fabric)
    await lender.start()
    fetcher = await connect(kind, lender.endpoint(), hello_for(lender, own), own, gate)
    try:
        yield Carrier(source, own, loans, lender, fetcher, gate)
    finally:
        gate.release()
        await fetcher.close()
        await lender.close()
