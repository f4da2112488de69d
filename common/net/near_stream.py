"""A stream of messages between two processes of one host: whole ones, over a unix socket that the loop itself reads.

For what comes many times a second, where gRPC's threads would wake each other for every message. Owns the connection
and what waits to leave; knows nothing of what is said. Where one begins, and who may come in: `near_entry.py`.
"""

import asyncio
from collections.abc import Callable
from struct import Struct
from typing import cast

from common.net.channel import CONTROL_BYTES
from common.net.framing import TooLong, Unpacker
from common.types.errors import BatonError

HEADER = Struct("<I")
MAX_BYTES = CONTROL_BYTES
"""As in gRPC's calls: what is refused there is refused here."""
Receive = Callable[[bytes], None]
"""Takes one message; a `BatonError` ends the stream."""


class NearStreamEnded(Exception):
    """Nothing comes and nothing leaves any more. The text is fixed."""


class NearStream(asyncio.Protocol):
    """One end. What the other wrote comes to `receive` in its order, before `ended` says why there is no more.

    What is written and not yet taken is bounded: `write` waits, for at most `stall_s`, while that is more than a
    little. What comes is never kept: it is received before the next is read.
    """

    def __init__(self, receive: Receive, *, max_bytes: int = MAX_BYTES) -> None:
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.stall_s: float | None = None
        self._receive = receive
        self._unpacker = Unpacker(HEADER, max_bytes)
        self._transport: asyncio.Transport
        self._reason = "the other end closed it"
        self._lost = False
        self._room = asyncio.Event()
        self._room.set()

    def begin(self, receive: Receive) -> None:
        """The greeting is over: who takes what comes from now on."""
        self._receive, self._unpacker.max_bytes = receive, MAX_BYTES

    async def write(self, message: bytes) -> None:
        """Returns when there is room for the next one; raises `NearStreamEnded`."""
        if len(message) > MAX_BYTES:
            self.cut("a message was too long")
        if self._transport.is_closing():
            raise NearStreamEnded(self._reason)
        self.send(message)
        if not self._room.is_set():
            await self._wait_for_room()

    def send(self, message: bytes) -> None:
        """The same for a short one, without waiting."""
        self._transport.write(HEADER.pack(len(message)) + message)

    def cut(self, reason: str) -> None:
        """At once; what has not left is lost."""
        if not self._lost:
            self._end(reason)
            self._transport.abort()

    def close(self) -> None:
        """Once what was written has left."""
        if not self._lost:
            self._end("it was closed here")
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for _, message in self._unpacker.feed(data):
                if self._transport.is_closing():
                    return
                self._receive(message)
        except TooLong:
            self.cut("a message was too long")
        except BatonError:
            self.cut("a message was malformed")

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._room.set()
        if not self.ended.done():
            self.ended.set_result(self._reason)

    def _end(self, reason: str) -> None:
        """The first reason stays."""
        if not self._transport.is_closing():
            self._reason = reason

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self.stall_s):
                await self._room.wait()
        except TimeoutError:
            self.cut("the other end takes nothing")
            raise NearStreamEnded(self._reason) from None
