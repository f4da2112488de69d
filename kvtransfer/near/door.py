"""A lender's end of near lines: listens, lets in who holds a ticket, has calls answered. Knows nothing of loans."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Protocol

from common.net.background import Background
from common.net.unix import UnixDoor, same_user
from common.types.errors import BatonError
from kvtransfer.near.frames import NEAR, Frame, Kind, Wire
from kvtransfer.transports.hello import Doorkeeper, Malformed, Welcome
from kvtransfer.transports.listener import Listener
from kvtransfer.transports.pools import Pool

MAX_CALLS = 1024


class Answers(Protocol):
    """What a lender says. Either way of answering may refuse with a `BatonError`."""

    def ask(self, request: bytes) -> bytes: ...

    def follow(self, request: bytes) -> AsyncGenerator[bytes, None]: ...


class NearDoor:
    """Like a lending transport it has an endpoint and gives tickets, but it carries no blocks."""

    name = NEAR

    def __init__(
        self,
        pool: Pool,
        epoch: int,
        answers: Answers,
        *,
        runtime_dir: str | None = None,
        stall_s: float = 3.0,
        max_calls: int = MAX_CALLS,
    ) -> None:
        self._doorkeeper = Doorkeeper(epoch, pool.layout, pool.num_blocks, pool.block_bytes)
        self._answers = answers
        self._door = UnixDoor(runtime_dir)
        self._stall_s = stall_s
        self._max_calls = max_calls
        self._listener: Listener | None = None

    async def start(self) -> None:
        self._listener = Listener(self._door.open(), self._doorkeeper, self._serve, accepts=same_user)
        self._listener.start()

    def endpoint(self) -> str:
        return self._door.endpoint

    def ticket(self, fetcher_epoch: int) -> bytes:
        return self._doorkeeper.ticket(fetcher_epoch)

    async def close(self) -> None:
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        self._door.close()

    async def _serve(self, sock: socket.socket, welcome: Welcome) -> None:
        await asyncio.get_running_loop().sock_sendall(sock, welcome.pack())
        wire, tasks = Wire(sock, self._stall_s), Background()
        followed: dict[int, asyncio.Task[None]] = {}
        try:
            while True:
                for frame in await wire.receive():
                    if frame.kind is Kind.ASK:
                        await wire.send(self._answer(frame))
                    elif frame.kind is Kind.HANG_UP:
                        if (left := followed.get(frame.call)) is not None:
                            left.cancel()
                    elif frame.kind is not Kind.FOLLOW or frame.call in followed:
                        return  # no fetcher says this
                    elif len(followed) < self._max_calls:
                        task = followed[frame.call] = tasks.spawn(self._tell(wire, frame))
                        task.add_done_callback(partial(_forget, followed, frame.call))
                    else:
                        await wire.send(Frame(Kind.REFUSED, frame.call))
        except Malformed:
            return
        finally:
            await tasks.close()

    def _answer(self, frame: Frame) -> Frame:
        try:
            return Frame(Kind.ANSWER, frame.call, self._answers.ask(frame.body))
        except BatonError:
            return Frame(Kind.REFUSED, frame.call)

    async def _tell(self, wire: Wire, frame: Frame) -> None:
        last = Kind.OVER
        try:
            try:
                async with aclosing(self._answers.follow(frame.body)) as bodies:
                    async for body in bodies:
                        await wire.send(Frame(Kind.ANSWER, frame.call, body))
            except BatonError:
                last = Kind.REFUSED
            await wire.send(Frame(last, frame.call))
        except (OSError, TimeoutError):
            return  # the connection is cut, which whoever reads it notices


def _forget(followed: dict[int, asyncio.Task[None]], call: int, task: asyncio.Task[None]) -> None:
    del followed[call]
