"""NCCL, fetcher's side: asks over TCP, receives into staging memory on the device, sums up, then scatters.

Staging is what makes a half-sent window harmless: nothing reaches the own pool before all of it is there. A lender that
stops in the middle is waited for `stall_s`; then the communicator is aborted, which ends the receive on the device.
"""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence

import numpy as np
import torch

from common.kernels.blocks import block_kernels
from common.types.ids import AttemptId
from common.types.kv import Pair
from kvtransfer.transports.contract import FetchReport, TransportFailed, check_pairs
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.cuda.nccl import FETCHER, IDENTITY, READY, window_blocks
from kvtransfer.transports.cuda.nccl_library import ID_BYTES, Communicator, Nccl, NcclLibrary
from kvtransfer.transports.frames import FRAME, attempt_key, frame_status, pack_probe, pack_request
from kvtransfer.transports.hello import Hello, Malformed, refusal_text
from kvtransfer.transports.lane import Copy, Lane, Outcome
from kvtransfer.transports.sockets import Disconnected, receive
from kvtransfer.transports.tcp_fetch import introduce


class NcclFetcher:
    """A communicator with one lender."""

    name = "nccl"

    def __init__(
        self, own: DevicePool, sock: socket.socket, communicator: Communicator, num_blocks: int, stall_s: float
    ) -> None:
        self._own = own
        self._sock = sock
        self._communicator = communicator
        self._num_source_blocks = num_blocks
        self._stall_s = stall_s
        self._queue = own.make_queue()
        self._window = window_blocks(own.block_bytes)
        self._staged: torch.Tensor | None = None
        self._lane = Lane("baton-nccl")
        self._broken = ""

    @classmethod
    async def connect(
        cls, endpoint: str, hello: Hello, own: DevicePool, *, stall_s: float = 3.0, library: Nccl | None = None
    ) -> "NcclFetcher":
        """Introduces this worker and joins the lender's communicator; raises `TransportFailed`."""
        known = library or NcclLibrary()
        try:
            async with asyncio.timeout(stall_s):
                sock, welcome, _ = await introduce(endpoint, hello, stall_s, None)
        except TimeoutError:
            raise TransportFailed("the lender did not answer") from None
        except Malformed as error:
            raise TransportFailed("the lender does not speak this protocol") from error
        except (OSError, Disconnected) as error:
            raise TransportFailed("the lender cannot be reached") from error
        try:
            async with asyncio.timeout(stall_s):
                (identity,) = IDENTITY.unpack(await receive(sock, IDENTITY.size))
                if identity == own.driver.identity:
                    raise TransportFailed("both pools lie on one device, where NCCL has no way")
                await asyncio.get_running_loop().sock_sendall(sock, READY)
                id = await receive(sock, ID_BYTES)
            joined = await asyncio.to_thread(known.join, id, FETCHER, own.blocks.device, stall_s)
        except (TimeoutError, OSError, Disconnected) as error:
            sock.close()
            raise TransportFailed("the lender closed the connection") from error
        except BaseException:
            sock.close()
            raise
        sock.setblocking(True)
        stall = struct.pack("ll", int(stall_s), int(stall_s % 1 * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, stall)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, stall)
        return cls(own, sock, joined, welcome.num_blocks, stall_s)

    async def fetch(self, attempt: AttemptId, pairs: Sequence[Pair]) -> FetchReport:
        check_pairs(pairs, self._num_source_blocks, self._own.num_blocks)
        started = time.perf_counter()
        await self._lane.run(Copy(attempt, pairs), self._copy)
        return FetchReport(len(pairs) * self._own.block_bytes, time.perf_counter() - started, self.name)

    async def measure(self, num_blocks: int) -> float:
        num_blocks = min(num_blocks, self._num_source_blocks, self._window)
        return await self._lane.apart(lambda: self._sample(num_blocks))

    def in_flight(self, attempt: AttemptId) -> int:
        return self._lane.in_flight(attempt)

    async def drained(self, attempt: AttemptId) -> None:
        await self._lane.drained(attempt)

    async def fence(self) -> None:
        """Aborts first: a receive that waits for a frozen lender ends on the device, and its thread wakes up."""
        self._broken = self._broken or "the connection was fenced"
        if self._sock.fileno() >= 0:
            with contextlib.suppress(OSError):  # the lender was faster
                self._sock.shutdown(socket.SHUT_RDWR)
        await asyncio.to_thread(self._communicator.abort)
        await self._lane.fence()
        self._sock.close()

    async def close(self) -> None:
        await self.fence()

    def _copy(self, copy: Copy) -> Outcome:
        """Runs in the lane's thread."""
        try:
            for start in range(0, len(copy.pairs), self._window):
                if copy.stopped:
                    return None
                if outcome := self._carry(copy, copy.pairs[start : start + self._window]):
                    return outcome
        except TransportFailed as failure:
            self._broken = self._broken or failure.reason
            return TransportFailed(failure.reason, refused=failure.refused)
        return None

    def _carry(self, copy: Copy, pairs: Sequence[Pair]) -> Outcome:
        key, num_bytes = attempt_key(copy.attempt), self._own.block_bytes
        self._ask(pack_request(copy.attempt, pairs))
        refusal: Outcome = None
        coming = 0
        for pair in pairs:
            source = pair.source
            status = self._frame_status(key, source.block, source.generation, num_bytes)
            if status:
                refusal = TransportFailed(refusal_text(status), refused=True)
                break
            coming += 1
        if coming:
            mismatch = copy.check(self._receive(coming, [pair.target for pair in pairs[:coming]]))
            if mismatch:
                return mismatch
        return refusal

    def _receive(self, count: int, targets: list[int] | None) -> list[int]:
        """The blocks' checksums, once they are in the own pool; without targets they are thrown away."""
        own, device = self._own, self._own.blocks.device
        with torch.inference_mode(), self._queue.order():
            if self._staged is None:
                self._staged = torch.empty(self._window, own.block_bytes, dtype=torch.uint8, device=device)
            staged = self._staged[:count]
            self._arrive(staged)
            sums = torch.empty(count, dtype=torch.int64, device=device)
            ids = own.upload(targets if targets is not None else list(range(count)))
            kernels = block_kernels(device)
            if targets is None:
                kernels.copy_blocks(staged, ids, staged, ids, sums)
            else:
                kernels.scatter_blocks(staged, own.blocks, ids, sums)
            host = torch.empty(count, dtype=torch.int64, pin_memory=sums.is_cuda)
            host.copy_(sums, non_blocking=True)
            self._queue.wait()
        found: list[int] = host.numpy().view(np.uint64).tolist()
        return found

    def _arrive(self, staged: torch.Tensor) -> None:
        """Returns once all of it is there. What ends the wait is noted before the wait can end by it."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._communicator.abort()

        overdue = threading.Timer(self._stall_s, give_up)
        overdue.start()
        try:
            self._communicator.receive(staged.data_ptr(), staged.numel(), self._queue.stream)
            self._queue.wait()
        except TransportFailed as failure:
            raise TransportFailed("the lender stopped sending" if late.is_set() else failure.reason) from failure
        finally:
            overdue.cancel()
        if late.is_set():
            raise TransportFailed("the lender stopped sending")
        if self._broken:  # aborted: what lies in staging is whatever had come
            raise TransportFailed(self._broken)

    def _sample(self, num_blocks: int) -> float:
        started = time.perf_counter()
        self._ask(pack_probe(num_blocks))
        for block in range(num_blocks):
            if status := self._frame_status(0, block, 0, self._own.block_bytes):
                raise TransportFailed(refusal_text(status))
        self._receive(num_blocks, None)
        return num_blocks * self._own.block_bytes / (time.perf_counter() - started)

    def _ask(self, request: bytes) -> None:
        if self._broken:
            raise TransportFailed(self._broken)
        try:
            self._sock.sendall(request)
        except OSError:
            raise TransportFailed("the lender closed the connection") from None

    def _frame_status(self, key: int, block: int, generation: int, num_bytes: int) -> int:
        try:
            head = self._sock.recv(FRAME.size, socket.MSG_WAITALL)
        except BlockingIOError:
            raise TransportFailed("the lender stopped sending") from None
        except OSError:
            raise TransportFailed("the lender closed the connection") from None
        if len(head) < FRAME.size:
            raise TransportFailed("the lender closed the connection")
        try:
            return frame_status(head, key, block, generation, num_bytes)
        except Malformed:
            raise TransportFailed("the lender sent something else than was asked for") from None
