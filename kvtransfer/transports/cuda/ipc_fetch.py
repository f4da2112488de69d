"""CUDA IPC, fetcher's side: maps the lender's pool and copies out of it with this process's own kernel and queue.

A lender that is gone is not read from any more: unlike shared memory, the driver does not promise that its pool
outlives it. A copy under way then still ends; whether its blocks were lent is for the commit rule to find out.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Sequence

import numpy as np
import torch

from common.cache.driver import DriverError
from common.types.ids import AttemptId
from common.types.kv import Pair
from kvtransfer.transports.contract import FetchReport, TransportFailed, check_pairs
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.cuda.ipc import IPC_WELCOME_BYTES, Offer
from kvtransfer.transports.cuda.mapped import Mapped, OtherDevice, SameDevice
from kvtransfer.transports.hello import WELCOME, Hello, Malformed, Welcome, refusal_text
from kvtransfer.transports.lane import Copy, Lane, Outcome
from kvtransfer.transports.sockets import Disconnected, receive
from kvtransfer.transports.unix import dial

WINDOW_BYTES = 64 << 20
"""Launched at once: large enough that the wait after it is little, small enough that a stop is soon heeded."""
WHY = {
    201: "it belongs to this very process, or to one that looks so: containers must share one PID namespace",
    205: "processes in containers must share one IPC namespace",
    217: "its device and this one cannot read each other",
    711: "its device already has as many peers as it can",
    800: "the driver does not permit it",
    801: "the driver does not support it here",
}


class CudaIpcFetcher:
    """A mapped lender."""

    name = "cuda_ipc"

    def __init__(self, own: DevicePool, sock: socket.socket, pointer: int, num_blocks: int, same: bool) -> None:
        self._own = own
        self._sock = sock
        self._pointer = pointer
        self._num_source_blocks = num_blocks
        self._queue = own.make_queue()
        self._mapped: Mapped | None = (
            SameDevice(own, pointer, num_blocks) if same else OtherDevice(own, pointer, self._queue.stream)
        )
        self._lost = False
        self._lane = Lane("baton-cuda-ipc")
        asyncio.get_running_loop().add_reader(sock, self._on_lost)

    @classmethod
    async def connect(cls, endpoint: str, hello: Hello, own: DevicePool, *, stall_s: float = 3.0) -> "CudaIpcFetcher":
        """Asks for the pool's handle and opens it; raises `TransportFailed` where either cannot be."""
        with contextlib.ExitStack() as undo:
            try:
                sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                async with asyncio.timeout(stall_s):
                    welcome, offer = await _request(sock, endpoint, hello)
                pointer = await asyncio.to_thread(own.driver.open, offer.handle)
            except TimeoutError:
                raise TransportFailed("the lender did not answer") from None
            except (Malformed, Disconnected) as error:
                raise TransportFailed("the lender does not speak this protocol") from error
            except DriverError as error:
                why = WHY.get(error.code, "the driver refuses")
                raise TransportFailed(f"the lender's device memory cannot be opened here: {why}") from error
            except OSError as error:
                raise TransportFailed("the lender's memory cannot be reached from here") from error
            undo.pop_all()
        return cls(own, sock, pointer, welcome.num_blocks, offer.identity == own.driver.identity)

    async def fetch(self, attempt: AttemptId, pairs: Sequence[Pair]) -> FetchReport:
        self._source()
        check_pairs(pairs, self._num_source_blocks, self._own.num_blocks)
        started = time.perf_counter()
        await self._lane.run(Copy(attempt, pairs), self._copy)
        return FetchReport(len(pairs) * self._own.block_bytes, time.perf_counter() - started, self.name)

    async def measure(self, num_blocks: int) -> float:
        self._source()
        num_blocks = min(num_blocks, self._num_source_blocks)
        return await self._lane.apart(lambda: self._sample(num_blocks))

    def in_flight(self, attempt: AttemptId) -> int:
        return self._lane.in_flight(attempt)

    async def drained(self, attempt: AttemptId) -> None:
        await self._lane.drained(attempt)

    async def fence(self) -> None:
        """The lane's thread leaves a copy only once the device has finished what was launched of it."""
        await self._lane.fence()

    async def close(self) -> None:
        if self._sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
        await self.fence()
        if self._mapped is not None:
            self._mapped = None
            await asyncio.to_thread(self._own.driver.close, self._pointer)

    def _on_lost(self) -> None:
        self._lost = True
        asyncio.get_running_loop().remove_reader(self._sock)

    def _source(self) -> Mapped:
        if self._mapped is None:
            raise TransportFailed("the connection is closed")
        if self._lost:
            raise TransportFailed("the lender closed the connection")
        return self._mapped

    def _copy(self, copy: Copy) -> Outcome:
        """Runs in the lane's thread."""
        window = max(1, WINDOW_BYTES // self._own.block_bytes)
        for start in range(0, len(copy.pairs), window):
            if copy.stopped:
                return None
            try:
                mapped = self._source()
            except TransportFailed as failure:
                return TransportFailed(failure.reason)
            found = self._carry(mapped, copy.pairs[start : start + window])
            if isinstance(found, TransportFailed):
                return found
            if mismatch := copy.check(found):
                return mismatch
        return None

    def _carry(self, mapped: Mapped, pairs: Sequence[Pair]) -> list[int] | TransportFailed:
        with torch.inference_mode(), self._queue.order():
            try:
                return self._read(mapped.carry(pairs))
            except (DriverError, torch.OutOfMemoryError):
                self._queue.wait()  # of what was launched before: once the thread leaves, its blocks are given away
                return TransportFailed("the device refuses the copy")

    def _sample(self, num_blocks: int) -> float:
        with torch.inference_mode(), self._queue.order():
            scratch = torch.empty(num_blocks, self._own.block_bytes, dtype=torch.uint8, device=self._own.blocks.device)
            self._read(self._source().sample(num_blocks, scratch))  # kernels are compiled outside of the measurement
            started = time.perf_counter()
            self._read(self._source().sample(num_blocks, scratch))
            return num_blocks * self._own.block_bytes / (time.perf_counter() - started)

    def _read(self, sums: torch.Tensor) -> list[int]:
        """Waits for the copy along with its checksums."""
        host = torch.empty(sums.shape, dtype=torch.int64, pin_memory=sums.is_cuda)
        host.copy_(sums, non_blocking=True)
        self._queue.wait()
        found: list[int] = host.numpy().view(np.uint64).tolist()
        return found


async def _request(sock: socket.socket, endpoint: str, hello: Hello) -> tuple[Welcome, Offer]:
    await dial(sock, endpoint, hello)
    welcome = Welcome.unpack(await receive(sock, WELCOME.size))
    if welcome.status:
        raise TransportFailed(refusal_text(welcome.status))
    if welcome.block_bytes != hello.block_bytes or not welcome.num_blocks:
        raise Malformed("a welcome with other blocks")
    return welcome, Offer.unpack(await receive(sock, IPC_WELCOME_BYTES - WELCOME.size))
