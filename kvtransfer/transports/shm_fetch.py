"""Shared memory, fetcher's side: maps the lender's pool read-only and copies out of it on its own thread.

The mapping outlives the lender's process, so a lender that is killed or frozen in the middle of a copy does no harm;
whether its blocks were still lent is for the commit rule to find out.
"""

import asyncio
import contextlib
import fcntl
import mmap
import os
import socket
import time
from collections.abc import Sequence

import numpy as np

from common.net.background import Background
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Pair
from kvtransfer.transports.contract import Bytes, Digest, FetchReport, PoolBytes, TransportFailed, check_pairs
from kvtransfer.transports.copying import carried
from kvtransfer.transports.digests import digest_of
from kvtransfer.transports.hello import WELCOME, Hello, Malformed, Welcome, refusal_text
from kvtransfer.transports.inbox import HostInbox, inbox_for
from kvtransfer.transports.lane import Copy, Lane, Outcome, Place
from kvtransfer.transports.pools import Pool
from kvtransfer.transports.sockets import readable
from kvtransfer.transports.unix import dial

LINGER_S = 15.0
"""How long a lender's memory outlives it here: the longest a hand-off may take."""
WARM_BYTES = 64 << 20
FAULT_AROUND_BYTES = 64 << 10
"""How much the kernel maps at once when a reader touches memory that is already there."""


class ShmFetcher:
    """A mapped lender."""

    name = "shm"

    def __init__(
        self, own: Pool, source: Bytes, sock: socket.socket, digest: Digest, linger_s: float, place: Place
    ) -> None:
        self._own = own
        self._source: Bytes | None = source
        self._sock = sock
        self._digest = digest
        self._inbox = inbox_for(own)
        self._linger_s = linger_s
        self._linger: asyncio.TimerHandle | None = None
        self.released = asyncio.Event()
        self._lane = Lane("baton-shm", place)
        self._tasks = Background()
        self._tasks.spawn(self._warm())
        asyncio.get_running_loop().add_reader(sock, self._on_lost)

    @classmethod
    async def connect(
        cls,
        endpoint: str,
        hello: Hello,
        own: Pool,
        *,
        stall_s: float = 3.0,
        linger_s: float = LINGER_S,
        digest: Digest | None = None,
        place: Place = lambda: None,
    ) -> "ShmFetcher":
        """Asks the lender for its memory; raises `TransportFailed` from another host, user, layout or epoch."""
        with contextlib.ExitStack() as undo:
            try:
                sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                async with asyncio.timeout(stall_s):
                    source, named = await _request(sock, endpoint, hello)
            except TimeoutError:
                raise TransportFailed("the lender did not answer") from None
            except Malformed as error:
                raise TransportFailed("the lender does not speak this protocol") from error
            except OSError as error:
                raise TransportFailed("the lender's memory cannot be reached from here") from error
            undo.pop_all()
        return cls(own, source, sock, digest or named, linger_s, place)

    async def fetch(self, attempt: AttemptId, pairs: Sequence[Pair]) -> FetchReport:
        source = self._mapped()
        check_pairs(pairs, len(source), self._own.num_blocks)
        started = time.perf_counter()
        await self._lane.run(Copy(attempt, pairs), self._copy)
        return FetchReport(len(pairs) * self._own.block_bytes, time.perf_counter() - started, self.name)

    async def measure(self, num_blocks: int) -> float:
        num_blocks = min(num_blocks, len(self._mapped()))
        return await self._lane.apart(lambda: self._sample(num_blocks))

    def in_flight(self, attempt: AttemptId) -> int:
        return self._lane.in_flight(attempt)

    async def drained(self, attempt: AttemptId) -> None:
        await self._lane.drained(attempt)

    async def fence(self) -> None:
        self._tasks.cancel()
        await self._lane.fence()  # first of all, copies hear of it
        await self._tasks.close()

    async def close(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        if self._sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
        await self.fence()
        self._source = None
        self.released.set()

    def _on_lost(self) -> None:
        """The lender's process is gone. Copies under way may use its memory for a while; then it must be given back."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock)
        self._linger = loop.call_later(self._linger_s, lambda: self._tasks.spawn(self.close()))

    def _mapped(self) -> Bytes:
        if self._source is None:
            raise TransportFailed("the connection is closed")
        return self._source

    def _copy(self, copy: Copy) -> Outcome:
        portions = carried(self._inbox, self._mapped(), copy.pairs, self._digest)
        try:
            while not copy.stopped and (checksums := next(portions, None)) is not None:
                if mismatch := copy.check(checksums):
                    return mismatch
        finally:
            self._inbox.settle()
        return None

    def _sample(self, num_blocks: int) -> float:
        """Reads whatever lies in the lender's first blocks, into memory that is thrown away."""
        scratch = PoolBytes(None, np.ones((num_blocks, self._own.block_bytes), np.uint8), "")
        inbox, pairs = HostInbox(scratch), [Pair(BlockRef(block, 0, 0), block) for block in range(num_blocks)]
        started = time.perf_counter()
        for _ in carried(inbox, self._mapped(), pairs, self._digest):
            continue
        return scratch.blocks.nbytes / (time.perf_counter() - started)

    async def _warm(self) -> None:
        """Maps the pool's memory slice by slice between copies: the first copy of a block should not pay for it."""
        flat = self._mapped().reshape(-1)
        for start in range(0, len(flat), WARM_BYTES):
            touched = flat[start : start + WARM_BYTES : FAULT_AROUND_BYTES]
            await self._lane.apart(lambda touched=touched: float(touched.max()))  # type: ignore[misc]


async def _request(sock: socket.socket, endpoint: str, hello: Hello) -> tuple[Bytes, Digest]:
    await dial(sock, endpoint, hello)
    await readable(sock)
    data, descriptors, _, _ = socket.recv_fds(sock, WELCOME.size, 1, socket.MSG_CMSG_CLOEXEC)
    try:
        welcome = Welcome.unpack(data)
        if welcome.status:
            raise TransportFailed(refusal_text(welcome.status))
        if len(descriptors) != 1 or welcome.block_bytes != hello.block_bytes:
            raise Malformed("a welcome without memory")
        return _map(descriptors[0], welcome), digest_of(welcome.digest)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _map(descriptor: int, welcome: Welcome) -> Bytes:
    """The lender's blocks, unless their memory could shrink or is smaller than it says."""
    num_bytes = welcome.num_blocks * welcome.block_bytes
    if not fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
        raise TransportFailed("the lender's memory is not sealed against shrinking")
    if not 0 < num_bytes <= os.fstat(descriptor).st_size:
        raise TransportFailed("the lender's memory is smaller than it says")
    memory = mmap.mmap(descriptor, num_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
    return np.frombuffer(memory, np.uint8).reshape(welcome.num_blocks, welcome.block_bytes)
