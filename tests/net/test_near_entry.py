"""Who is let in by a near stream's entry, and what becomes of everybody else."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from common.net import near_entry
from common.net.near_entry import MAX_STRANGERS, TICKET_BYTES, NearEntry, call_near
from common.net.near_stream import HEADER, NearStream
from common.net.unix import NotReached
from common.types.errors import StartupError
from tests.net.near import PATIENCE_S, Expecting, Heard, entry

SOON = 0.05


@asynccontextmanager
async def connected(door: NearEntry) -> AsyncIterator[socket.socket]:
    """A stranger that has said nothing yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        await asyncio.get_running_loop().sock_connect(sock, "\0" + door.endpoint.partition(":")[2])
        yield sock


async def read(sock: socket.socket) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await asyncio.get_running_loop().sock_recv(sock, 64)
        except ConnectionResetError:
            return b""


async def test_a_ticket_lets_in_once() -> None:
    async with entry() as door:
        expecting, ticket = Expecting(), b""
        ticket = door.expect(expecting.admit)
        stream = await call_near(door.endpoint, ticket, Heard().take, PATIENCE_S)
        with pytest.raises(NotReached, match="refused"):
            await call_near(door.endpoint, ticket, Heard().take, PATIENCE_S)
        await stream.write(b"hello")
        assert await expecting.heard.num(1) == [b"hello"]
        stream.close()


async def test_each_ticket_leads_to_who_expects_it() -> None:
    async with entry() as door:
        expecting = [Expecting() for _ in range(8)]
        tickets = [door.expect(each.admit) for each in expecting]
        streams = await asyncio.gather(
            *(call_near(door.endpoint, ticket, Heard().take, PATIENCE_S) for ticket in tickets)
        )
        for number, stream in enumerate(streams):
            await stream.write(b"%d" % number)
        for number, each in enumerate(expecting):
            assert await each.heard.num(1) == [b"%d" % number]
        for stream in streams:
            stream.close()


async def test_what_was_said_right_behind_the_ticket_is_heard() -> None:
    async with entry() as door, connected(door) as sock:
        expecting = Expecting()
        ticket = door.expect(expecting.admit)
        long = bytes(5 * TICKET_BYTES)
        sock.send(HEADER.pack(TICKET_BYTES) + ticket + HEADER.pack(len(long)) + long)
        assert await expecting.heard.num(1) == [long]
        assert await read(sock) == HEADER.pack(0)


async def test_a_forgotten_ticket_lets_nobody_in() -> None:
    async with entry() as door:
        ticket = door.expect(Expecting().admit)
        door.forget(ticket)
        door.forget(ticket)
        with pytest.raises(NotReached, match="refused"):
            await call_near(door.endpoint, ticket, Heard().take, PATIENCE_S)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", HEADER.pack(TICKET_BYTES) + bytes(TICKET_BYTES)])
async def test_anything_else_is_cut(said: bytes) -> None:
    async with entry() as door, connected(door) as sock:
        sock.send(said)
        assert await read(sock) == b""


async def test_who_says_nothing_is_cut_after_a_while() -> None:
    async with entry(receipt_s=SOON) as door, connected(door) as sock:
        assert await read(sock) == b""


async def test_strangers_are_few_and_make_room_when_they_go() -> None:
    async with entry() as door:
        strangers = []
        for _ in range(MAX_STRANGERS):
            strangers.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            await asyncio.get_running_loop().sock_connect(strangers[-1], "\0" + door.endpoint.partition(":")[2])
        async with connected(door) as sock:
            assert await read(sock) == b""
        for stranger in strangers:
            stranger.close()
        expecting = Expecting()
        stream = await admitted(door, expecting)
        stream.close()


async def admitted(door: NearEntry, expecting: Expecting) -> NearStream:
    """The entry hears of those who left when its loop gets round to it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            ticket = door.expect(expecting.admit)
            try:
                return await call_near(door.endpoint, ticket, Heard().take, PATIENCE_S)
            except NotReached:
                await asyncio.sleep(0)


async def test_another_user_is_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_entry, "same_user", lambda sock: False)
    async with entry() as door:
        with pytest.raises(NotReached, match="refused"):
            await call_near(door.endpoint, door.expect(Expecting().admit), Heard().take, PATIENCE_S)


async def test_another_users_entry_is_told_no_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.net.unix.same_user", lambda sock: False)
    async with entry() as door:
        expecting = Expecting()
        with pytest.raises(NotReached, match="another user"):
            await call_near(door.endpoint, door.expect(expecting.admit), Heard().take, PATIENCE_S)
        assert not expecting.came.done()


@pytest.mark.parametrize("endpoint", ["unix-abstract:nobody", "unix:/none/such", "tcp:127.0.0.1:1", "unix:", ""])
async def test_where_nobody_listens_nobody_is_reached(endpoint: str) -> None:
    with pytest.raises(NotReached):
        await call_near(endpoint, bytes(TICKET_BYTES), Heard().take, PATIENCE_S)


async def test_who_is_not_answered_does_not_wait_for_ever() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(f"\0baton-silent-{os.getpid()}")
        silent.listen()
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(NotReached, match="nobody answered"):
            await call_near(f"unix-abstract:baton-silent-{os.getpid()}", bytes(TICKET_BYTES), Heard().take, SOON)
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) <= before


async def test_an_entry_lies_in_a_folder_where_one_is_given(tmp_path: Path) -> None:
    door = NearEntry(str(tmp_path))
    await door.start()
    stream = await call_near(door.endpoint, door.expect(Expecting().admit), Heard().take, PATIENCE_S)
    stream.close()
    await door.close()
    assert os.listdir(tmp_path) == []


async def test_a_folder_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    door = NearEntry(str(tmp_path / "none"))
    with pytest.raises(StartupError, match="unix socket"):
        await door.start()
    assert not door.is_open
    await door.close()


async def test_closing_cuts_strangers_and_leaves_streams() -> None:
    async with entry() as door, connected(door) as sock:
        expecting = Expecting()
        stream = await call_near(door.endpoint, door.expect(expecting.admit), Heard().take, PATIENCE_S)
        await door.close()
        assert await read(sock) == b""
        await stream.write(b"still")
        assert await expecting.heard.num(1) == [b"still"]
        stream.close()
