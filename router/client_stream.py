"""What goes out over one gRPC call, a message at a time: by `write`, or by `push` where a token comes in.

Owns when messages leave; knows nothing of what they say.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from common.net.eager import Eager
from router.patience import Patience

M = TypeVar("M")
Write = Callable[[Any], Coroutine[Any, Any, None]]
"""gRPC's: returns when there is room for the next message."""


class Departures:
    """Of all calls of one server: what a step brought for each of them leaves in the loop's next turn.

    The writes follow each other then, with no other work between them: gRPC's threads, woken by each, sleep less often.
    """

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def add(self, depart: Callable[[], None]) -> None:
        """It must not raise."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._go)
        self._waiting.append(depart)

    def _go(self) -> None:
        waiting, self._waiting = self._waiting, []
        for depart in waiting:
            depart()


class ClientStream(Generic[M]):
    """An outlet. `encode` makes of a message what `write` takes, one after the other."""

    __slots__ = ("_departures", "_eager", "_encode", "_error", "_outgoing", "_patience", "_waiter", "_write", "ready")

    def __init__(
        self, encode: Callable[[M], Sequence[Any]], write: Write, patience: Patience, departures: Departures
    ) -> None:
        self._encode, self._write, self._patience, self._departures = encode, write, patience, departures
        self._outgoing: Sequence[Any] = ()
        self.ready = True
        """Nothing is on its way, and nothing went wrong."""
        self._eager = Eager(self._sent)
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None

    def push(self, messages: Sequence[M]) -> None:
        """Only when ready. What goes wrong is told to whoever writes or waits next."""
        if len(messages) == 1:
            self._outgoing = self._encode(messages[0])
        else:
            self._outgoing = [each for message in messages for each in self._encode(message)]
        self.ready = False
        self._departures.add(self._depart)

    async def write(self, messages: Sequence[M]) -> None:
        """Behind what was pushed."""
        await self.sent()
        await self._send([each for message in messages for each in self._encode(message)])

    async def sent(self) -> None:
        """Returns once nothing is on its way; raises what went wrong with it."""
        if not self.ready and self._error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            raise self._error

    def _depart(self) -> None:
        outgoing = self._outgoing
        self._patience.begin()
        self._eager.begin(self._write(outgoing[0]) if len(outgoing) == 1 else self._send(outgoing))

    async def _send(self, outgoing: Sequence[Any]) -> None:
        for encoded in outgoing:
            self._patience.begin()
            await self._write(encoded)
            self._patience.end()

    def _sent(self, error: BaseException | None) -> None:
        self._patience.end()
        self.ready, self._error = error is None, error
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
