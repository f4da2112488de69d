"""Where near streams begin: a unix socket that lets in who shows a ticket, and how to call there.

A ticket is told over gRPC, to whoever may call there. It lets one stream in, once, and only of a process of the same
user. Owns tickets and strangers; knows nothing of what a stream is for.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from common.net.near_stream import NearStream, Receive
from common.net.unix import NotReached, UnixDoor, reach, same_user

TICKET_BYTES = 32
WELCOME = b""
RECEIPT_S = 2.0
MAX_STRANGERS = 64
Admit = Callable[[NearStream], Receive]
"""Takes a stream that was let in, and says who takes its messages."""


class NearEntry:
    """Listens between `start` and `close`; streams that were let in belong to who expected them."""

    def __init__(self, runtime_dir: str | None = None, *, receipt_s: float = RECEIPT_S) -> None:
        self._door = UnixDoor(runtime_dir)
        self._receipt_s = receipt_s
        self._server: asyncio.Server | None = None
        self._expected: dict[bytes, Admit] = {}
        self._strangers: dict[NearStream, asyncio.TimerHandle] = {}

    @property
    def is_open(self) -> bool:
        return self._server is not None

    @property
    def endpoint(self) -> str:
        """Valid while it is open."""
        return self._door.endpoint

    async def start(self) -> None:
        """Raises StartupError."""
        listening = self._door.open()
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Visitor(self), sock=listening)

    def expect(self, admit: Admit) -> bytes:
        """The ticket, which is good until it is shown or forgotten."""
        ticket = secrets.token_bytes(TICKET_BYTES)
        self._expected[ticket] = admit
        return ticket

    def forget(self, ticket: bytes) -> None:
        self._expected.pop(ticket, None)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for stranger in tuple(self._strangers):
            stranger.cut("the entry was closed")
        self._door.close()

    def greet(self, stranger: NearStream, sock: socket.socket) -> None:
        """It has a while to show a ticket."""
        if len(self._strangers) >= MAX_STRANGERS or not same_user(sock):
            stranger.cut("it was not let in")
            return
        loop = asyncio.get_running_loop()
        self._strangers[stranger] = loop.call_later(self._receipt_s, stranger.cut, "it showed no ticket")

    def admit(self, stranger: NearStream, ticket: bytes) -> None:
        """It is a stranger no more; without a ticket, it is cut."""
        admit = self._expected.pop(ticket, None)
        if admit is None:
            stranger.cut("it showed no ticket")
            return
        self.lose(stranger)
        stranger.begin(admit(stranger))
        stranger.send(WELCOME)

    def lose(self, stranger: NearStream) -> None:
        """Admitted, or gone. Repeating it changes nothing."""
        if (timer := self._strangers.pop(stranger, None)) is not None:
            timer.cancel()


class _Visitor(NearStream):
    """The listening end. Its first message has to be a ticket."""

    def __init__(self, entry: NearEntry) -> None:
        super().__init__(lambda ticket: entry.admit(self, ticket), max_bytes=TICKET_BYTES)
        self._entry = entry

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._entry.greet(self, transport.get_extra_info("socket"))

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._entry.lose(self)


async def call_near(endpoint: str, ticket: bytes, receive: Receive, patience_s: float) -> NearStream:
    """A stream to the entry at that endpoint; raises `NotReached` from another host or user, or where it is refused."""
    loop = asyncio.get_running_loop()
    welcomed: asyncio.Future[None] = loop.create_future()

    def welcome(message: bytes) -> None:
        stream.begin(receive)
        welcomed.set_result(None)

    stream = NearStream(welcome, max_bytes=len(WELCOME))
    with ExitStack() as undo:
        try:
            async with asyncio.timeout(patience_s):
                sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                await reach(sock, endpoint)
                await loop.create_unix_connection(lambda: stream, sock=sock)
                undo.callback(stream.cut, "it was not welcomed")
                stream.send(ticket)
                either: set[asyncio.Future[Any]] = {welcomed, stream.ended}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise NotReached("nobody answered") from None
        except OSError as error:
            raise NotReached("nobody listens there") from error
        if not welcomed.done():
            raise NotReached("it was refused")
        undo.pop_all()
    return stream
