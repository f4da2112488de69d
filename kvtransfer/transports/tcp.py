"""TCP, lender's side: answers requests for lent blocks from the pool, wherever that is.

Each block is checked against the loan table right before it is sent. Without the fleet's certificates nothing is
encrypted: loopback, or said aloud.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

from common.net.tls import TlsFiles
from common.types.ids import AttemptId
from kvtransfer.transports.bind import listen_on
from kvtransfer.transports.contract import Lends
from kvtransfer.transports.digests import digest_kind
from kvtransfer.transports.frames import REQUEST, Kind, RequestHead, attempt_key, pack_frame
from kvtransfer.transports.hello import Doorkeeper, Malformed, Refusal, Welcome
from kvtransfer.transports.listener import Listener
from kvtransfer.transports.outbox import Outbox, outbox_for
from kvtransfer.transports.pools import Pool
from kvtransfer.transports.sockets import readable, receive, send_vector, tune
from kvtransfer.transports.tls import LenderTls

MAX_PROBE_BYTES = 64 << 20


class TcpLender:
    """Lends one pool to anyone with a ticket who can reach it."""

    name = "tcp"

    def __init__(
        self,
        pool: Pool,
        epoch: int,
        lends: Lends,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        advertise: str = "",
        expose: bool = False,
        tls: TlsFiles | None = None,
        receipt_s: float = 2.0,
        stall_s: float = 3.0,
        max_connections: int = 256,
        max_strangers: int = 64,
    ) -> None:
        self._lends = lends
        self._host, self._port = host, port
        self._advertise = advertise
        self._expose = expose
        self._tls = tls
        self._receipt_s = receipt_s
        self._stall_s = stall_s
        self._max_connections = max_connections
        self._max_strangers = max_strangers
        self._pool = pool
        self._nothing = memoryview(bytes(pool.block_bytes))
        self._doorkeeper = Doorkeeper(epoch, pool.layout, pool.num_blocks, pool.block_bytes, digest_kind(pool))
        self._listener: Listener | None = None
        self._endpoint = ""

    async def start(self) -> None:
        secure = LenderTls.of(self._tls).secure if self._tls else None
        safe = self._expose or self._tls is not None
        listening, self._endpoint = listen_on(self.name, self._host, self._port, self._advertise, safe)
        self._listener = Listener(
            listening,
            self._doorkeeper,
            self._serve,
            secure=secure,
            receipt_s=self._receipt_s,
            max_connections=self._max_connections,
            max_strangers=self._max_strangers,
        )
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
        tune(sock)
        await send_vector(sock, [memoryview(welcome.pack())], self._stall_s)
        outbox: Outbox | None = None
        while True:
            await readable(sock)
            try:
                async with asyncio.timeout(self._receipt_s):
                    head = RequestHead.unpack(await receive(sock, REQUEST.size))
                    attempt, entries = head.body(await receive(sock, head.num_bytes))
                if head.kind is Kind.PROBE:
                    if head.num_entries > max(1, MAX_PROBE_BYTES // len(self._nothing)):
                        raise Malformed("a probe beyond its bounds")
                    answer = self._probe(head.num_entries)
                else:
                    outbox = outbox or outbox_for(self._pool)
                    answer = self._lent(outbox, attempt, entries)
            except Malformed:
                parts = [memoryview(pack_frame(0, 0, 0, 0, Refusal.MALFORMED))]
                return await send_vector(sock, parts, self._stall_s)
            async for parts in answer:
                await send_vector(sock, parts, self._stall_s)

    async def _lent(
        self, outbox: Outbox, attempt: AttemptId, entries: Sequence[tuple[int, int]]
    ) -> AsyncIterator[list[memoryview]]:
        """Frames and blocks in batches, each read right before it is sent; a refusal ends the answer."""
        key, num_bytes = attempt_key(attempt), len(self._nothing)
        for start in range(0, len(entries), outbox.max_blocks):
            frames, lent, status = [], [], 0
            for block, generation in entries[start : start + outbox.max_blocks]:
                if block >= self._pool.num_blocks:
                    status = Refusal.RANGE
                elif not self._lends(attempt, block, generation):
                    status = Refusal.NOT_LENT
                frames.append(memoryview(pack_frame(key, block, generation, num_bytes, status)))
                if status:
                    break
                lent.append(block)
            blocks = await outbox.read(lent)
            yield [part for parts in zip(frames, blocks, strict=False) for part in parts] + frames[len(lent) :]
            if status:
                return

    async def _probe(self, num_blocks: int) -> AsyncIterator[list[memoryview]]:
        num_bytes = len(self._nothing)
        for block in range(num_blocks):
            yield [memoryview(pack_frame(0, block, 0, num_bytes)), self._nothing]
