"""The client behind one HTTP request: whether it is still there, whether it reads, and what keeps it patient.

A caller that hangs up, or leaves what was sent unread for too long, ends the block it is used in with `Cancelled`.
Knows ASGI; knows nothing of what is sent.
"""

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from starlette.types import Receive, Scope, Send

from common.types.config import RouterConfig
from common.types.errors import Cancelled

ABORT, PIPE = "baton.abort", "baton.pipe"
"""Where the server leaves a way to cut a connection, as a close waits for what is unread, and a quick one to write."""
KEEP_ALIVE = b": keep-alive\n\n"
LEAVING_S = 1.0


class Pipe(Protocol):
    """The body of a response whose headers are out."""

    full: bool
    """Whether so much is unread that writing should wait."""

    def write(self, data: bytes) -> None:
        """The next part of it; never waits."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: between comments, and for a reader that does not read."""

    keep_alive_s: float
    stalled_s: float

    @classmethod
    def of(cls, config: RouterConfig) -> "Patience":
        return cls(config.http_limits.keep_alive_s, config.timeouts.stalled_reader_s)


class Caller:
    """Use it as `async with`, after the body was received. `start` and `write` make a stream."""

    __slots__ = (
        "_comment",
        "_ended",
        "_left",
        "_loop",
        "_patience",
        "_receive",
        "_scope",
        "_send",
        "_sending",
        "_since",
        "_starting",
        "_timeout",
        "_timer",
        "_watching",
        "pipe",
        "started",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, patience: Patience) -> None:
        self._scope, self._receive, self._send, self._patience = scope, receive, send, patience
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None]
        self._starting = asyncio.Lock()
        self._sending = 0
        self._since = 0.0
        self._left = ""
        self._ended = False
        self.started = False
        self.pipe: Pipe | None = None
        """Once there is a stream: while it is not full, parts may be pushed."""

    async def __aenter__(self) -> "Caller":
        await self._timeout.__aenter__()
        self._watching = self._loop.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._comment is not None:
            self._comment.cancel()
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            await self._cut()
            raise Cancelled(self._left) from None
        finally:
            self._watching.cancel()

    async def start(self, headers: list[tuple[bytes, bytes]]) -> None:
        """There will be a stream: its headers go out at once. Several may say so; the first one does it."""
        async with self._starting:
            if not self.started:
                self._since = self._loop.time()
                await self._patiently({"type": "http.response.start", "status": 200, "headers": headers})
                self.started = True
                self.pipe = self._scope.get("extensions", {}).get(PIPE)
                self._ring_when_due()

    def push(self, data: bytes) -> None:
        """The next part of a stream, without waiting; where there is no pipe, it is for `write`."""
        self._since = self._loop.time()
        if self.pipe is not None:
            self.pipe.write(data)

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Waits while the connection holds as much unread as it may."""
        self._since = self._loop.time()
        await self._patiently({"type": "http.response.body", "body": data, "more_body": more})
        self._ended = not more

    async def _patiently(self, message: MutableMapping[str, Any]) -> None:
        """The timer runs from the first time on: a connection may still be full of an earlier answer."""
        self._sending += 1
        if self._timer is None:
            self._ring_when_due()
        try:
            await self._send(message)
        finally:
            self._sending -= 1

    def _due(self) -> float:
        return self._since + (self._patience.stalled_s if self._sending else self._patience.keep_alive_s)

    def _tick(self) -> None:
        """One timer for both, set again lazily: a write costs it nothing. It may ring a little early."""
        now = self._loop.time()
        if self._due() <= now + 0.001:
            if self._sending:
                self._leave(f"the client read nothing for {self._patience.stalled_s:g} s")
                return
            self._comment = self._loop.create_task(self.write(KEEP_ALIVE))
            self._since = now
        self._ring_when_due()

    def _ring_when_due(self) -> None:
        """Or sooner: a write that begins to wait meanwhile does not set the timer."""
        if self._timer is not None:
            self._timer.cancel()
        latest = self._loop.time() + self._patience.stalled_s
        self._timer = self._loop.call_at(min(self._due(), latest), self._tick)

    async def _watch(self) -> None:
        """A body that was received is followed by nothing but the client's leaving."""
        message: MutableMapping[str, Any] = {}
        while message.get("type") != "http.disconnect":
            message = await self._receive()
        self._leave("the client hung up")

    def _leave(self, why: str) -> None:
        if self._ended:
            return
        self._left = self._left or why
        self._timeout.reschedule(self._loop.time())

    async def _cut(self) -> None:
        abort: Callable[[], None] | None = self._scope.get("extensions", {}).get(ABORT)
        if abort is not None:
            abort()
            await asyncio.wait({self._watching}, timeout=LEAVING_S)
