"""HTTP/1.1 answers from bytes as they come: status, headers, body. Pure; knows nothing of sockets or of bodies.

Only what a client of one request at a time needs: lengths, chunks, and bodies that end with the connection.
"""

from enum import Enum

MAX_HEAD_BYTES = 64 << 10
HEX_DIGITS = b"0123456789abcdefABCDEF"


class Malformed(Exception):
    """What came is no HTTP answer."""


class _Await(Enum):
    HEAD = "head"
    SIZE = "size"
    DATA = "data"
    GAP = "gap"
    TRAILER = "trailer"
    LENGTH = "length"
    CLOSE = "close"
    NOTHING = "nothing"


class Response:
    """Feed it bytes; it gives the body's bytes. `complete` once all of it came."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._await = _Await.HEAD
        self._buffer = b""
        self._left = 0

    @property
    def complete(self) -> bool:
        return self._await is _Await.NOTHING

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request."""
        return self.complete and not self._buffer and self.headers.get("connection", "").lower() != "close"

    def feed(self, data: bytes) -> bytes:
        """The body's new bytes."""
        self._buffer = self._buffer + data if self._buffer else data
        body: list[bytes] = []
        while self._advance(body):
            continue
        return body[0] if len(body) == 1 else b"".join(body)

    def end(self) -> None:
        """The connection was closed; raises Malformed when that was too early."""
        if self._await is _Await.CLOSE:
            self._await = _Await.NOTHING
        if not self.complete:
            raise Malformed("the connection was closed before the answer's end")

    def _advance(self, body: list[bytes]) -> bool:
        """One part further; False when more bytes are needed."""
        match self._await:
            case _Await.HEAD:
                return self._head()
            case _Await.SIZE:
                return self._size()
            case _Await.DATA | _Await.LENGTH:
                return self._data(body)
            case _Await.GAP:
                return self._line() is not None and self._to(_Await.SIZE)
            case _Await.TRAILER:
                line = self._line()
                return line is not None and self._to(_Await.TRAILER if line else _Await.NOTHING)
            case _Await.CLOSE:
                if self._buffer:
                    body.append(self._buffer)
                    self._buffer = b""
                return False
            case _:
                return False

    def _to(self, state: _Await) -> bool:
        self._await = state
        return True

    def _line(self) -> bytes | None:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise Malformed("a line without an end")
            return None
        self._buffer = rest
        return line

    def _head(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise Malformed("a head without an end")
            return False
        self._buffer = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        parts = first.split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdecimal():
            raise Malformed("no HTTP status line")
        self.status = int(parts[1])
        if self.status // 100 == 1:  # such as 100 Continue: the answer itself is still to come
            return True
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        return self._to(self._body_state())

    def _body_state(self) -> _Await:
        if self.status in (204, 304):
            return _Await.NOTHING
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return _Await.SIZE
        length = self.headers.get("content-length")
        if length is None:
            return _Await.CLOSE
        if not length.isdecimal():
            raise Malformed("a content length that is no number")
        self._left = int(length)
        return _Await.LENGTH if self._left else _Await.NOTHING

    def _size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        size = line.partition(b";")[0].strip()
        if not size or size.strip(HEX_DIGITS):
            raise Malformed("a chunk without a size")
        self._left = int(size, 16)
        return self._to(_Await.DATA if self._left else _Await.TRAILER)

    def _data(self, body: list[bytes]) -> bool:
        part = self._buffer[: self._left]
        if not part:
            return False
        body.append(part)
        self._buffer = self._buffer[len(part) :]
        self._left -= len(part)
        if self._left:
            return False
        return self._to(_Await.GAP if self._await is _Await.DATA else _Await.NOTHING)
