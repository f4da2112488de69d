"""TCP, fetcher's side: asks for blocks and receives them straight into the own pool, on its own thread.

A stream stays in step: when a copy is stopped or fails, what was already asked for is received into scratch memory, so
that the next copy can use the connection. A stream that is out of step is never used again.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from common.net.tls import TlsFiles
from common.types.errors import StartupError
from common.types.ids import AttemptId
from common.types.kv import Pair
from kvtransfer.transports.contract import Digest, FetchReport, TransportFailed, check_pairs
from kvtransfer.transports.digests import digest_of
from kvtransfer.transports.frames import FRAME, MAX_ENTRIES, attempt_key, frame_status, pack_probe, pack_request
from kvtransfer.transports.hello import WELCOME, Hello, Malformed, Welcome, refusal_text
from kvtransfer.transports.inbox import inbox_for
from kvtransfer.transports.lane import Copy, Lane, Outcome, Place
from kvtransfer.transports.pools import Pool
from kvtransfer.transports.sockets import Disconnected, receive, send_vector, tune
from kvtransfer.transports.tls import secure_to_lender

WINDOW_BYTES = 8 << 20
"""Asked for at once; two windows are under way, so that the stream never waits for a question."""
NUM_WINDOWS = 2
T = TypeVar("T")


class TcpFetcher:
    """A connected lender."""

    name = "tcp"

    def __init__(self, own: Pool, sock: socket.socket, num_source_blocks: int, digest: Digest, place: Place) -> None:
        self._own = own
        self._sock = sock
        self._num_source_blocks = num_source_blocks
        self._digest = digest
        self._inbox = inbox_for(own)
        self._scratch = memoryview(bytearray(own.block_bytes))
        self._head = memoryview(bytearray(FRAME.size))
        self._window = min(MAX_ENTRIES, max(1, WINDOW_BYTES // own.block_bytes))
        self._lane = Lane("baton-tcp", place)
        self._broken = ""

    @classmethod
    async def connect(
        cls,
        endpoint: str,
        hello: Hello,
        own: Pool,
        *,
        stall_s: float = 3.0,
        digest: Digest | None = None,
        tls: TlsFiles | None = None,
        place: Place = lambda: None,
    ) -> "TcpFetcher":
        """Connects and introduces this worker; raises `TransportFailed` when that does not work out."""
        try:
            async with asyncio.timeout(stall_s):
                sock, welcome, named = await introduce(endpoint, hello, stall_s, tls)
        except TimeoutError:
            raise TransportFailed("the lender did not answer") from None
        except StartupError as error:
            raise TransportFailed("this worker's own certificate cannot be used") from error
        except Malformed as error:
            raise TransportFailed("the lender does not speak this protocol") from error
        except (OSError, Disconnected) as error:
            raise TransportFailed("the lender cannot be reached") from error
        # From here on only the lane's thread reads and writes, and the kernel watches the clock.
        sock.setblocking(True)
        if isinstance(sock, ssl.SSLSocket):
            sock.settimeout(stall_s)  # TLS waits by itself, and would wait on after the kernel gave up
            return cls(own, sock, welcome.num_blocks, digest or named, place)
        stall = struct.pack("ll", int(stall_s), int(stall_s % 1 * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, stall)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, stall)
        return cls(own, sock, welcome.num_blocks, digest or named, place)

    async def fetch(self, attempt: AttemptId, pairs: Sequence[Pair]) -> FetchReport:
        check_pairs(pairs, self._num_source_blocks, self._own.num_blocks)
        started = time.perf_counter()
        await self._lane.run(Copy(attempt, pairs), self._copy)
        return FetchReport(len(pairs) * self._own.block_bytes, time.perf_counter() - started, self.name)

    async def measure(self, num_blocks: int) -> float:
        return await self._lane.apart(lambda: self._in_step(lambda: self._sample(num_blocks)))

    def in_flight(self, attempt: AttemptId) -> int:
        return self._lane.in_flight(attempt)

    async def drained(self, attempt: AttemptId) -> None:
        await self._lane.drained(attempt)

    async def fence(self) -> None:
        """Shuts the stream down first: a thread that waits for a frozen lender wakes up at once."""
        if self._sock.fileno() >= 0:
            with contextlib.suppress(OSError):  # The lender was faster.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # of the connection, not of TLS on it
        await self._lane.fence()
        self._sock.close()

    async def close(self) -> None:
        await self.fence()

    def _copy(self, copy: Copy) -> Outcome:
        """Runs in the lane's thread."""
        try:
            return self._in_step(lambda: self._stream(copy))
        except TransportFailed as failure:
            return TransportFailed(failure.reason, refused=failure.refused)
        finally:
            self._inbox.settle()

    def _in_step(self, work: Callable[[], T]) -> T:
        """Translates what goes wrong on the stream, and marks it as never to be used again."""
        if self._broken:
            raise TransportFailed(self._broken)
        try:
            return work()
        except (BlockingIOError, TimeoutError):
            self._broken = "the lender stopped sending"
        except Malformed:
            self._broken = "the lender sent something else than was asked for"
        except (OSError, Disconnected):
            self._broken = "the lender closed the connection"
        raise TransportFailed(self._broken)

    def _stream(self, copy: Copy) -> Outcome:
        starts = deque(range(0, len(copy.pairs), self._window))
        asked: deque[Sequence[Pair]] = deque()
        outcome: Outcome = None
        while starts or asked:
            while starts and len(asked) < NUM_WINDOWS and outcome is None and not copy.stopped:
                start = starts.popleft()
                asked.append(copy.pairs[start : start + self._window])
                self._sock.sendall(pack_request(copy.attempt, asked[-1]))
            if not asked:
                break
            outcome = self._receive(copy, asked.popleft(), outcome)
        return outcome

    def _receive(self, copy: Copy, window: Sequence[Pair], outcome: Outcome) -> Outcome:
        """One window's frames; into scratch memory once the copy has failed or was stopped."""
        key, num_bytes = attempt_key(copy.attempt), self._own.block_bytes
        for pair in window:
            self._fill(self._head)
            source = pair.source
            if status := frame_status(bytes(self._head), key, source.block, source.generation, num_bytes):
                return outcome or TransportFailed(refusal_text(status), refused=True)
            if outcome is not None or copy.stopped:
                self._fill(self._scratch)
                continue
            rows, [row] = self._inbox.place((pair.target,))
            block = rows[row]
            self._fill(block.data)
            outcome = copy.check((self._digest(block),))
        return outcome

    def _fill(self, view: memoryview) -> None:
        if isinstance(self._sock, ssl.SSLSocket):
            while view:
                if not (count := self._sock.recv_into(view)):
                    raise Disconnected
                view = view[count:]
            return
        count = self._sock.recv_into(view, 0, socket.MSG_WAITALL)
        if not count and view:
            raise Disconnected
        if count < len(view):
            # The kernel waits for all of it: less means that the stream stalled, or broke in the middle of a block.
            raise BlockingIOError

    def _sample(self, num_blocks: int) -> float:
        started = time.perf_counter()
        self._sock.sendall(pack_probe(num_blocks))
        for block in range(num_blocks):
            self._fill(self._head)
            if status := frame_status(bytes(self._head), 0, block, 0, self._own.block_bytes):
                raise TransportFailed(refusal_text(status))
            self._fill(self._scratch)
        return num_blocks * self._own.block_bytes / (time.perf_counter() - started)


async def introduce(
    endpoint: str, hello: Hello, stall_s: float, tls: TlsFiles | None
) -> tuple[socket.socket, Welcome, Digest]:
    loop = asyncio.get_running_loop()
    host, _, port = endpoint.rpartition(":")
    if not port.isdecimal() or not host:
        raise Malformed("an endpoint without a port")
    found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        tune(sock)
        await loop.sock_connect(sock, address)
        if tls is not None:
            sock = await secure_to_lender(sock, tls)
        await send_vector(sock, [memoryview(hello.pack())], stall_s)
        welcome = Welcome.unpack(await receive(sock, WELCOME.size))
        if welcome.status:
            raise TransportFailed(refusal_text(welcome.status))
        if welcome.block_bytes != hello.block_bytes:
            raise Malformed("a welcome with other blocks")
        digest = digest_of(welcome.digest)
    except BaseException:
        sock.close()
        raise
    return sock, welcome, digest
