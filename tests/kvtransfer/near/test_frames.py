"""Frames: what is sent comes out again however the stream is cut, and nothing else does."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kvtransfer.near.frames import HEADER, MAX_BYTES, Frame, Kind, Wire
from kvtransfer.transports.hello import Malformed
from kvtransfer.transports.sockets import Disconnected

FRAMES = [Frame(Kind.ASK, 1, b"one"), Frame(Kind.HANG_UP, 2**32 - 1), Frame(Kind.ANSWER, 7, bytes(range(256)) * 1000)]


@asynccontextmanager
async def wires(stall_s: float = 20.0) -> AsyncIterator[tuple[Wire, Wire, socket.socket]]:
    """Two ends, and the socket of the first."""
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        yield Wire(here, stall_s), Wire(there, stall_s), here


async def gather(wire: Wire, num: int) -> list[Frame]:
    frames: list[Frame] = []
    while len(frames) < num:
        frames += await wire.receive()
    return frames


async def flood(wire: Wire) -> None:
    while True:
        await wire.send(FRAMES[2])


async def test_frames_arrive_whole_and_in_order() -> None:
    async with wires() as (near, far, _):
        reading = asyncio.create_task(gather(far, 3 * len(FRAMES)))
        for frame in FRAMES * 3:
            await near.send(frame)
        assert await reading == FRAMES * 3


async def test_frames_of_many_senders_are_never_mixed() -> None:
    frames = [Frame(Kind.ANSWER, call, bytes([call]) * 100_000) for call in range(20)]
    async with wires() as (near, far, _):
        reading = asyncio.create_task(gather(far, len(frames)))
        await asyncio.gather(*(near.send(frame) for frame in frames))
        assert sorted(await reading) == frames


async def test_a_stream_may_be_cut_anywhere() -> None:
    data = b"".join(frame.pack() for frame in (*FRAMES[:2], Frame(Kind.OVER, 3, b"x" * 9)))
    async with wires() as (_, far, sock):
        reading = asyncio.create_task(gather(far, 3))
        for place in range(len(data)):
            sock.send(data[place : place + 1])
            await asyncio.sleep(0)
        assert [frame.call for frame in await reading] == [1, 2**32 - 1, 3]


@pytest.mark.parametrize("header", [(0, 1, 0), (0, 1, 99), (MAX_BYTES + 1, 1, int(Kind.ASK))])
async def test_anything_else_is_malformed(header: tuple[int, int, int]) -> None:
    async with wires() as (_, far, sock):
        sock.send(HEADER.pack(*header))
        with pytest.raises(Malformed):
            await far.receive()


async def test_the_end_is_told_even_inside_a_frame() -> None:
    async with wires() as (near, far, sock):
        sock.send(FRAMES[0].pack()[:-1])
        near.cut()
        with pytest.raises(Disconnected):
            await far.receive()
        near.cut()


async def test_who_does_not_read_is_cut_off() -> None:
    async with wires(stall_s=0.01) as (near, far, _):
        with pytest.raises(TimeoutError):
            await flood(near)
        with pytest.raises(Disconnected):
            await gather(far, 2**32)
