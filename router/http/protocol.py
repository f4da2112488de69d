"""One HTTP connection: uvicorn's, with bounds on what comes before a request is one.

Owns header sizes, the time until headers are complete, and how a connection is cut. Knows nothing of requests.

One request at a time: what a client sends before it has its answer is not read, and the connection ends with that
answer. Kept for later, it would stand between us and the news that the client is gone.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from common.types.http import HttpLimits
from router.http.caller import ABORT, PIPE
from router.http.old_clients import UntilClose
from router.http.refusal import HttpRefusal, reply_to

MAX_HEADERS = 100
TOO_LARGE = HttpRefusal(431, "headers_too_large", "the request's headers are too large")
TOO_SLOW = HttpRefusal(408, "request_timeout", "the request's headers took too long")
MALFORMED = HttpRefusal(400, "bad_request", "this is no HTTP request")


class ResponsePipe:
    """Chunks straight to the socket: what uvicorn does for each of them costs more than all that was done before."""

    __slots__ = ("_cycle", "_write", "full")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self.full: bool = cycle.flow.write_paused
        self._cycle = cycle
        self._write = cycle.transport.write

    def write(self, data: bytes) -> None:
        if not self._cycle.disconnected:
            self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._cycle.chunked_encoding else data)


class Connection(HttpToolsProtocol):
    """Made by `connection_class`, which knows the limits."""

    limits: HttpLimits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._num_header_bytes = 0
        self._refused = self._has_begun = self._repeats = False
        self._pipe: ResponsePipe | None = None
        self._patience = self.loop.call_later(self.limits.receive_s, self._too_slow)
        if len(self.connections) > self.limits.max_connections:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        super()._unset_keepalive_if_required()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._pipe is not None:
            self._pipe.full = True

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._pipe is not None:
            self._pipe.full = False

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(MALFORMED)

    def _stay(self, rest: bytes) -> None:
        """Nothing is ever changed to. The parser takes what follows for another protocol's, and some clients ask with
        every body (Java's own does): a new one is told where in the request it is, and reads on.
        """
        framing = self._framing()
        if framing and not self._refused:
            self.parser = httptools.HttpRequestParser(self)
            self._repeats = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
            self._repeats = False
            if rest:
                self.data_received(rest)

    def _framing(self) -> bytes:
        """The header that says where the body ends; none where there is no body."""
        for name, value in self.headers:
            if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
                return name + b": " + value
        return b""

    def _unset_keepalive_if_required(self) -> None:
        """Asked for whatever comes; only a request ends the time for it, or blank lines would hold a connection."""

    def on_message_begin(self) -> None:
        if self._repeats:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            self._refused = True
            return
        super()._unset_keepalive_if_required()
        super().on_message_begin()
        self._num_header_bytes = 0
        self._has_begun = True
        self._patience.cancel()
        self._patience = self.loop.call_later(self.limits.receive_s, self._too_slow)
        self._extensions: dict[str, Any] = {ABORT: self.transport.abort}
        self.scope["extensions"] = self._extensions

    def on_url(self, url: bytes) -> None:
        if self._repeats:
            return
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._repeats:
            return
        self._count(len(name) + len(value))
        if not self._refused:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._repeats:
            return
        self._patience.cancel()
        if not self._refused:
            super().on_headers_complete()
            self._extensions[PIPE] = self._pipe = ResponsePipe(self.cycle)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, UntilClose(app, cycle) if cycle.scope["http_version"] == "1.0" else app)

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused and not (self.parser.should_upgrade() and self._framing()):
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Whatever the parser would say: in the shape of every other error."""
        self._refuse(MALFORMED)

    def _count(self, num_bytes: int) -> None:
        self._num_header_bytes += num_bytes
        too_large = self._num_header_bytes > self.limits.max_header_kib * 1024
        if too_large or len(self.headers) >= MAX_HEADERS:
            self._refuse(TOO_LARGE)

    def _too_slow(self) -> None:
        """A connection on which nothing was ever sent is closed without a word."""
        if self._has_begun:
            self._refuse(TOO_SLOW)
        else:
            self.transport.close()

    def _refuse(self, refusal: HttpRefusal) -> None:
        """Nothing is running on a connection that has sent no whole request, or what runs is cut with it."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        reply = reply_to(refusal)
        body = b"" if reply is None else reply.body
        lines = [
            b"HTTP/1.1 %d %s" % (refusal.status, refusal.code.replace("_", " ").encode()),
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
        ]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.transport.close()


def connection_class(limits: HttpLimits) -> type[Connection]:
    """uvicorn makes connections itself, from a class."""
    return type("BoundedConnection", (Connection,), {"limits": limits})
