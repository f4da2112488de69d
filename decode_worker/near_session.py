"""A session's near stream: offered to its router, and taken where that is a process of this host.

The same messages as in the call, which stays open and says nothing then: the end of either ends the session.
"""

import logging
from collections.abc import Callable

from google.protobuf.message import DecodeError

from baton.v1 import decode_pb2
from common.net.near_entry import NearEntry
from common.net.near_stream import NearStream, NearStreamEnded, Receive
from common.types.errors import Cancelled, invalid

Command = Callable[[decode_pb2.SessionRequest], None]
_log = logging.getLogger("baton.decode")


class NearSession:
    """At most one stream. `command` hears what comes over it, `on_end` once that it ended."""

    def __init__(self, entry: NearEntry | None, stall_s: float, command: Command, on_end: Callable[[], None]) -> None:
        self._entry, self._stall_s, self._command, self._on_end = entry, stall_s, command, on_end
        self._stream: NearStream | None = None
        self._ticket = b""

    def offer(self) -> decode_pb2.NearOffer | None:
        """For the router; None where nobody could come."""
        if self._entry is None or not self._entry.is_open:
            return None
        self._ticket = self._entry.expect(self._admit)
        return decode_pb2.NearOffer(endpoint=self._entry.endpoint, ticket=self._ticket)

    async def write(self, response: decode_pb2.SessionResponse) -> bool:
        """Whether it goes this way, as all does once the router came; raises `Cancelled` when that takes no more."""
        if self._stream is None:
            return False
        try:
            await self._stream.write(response.SerializeToString())
        except NearStreamEnded as ended:
            _log.info("near stream ended", extra={"reason": str(ended)})
            raise Cancelled("the router closed the session, or stopped reading") from None
        return True

    def close(self) -> None:
        """What was written still leaves."""
        if self._entry is not None:
            self._entry.forget(self._ticket)
        if self._stream is not None:
            self._stream.close()

    def _admit(self, stream: NearStream) -> Receive:
        self._stream = stream
        stream.stall_s = self._stall_s
        stream.ended.add_done_callback(lambda _: self._on_end())
        return self._receive

    def _receive(self, message: bytes) -> None:
        try:
            request = decode_pb2.SessionRequest.FromString(message)
        except DecodeError:
            raise invalid("request", "is not a message of this method") from None
        self._command(request)
