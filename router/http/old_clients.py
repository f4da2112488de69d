"""Streams for clients of HTTP/1.0, which know no chunks: such an answer ends where the connection does.

Knows uvicorn's cycle of one request; knows nothing of what is sent.
"""

import sys
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class UntilClose:
    """Around the application, for one request. An answer that says how long it is goes out as it is."""

    def __init__(self, app: Any, cycle: RequestResponseCycle) -> None:
        self._app, self._cycle = app, cycle
        self._endless = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def plain(message: MutableMapping[str, Any]) -> None:
            self._look_at(message)
            await send(message)

        await self._app(scope, receive, plain)

    def _look_at(self, message: MutableMapping[str, Any]) -> None:
        """What is not in chunks must have a length for uvicorn: any, until the last piece is known."""
        if message["type"] == "http.response.start":
            self._endless = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
            if self._endless:
                self._cycle.chunked_encoding, self._cycle.expected_content_length = False, sys.maxsize
                self._cycle.keep_alive = False
        elif self._endless and not message.get("more_body", False):
            self._cycle.expected_content_length = len(message.get("body", b""))
