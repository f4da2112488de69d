"""One connection, exchange by exchange, on paper: what is kept, what is lost, and what nobody asked for."""

import asyncio

import pytest

from loadtest.bench.http_connection import Connection, Lost
from loadtest.bench.http_wire import Malformed

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


class PaperTransport(asyncio.Transport):
    """Remembers what was written, and closes when told."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False
        self._connection = connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


class Exchange:
    """A connection with a request under way."""

    def __init__(self) -> None:
        self.connection = Connection()
        self.transport = PaperTransport(self.connection)
        self.connection.connection_made(self.transport)
        self.bodies: list[bytes] = []

    async def begin(self) -> "asyncio.Task[tuple[int, bool]]":
        task = asyncio.create_task(self.connection.exchange(REQUEST, self.bodies.append))
        await asyncio.sleep(0)
        return task


async def test_a_body_is_handed_on_as_it_comes_and_the_connection_stays() -> None:
    made = Exchange()
    for number in range(2):
        task = await made.begin()
        made.connection.data_received(ANSWER[:-3])
        assert b"".join(made.bodies) == b"hello" * number + b"he"
        made.connection.data_received(ANSWER[-3:])
        assert await task == (200, True)
        assert made.connection.usable
    assert made.transport.written == [REQUEST] * 2
    assert b"".join(made.bodies) == b"hellohello"


async def test_a_server_that_closes_is_not_asked_again() -> None:
    made = Exchange()
    task = await made.begin()
    made.connection.data_received(ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert await task == (200, False)


async def test_a_body_that_ends_with_the_connection_is_whole() -> None:
    made = Exchange()
    task = await made.begin()
    made.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nall")
    made.connection.connection_lost(None)
    assert await task == (200, False)
    assert made.bodies == [b"all"]


@pytest.mark.parametrize(("come", "begun"), [(b"", False), (ANSWER[:9], True), (ANSWER[:-1], True)])
async def test_an_exchange_that_breaks_off_says_whether_it_had_begun(come: bytes, begun: bool) -> None:
    made = Exchange()
    task = await made.begin()
    if come:
        made.connection.data_received(come)
    made.connection.connection_lost(ConnectionResetError())
    with pytest.raises(Lost) as lost:
        await task
    assert lost.value.begun is begun
    assert not made.connection.usable


async def test_what_is_no_http_is_raised_to_who_asked() -> None:
    made = Exchange()
    task = await made.begin()
    made.connection.data_received(b"SSH-2.0\r\n\r\n")
    with pytest.raises(Malformed):
        await task


async def test_what_the_reader_raises_is_raised_to_who_asked() -> None:
    made = Exchange()

    def refuse(data: bytes) -> None:
        raise ValueError("no event")

    task = asyncio.create_task(made.connection.exchange(REQUEST, refuse))
    await asyncio.sleep(0)
    made.connection.data_received(ANSWER)
    with pytest.raises(ValueError, match="no event"):
        await task


async def test_words_that_nobody_asked_for_end_the_connection() -> None:
    made = Exchange()
    made.connection.data_received(ANSWER)
    assert made.transport.closed
    assert not made.connection.usable
    with pytest.raises(Lost) as lost:
        await made.connection.exchange(REQUEST, made.bodies.append)
    assert not lost.value.begun
    assert made.transport.written == []


async def test_an_exchange_that_was_given_up_leaves_nobody_waiting() -> None:
    made = Exchange()
    task = await made.begin()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    made.connection.data_received(ANSWER)
    assert made.bodies == []
    assert made.transport.closed, "its answer belongs to nobody"


async def test_a_connection_that_was_never_made_is_not_usable() -> None:
    connection = Connection()
    assert not connection.usable
    connection.close()
    connection.connection_lost(None)
    with pytest.raises(Lost):
        await connection.exchange(REQUEST, print)
