"""This worker's connections to its lenders: made on first use, measured, kept while used. Knows nothing of copies.

A lender describes itself through a callable, in plain data: this file knows no control plane.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from common.net.background import Background
from kvtransfer.probe import Measured, Warn, measure
from kvtransfer.transports.contract import FetchingTransport, TransportFailed
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.pools import Pool

MAX_OFFERS = 16
IDLE_S = 600.0

Describe = Callable[[], Awaitable[tuple[str, Sequence[tuple[str, str, bytes]]]]]
"""Asks a lender for its layout and its (transport, endpoint, ticket)s; raises `TransportFailed` when it cannot."""

Connect = Callable[[str, str, Hello, Pool, float], Awaitable[FetchingTransport]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One boot of one lender, and how to ask it what it offers."""

    address: str
    epoch: int
    describe: Describe = field(compare=False, repr=False)


@dataclass(slots=True)
class Line:
    """The connections to one lender, fastest first; why there is none, if there is none."""

    ranked: list[Measured]
    reason: str = "no transport is left"
    num_fetches: int = 0


class Lines:
    """All connections, by lender."""

    def __init__(
        self,
        own: Pool,
        epoch: int,
        transports: Sequence[str],
        connect: Connect,
        *,
        stall_s: float,
        warn: Warn,
        idle_s: float = IDLE_S,
    ) -> None:
        self._own = own
        self._epoch = epoch
        self._transports = tuple(transports)
        self._connect = connect
        self._stall_s = stall_s
        self._warn = warn
        self._idle_s = idle_s
        self._making: dict[Endpoint, asyncio.Task[Line]] = {}
        self._idle: dict[Endpoint, asyncio.TimerHandle] = {}
        self._open: dict[FetchingTransport, Endpoint] = {}
        self._tasks = Background()
        self._closed = False

    def transports(self, lender: Endpoint | None = None) -> list[FetchingTransport]:
        """Every connection that has not ended, to this lender or to all."""
        return [transport for transport, peer in self._open.items() if lender in (None, peer)]

    async def reach(self, lender: Endpoint) -> Line:
        """The lender's line; several fetches wait for the same one to be made."""
        if self._closed:
            raise TransportFailed("this worker is stopping")
        task = self._making.get(lender)
        if task is None or (task.done() and not _usable(task)):
            for earlier in [other for other in self._making if other.address == lender.address and other != lender]:
                self._tasks.spawn(self.forget(earlier))
            task = self._making[lender] = asyncio.get_running_loop().create_task(self._make(lender))
        self._rest(lender)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if task.cancelled() and current is not None and not current.cancelling():
                raise TransportFailed("the lender was forgotten") from None
            raise

    def retire(self, line: Line, transport: FetchingTransport, reason: str) -> None:
        """A broken connection is not used again; ending it is not waited for."""
        if any(measured.transport is transport for measured in line.ranked):
            line.ranked = [measured for measured in line.ranked if measured.transport is not transport]
            self._warn(f"transport {transport.name} failed: {reason}")
            self._tasks.spawn(self.end(transport))

    async def end(self, transport: FetchingTransport) -> None:
        await transport.close()
        self._open.pop(transport, None)

    def drop(self, lender: Endpoint) -> None:
        """The next fetch makes a new line; whoever has the present one goes on with what is left of it."""
        task = self._making.get(lender)
        if task is not None and task.done():
            del self._making[lender]

    async def forget(self, lender: Endpoint) -> None:
        """The lender is gone: its connections are ended."""
        if (timer := self._idle.pop(lender, None)) is not None:
            timer.cancel()
        if (task := self._making.pop(lender, None)) is not None:
            task.cancel()
            await asyncio.wait([task])
        for transport in self.transports(lender):
            await self.end(transport)

    async def close(self) -> None:
        self._closed = True
        for lender in {*self._making, *self._open.values()}:
            await self.forget(lender)
        await self._tasks.close()

    def _rest(self, lender: Endpoint) -> None:
        """Starts the time after which an unused line is given up; lenders come and go, descriptors are few."""
        if (timer := self._idle.pop(lender, None)) is not None:
            timer.cancel()
        self._idle[lender] = asyncio.get_running_loop().call_later(self._idle_s, self._give_up, lender)

    def _give_up(self, lender: Endpoint) -> None:
        task = self._making.get(lender)
        if task is not None and (not task.done() or (_usable(task) and task.result().num_fetches)):
            self._rest(lender)
        else:
            self._tasks.spawn(self.forget(lender))

    async def _make(self, lender: Endpoint) -> Line:
        try:
            layout, offers = await lender.describe()
        except TransportFailed as failure:
            return Line([], failure.reason)
        if layout != self._own.layout:
            return Line([], "the lender's blocks are laid out differently")
        line = Line([], "no transport in common with the lender")
        connected: list[FetchingTransport] = []
        for name, endpoint, ticket in offers[:MAX_OFFERS]:
            if name not in self._transports:
                continue
            hello = Hello(lender.epoch, self._epoch, layout, self._own.block_bytes, ticket)
            try:
                transport = await self._connect(name, endpoint, hello, self._own, self._stall_s)
            except TransportFailed as failure:
                line.reason = failure.reason
                self._warn(f"transport {name} cannot be used: {failure.reason}")
            else:
                self._open[transport] = lender
                connected.append(transport)
        line.ranked += await measure(connected, self._own.block_bytes, self._warn)
        for transport in set(connected) - {measured.transport for measured in line.ranked}:
            await self.end(transport)
        return line


def _usable(task: asyncio.Task[Line]) -> bool:
    return not task.cancelled() and task.exception() is None and bool(task.result().ranked)
