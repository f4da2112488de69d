"""What goes over a near line: frames, each of one call. Owns their format and how they pass through a socket.

What a call asks and what it is answered are bytes to this file.
"""

import asyncio
import contextlib
import socket
import struct
from enum import IntEnum
from typing import NamedTuple

from common.net.framing import TooLong, Unpacker
from kvtransfer.transports.hello import Malformed
from kvtransfer.transports.sockets import Disconnected

NEAR = "near"
"""What a lender calls its endpoint for near lines among those of its transports."""

HEADER = struct.Struct("<IIB3x")
MAX_BYTES = 1 << 20
READ_BYTES = 64 << 10


class Kind(IntEnum):
    """The number is what travels. A fetcher sends the first three, a lender the others."""

    FOLLOW = 1
    ASK = 2
    HANG_UP = 3
    ANSWER = 4
    OVER = 5
    REFUSED = 6


_KINDS = frozenset(map(int, Kind))


class Frame(NamedTuple):
    """`call` is chosen by the fetcher; every frame of the call bears it."""

    kind: Kind
    call: int
    body: bytes = b""

    def pack(self) -> bytes:
        return HEADER.pack(len(self.body), self.call, self.kind) + self.body


class Wire:
    """One end of a connection. Frames leave whole and in the order of `send`, whoever sends them."""

    def __init__(self, sock: socket.socket, stall_s: float) -> None:
        self._sock = sock
        self._stall_s = stall_s
        self._sending = asyncio.Lock()
        self._unpacker = Unpacker(HEADER, MAX_BYTES)

    async def send(self, frame: Frame) -> None:
        """Raises OSError or TimeoutError when the other end does not take it; the connection is of no use then."""
        async with self._sending:
            try:
                async with asyncio.timeout(self._stall_s):
                    await asyncio.get_running_loop().sock_sendall(self._sock, frame.pack())
            except BaseException:
                self.cut()  # half a frame may have left
                raise

    async def receive(self) -> list[Frame]:
        """The next frames, at least one; raises `Disconnected` at the end, `Malformed` for anything but frames."""
        frames: list[Frame] = []
        while not frames:
            data = await asyncio.get_running_loop().sock_recv(self._sock, READ_BYTES)
            if not data:
                raise Disconnected
            try:
                frames = [_frame(numbers, body) for numbers, body in self._unpacker.feed(data)]
            except TooLong:
                raise Malformed("not a frame of a near line") from None
        return frames

    def cut(self) -> None:
        """Both ends' reads end; nothing happens where they have already."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


def _frame(numbers: tuple[int, ...], body: bytes) -> Frame:
    _, call, kind = numbers
    if kind not in _KINDS:
        raise Malformed("not a frame of a near line")
    return Frame(Kind(kind), call, body)
