"""Messages in a stream of bytes: behind a header each, whose first number says how many bytes follow it. No I/O."""

from collections.abc import Iterator
from struct import Struct


class TooLong(Exception):
    """A header announces more bytes than a message may have."""


class Unpacker:
    """Takes bytes as they come, and gives whole messages; keeps no more than one that is not whole yet."""

    def __init__(self, header: Struct, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._header = header
        self._unread = b""

    def feed(self, data: bytes) -> Iterator[tuple[tuple[int, ...], bytes]]:
        """Each message's header and the rest of it. Raises `TooLong` in its place; nothing is to be fed then."""
        unread = self._unread + data if self._unread else data
        self._unread, start, header = b"", 0, self._header
        while len(unread) - start >= header.size:
            numbers = header.unpack_from(unread, start)
            if numbers[0] > self.max_bytes:
                raise TooLong
            end = start + header.size + numbers[0]
            if len(unread) < end:
                break
            yield numbers, unread[start + header.size : end]
            start = end
        self._unread = unread[start:]
