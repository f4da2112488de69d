"""How long a client may leave a message unread, whatever the front. One timer a stream, not one for each message."""

import asyncio
from types import TracebackType

from common.types.errors import Cancelled


class StalledReader(Cancelled):
    """A client left a message unread for too long."""


class Patience:
    """Entered around a stream. Between `begin` and `end` a message is being written; too long, and StalledReader is
    raised where the stream stands, as a cancellation until it reaches the end of this scope.
    """

    __slots__ = ("_limit_s", "_loop", "_since", "_timeout", "_timer")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: float | None = None
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._timer = self._loop.call_later(limit_s, self._look)

    def begin(self) -> None:
        self._since = self._loop.time()

    def end(self) -> None:
        self._since = None

    async def __aenter__(self) -> "Patience":
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise StalledReader(f"the client read nothing for {self._limit_s:g} s") from None

    def _look(self) -> None:
        now = self._loop.time()
        due = (now if self._since is None else self._since) + self._limit_s
        if due <= now:
            self._timeout.reschedule(now)
        else:
            self._timer = self._loop.call_at(due, self._look)
