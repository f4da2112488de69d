"""NCCL, lender's side: gathers lent blocks into staging memory on the device and sends them to a communicator's peer.

Who asks, for what, and whether it is lent is settled over a TCP connection as in `tcp`; only then do bytes move. NCCL
opens connections of its own, which nothing authenticates but the communicator's random name, and encrypts nothing.
"""

import asyncio
import socket
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from common.kernels.blocks import block_kernels
from common.types.errors import StartupError
from common.types.ids import AttemptId
from kvtransfer.transports.bind import listen_on
from kvtransfer.transports.contract import Lends, TransportFailed
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.cuda.nccl_library import Communicator, Nccl, NcclLibrary
from kvtransfer.transports.digests import DEVICE_SUM
from kvtransfer.transports.frames import REQUEST, Kind, RequestHead, attempt_key, pack_frame
from kvtransfer.transports.hello import Doorkeeper, Malformed, Refusal, Welcome
from kvtransfer.transports.listener import Listener
from kvtransfer.transports.sockets import readable, receive, send_vector, tune

IDENTITY = struct.Struct("<16s")
WINDOW_BYTES = 64 << 20
LENDER, FETCHER = 0, 1
READY = b"\x01"
"""What a fetcher says before it is told the communicator's name: one that finds it cannot join hangs up instead. A name
has a thread and a socket of NCCL's behind it, which end only once everybody has joined.
"""


def window_blocks(block_bytes: int) -> int:
    """How many blocks one request may name, and staging holds, on both sides."""
    return max(1, WINDOW_BYTES // block_bytes)


class NcclLender:
    """Lends one pool to whoever shows a ticket, a communicator for each."""

    name = "nccl"

    def __init__(
        self,
        pool: DevicePool,
        epoch: int,
        lends: Lends,
        *,
        host: str = "127.0.0.1",
        advertise: str = "",
        expose: bool = False,
        library: Nccl | None = None,
        receipt_s: float = 2.0,
        stall_s: float = 10.0,
    ) -> None:
        self._pool = pool
        self._lends = lends
        self._host, self._advertise, self._expose = host, advertise, expose
        self._library = library
        self._receipt_s, self._stall_s = receipt_s, stall_s
        self._doorkeeper = Doorkeeper(epoch, pool.layout, pool.num_blocks, pool.block_bytes, DEVICE_SUM)
        self._listener: Listener | None = None
        self._endpoint = ""

    async def start(self) -> None:
        try:
            self._library = self._library or NcclLibrary()
        except TransportFailed as failure:
            raise StartupError(failure.reason, "Leave nccl out of the transports") from failure
        listening, self._endpoint = listen_on(self.name, self._host, 0, self._advertise, self._expose)
        self._listener = Listener(listening, self._doorkeeper, self._serve, receipt_s=self._receipt_s)
        self._listener.start()

    def endpoint(self) -> str:
        return self._endpoint

    def ticket(self, fetcher_epoch: int) -> bytes:
        return self._doorkeeper.ticket(fetcher_epoch)

    async def close(self) -> None:
        if self._listener is not None:
            await self._listener.close()
            self._listener = None

    async def _serve(self, sock: socket.socket, welcome: Welcome) -> None:
        if self._library is None:
            raise RuntimeError("a connection came before the start")
        tune(sock)
        offer = welcome.pack() + IDENTITY.pack(self._pool.driver.identity)
        await send_vector(sock, [memoryview(offer)], self._stall_s)
        async with asyncio.timeout(self._stall_s):
            if await receive(sock, len(READY)) != READY:
                return
        id = await asyncio.to_thread(self._library.new_id)
        await send_vector(sock, [memoryview(id)], self._stall_s)
        device = self._pool.blocks.device
        try:
            joined = await asyncio.to_thread(self._library.join, id, LENDER, device, self._stall_s)
        except TransportFailed:
            return
        sender = Sender(self._pool, joined)
        try:
            await self._answer(sock, sender)
        except TransportFailed:
            return
        finally:
            await asyncio.to_thread(joined.abort)
            sender.close()

    async def _answer(self, sock: socket.socket, sender: "Sender") -> None:
        while True:
            await readable(sock)
            try:
                async with asyncio.timeout(self._receipt_s):
                    head = RequestHead.unpack(await receive(sock, REQUEST.size))
                    if head.num_entries > window_blocks(self._pool.block_bytes):
                        raise Malformed("a request beyond its bounds")
                    attempt, entries = head.body(await receive(sock, head.num_bytes))
            except Malformed:
                refused = pack_frame(0, 0, 0, 0, Refusal.MALFORMED)
                return await send_vector(sock, [memoryview(refused)], self._stall_s)
            if head.kind is Kind.PROBE:
                entries = [(block, 0) for block in range(min(head.num_entries, self._pool.num_blocks))]
            frames, lent = self._frames(attempt, entries, head.kind is Kind.PROBE)
            await send_vector(sock, [memoryview(frames)], self._stall_s)
            if lent:
                async with asyncio.timeout(self._stall_s):
                    await sender.send(lent)

    def _frames(self, attempt: AttemptId, entries: Sequence[tuple[int, int]], probe: bool) -> tuple[bytes, list[int]]:
        """One per block that will come; a refusal is the last."""
        key, num_bytes = (0 if probe else attempt_key(attempt)), self._pool.block_bytes
        frames, lent = b"", []
        for block, generation in entries:
            status = 0
            if block >= self._pool.num_blocks:
                status = Refusal.RANGE
            elif not probe and not self._lends(attempt, block, generation):
                status = Refusal.NOT_LENT
            frames += pack_frame(key, block, generation, num_bytes, status)
            if status:
                break
            lent.append(block)
        return frames, lent


class Sender:
    """Staging memory, a queue and a thread for one communicator."""

    def __init__(self, pool: DevicePool, communicator: Communicator) -> None:
        self._pool = pool
        self._communicator = communicator
        self._queue = pool.make_queue()
        self._staged: torch.Tensor | None = None
        self._thread = ThreadPoolExecutor(1, "baton-nccl-send")

    async def send(self, blocks: list[int]) -> None:
        """Returns once they have left. Cancelled, the communicator is aborted by who owns it, and the thread ends."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._send, blocks)

    def close(self) -> None:
        self._thread.shutdown(wait=False)

    def _send(self, blocks: list[int]) -> None:
        pool = self._pool
        with torch.inference_mode(), self._queue.order():
            if self._staged is None:
                shape = window_blocks(pool.block_bytes), pool.block_bytes
                self._staged = torch.empty(shape, dtype=torch.uint8, device=pool.blocks.device)
            staged = self._staged[: len(blocks)]
            block_kernels(pool.blocks.device).gather_blocks(pool.blocks, pool.upload(blocks), staged, None)
            self._communicator.send(staged.data_ptr(), staged.numel(), self._queue.stream)
            self._queue.wait()
