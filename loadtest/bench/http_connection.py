"""One HTTP/1.1 connection that carries one exchange at a time. Hands body bytes on in the moment they arrive."""

import asyncio
from collections.abc import Callable

from loadtest.bench.http_wire import Malformed, Response

OnBody = Callable[[bytes], None]


class Lost(Exception):
    """The connection ended within an exchange; `begun` when some of the answer had come."""

    def __init__(self, begun: bool) -> None:
        super().__init__("the connection was lost")
        self.begun = begun


class Connection(asyncio.Protocol):
    """Made by the event loop's `create_connection`."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._on_body: OnBody = _ignore
        self._ended: asyncio.Future[None] | None = None
        self._begun = False

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes, on_body: OnBody) -> tuple[int, bool]:
        """The status, and whether the connection may be used again. What `on_body` raises is raised here."""
        if self._transport is None or self._transport.is_closing():
            raise Lost(begun=False)
        response = self._response = Response()
        self._on_body, self._begun = on_body, False
        self._ended = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            await self._ended
        finally:
            self._response, self._ended, self._on_body = None, None, _ignore
        return response.status, response.reusable and self.usable

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.close()  # nobody asked: what this is cannot be known
            return
        self._begun = True
        try:
            body = response.feed(data)
            if body:
                self._on_body(body)
        except Exception as error:  # noqa: BLE001 it goes to whoever waits for the exchange
            self._finish(error)
            return
        if response.complete:
            self._finish(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._response is None:
            return
        try:
            self._response.end()
        except Malformed:
            self._finish(Lost(self._begun))
        else:
            self._finish(None)

    def _finish(self, error: Exception | None) -> None:
        if self._ended is None or self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


def _ignore(data: bytes) -> None:
    """Where bytes go that belong to no exchange."""
