"""A fetcher's end of a near line: calls to one lender of the same host. Knows nothing of what is asked."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from itertools import count

from common.net.background import Background
from kvtransfer.near.frames import Frame, Kind, Wire
from kvtransfer.transports.contract import TransportFailed
from kvtransfer.transports.hello import WELCOME, Hello, Malformed, Welcome, refusal_text
from kvtransfer.transports.sockets import Disconnected, receive
from kvtransfer.transports.unix import dial


class LineLost(Exception):
    """The line has ended; whatever it was asked has to be asked another way."""


class LineRefused(Exception):
    """The lender is there and does not answer this."""


class NearLine:
    """One connection; any number of calls at once."""

    def __init__(self, sock: socket.socket, stall_s: float) -> None:
        self._sock = sock
        self._wire = Wire(sock, stall_s)
        self._numbers = count(1)
        self._calls: dict[int, asyncio.Queue[Frame | None]] = {}
        self._tasks = Background()
        self.lost = False
        self._tasks.spawn(self._read())

    @classmethod
    async def connect(cls, endpoint: str, hello: Hello, *, stall_s: float = 3.0) -> "NearLine":
        """Raises `TransportFailed` from another host or user, and when the lender refuses."""
        with contextlib.ExitStack() as undo:
            try:
                sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                async with asyncio.timeout(stall_s):
                    await dial(sock, endpoint, hello)
                    welcome = Welcome.unpack(await receive(sock, WELCOME.size))
            except TimeoutError:
                raise TransportFailed("the lender did not answer") from None
            except (Malformed, Disconnected, OSError) as error:
                raise TransportFailed("the lender has no near line to here") from error
            if welcome.status:
                raise TransportFailed(refusal_text(welcome.status))
            undo.pop_all()
        return cls(sock, stall_s)

    async def ask(self, request: bytes) -> bytes:
        """One answer; raises `LineRefused` or `LineLost`. The caller bounds the time."""
        call, frames = self._open()
        try:
            await self._send(Frame(Kind.ASK, call, request))
            return _body(await frames.get())
        finally:
            del self._calls[call]

    async def follow(self, request: bytes) -> AsyncGenerator[bytes, None]:
        """Answers as they come; raises `LineRefused` or `LineLost`."""
        call, frames = self._open()
        over = False
        try:
            await self._send(Frame(Kind.FOLLOW, call, request))
            while True:
                frame = await frames.get()
                over = frame is None or frame.kind is not Kind.ANSWER
                if frame is not None and frame.kind is Kind.OVER:
                    return
                yield _body(frame)
        finally:
            del self._calls[call]
            if not over and not self.lost:
                self._tasks.spawn(self._hang_up(call))

    def cut(self) -> None:
        """Every call ends with `LineLost`."""
        self.lost = True
        self._wire.cut()

    async def close(self) -> None:
        self.cut()
        await self._tasks.close()
        self._end()

    def _open(self) -> tuple[int, asyncio.Queue[Frame | None]]:
        if self.lost:
            raise LineLost
        call = next(self._numbers) % 2**32
        frames = self._calls[call] = asyncio.Queue()
        return call, frames

    async def _send(self, frame: Frame) -> None:
        try:
            await self._wire.send(frame)
        except (OSError, TimeoutError) as error:
            self.cut()
            raise LineLost from error

    async def _hang_up(self, call: int) -> None:
        with contextlib.suppress(LineLost):
            await self._send(Frame(Kind.HANG_UP, call))

    async def _read(self) -> None:
        try:
            while True:
                for frame in await self._wire.receive():
                    if (frames := self._calls.get(frame.call)) is not None:
                        frames.put_nowait(frame)
        except (OSError, Malformed, Disconnected):
            self.cut()
        finally:
            self._end()

    def _end(self) -> None:
        self.lost = True
        for frames in self._calls.values():
            frames.put_nowait(None)
        self._sock.close()


def _body(frame: Frame | None) -> bytes:
    if frame is None:
        raise LineLost
    if frame.kind is not Kind.ANSWER:
        raise LineRefused
    return frame.body
