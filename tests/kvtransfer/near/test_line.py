"""Near lines from end to end: asking, following, hanging up, refusals, and what an end does to open calls."""

import asyncio
import socket

import pytest

from kvtransfer.near.door import NearDoor
from kvtransfer.near.frames import Frame, Kind, Wire
from kvtransfer.near.line import LineLost, LineRefused, NearLine
from kvtransfer.transports.contract import TransportFailed
from kvtransfer.transports.hello import WELCOME
from kvtransfer.transports.sockets import receive
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH
from tests.kvtransfer.near.talk import POOL, Talk, hello_for, talking


async def everything(line: NearLine, request: bytes) -> list[bytes]:
    return [body async for body in line.follow(request)]


async def test_many_are_answered_at_once_each_with_its_own() -> None:
    async with talking() as (talk, _, line):
        answers = await asyncio.gather(*(line.ask(b"q%d" % number) for number in range(100)))
        assert answers == [b"Q%d" % number for number in range(100)]
        assert len(talk.asked) == 100


async def test_a_call_is_followed_until_it_is_over() -> None:
    async with talking() as (talk, _, line):
        following = asyncio.create_task(everything(line, b"f"))
        for body in (b"1", b"2", b"x" * 900_000, None):
            talk.bodies.put_nowait(body)
        assert await following == [b"f1", b"f2", b"f" + b"x" * 900_000]
        assert await line.ask(b"and") == b"AND"


async def test_who_hangs_up_ends_the_call_and_nothing_else() -> None:
    async with talking() as (talk, _, line):
        call = line.follow(b"f")
        talk.bodies.put_nowait(b"1")
        assert await anext(call) == b"f1"
        await call.aclose()
        await talk.left.wait()
        assert await line.ask(b"still") == b"STILL"


async def test_a_refusal_is_the_calls_alone() -> None:
    async with talking() as (_, _, line):
        with pytest.raises(LineRefused):
            await line.ask(b"refuse")
        with pytest.raises(LineRefused):
            await everything(line, b"refuse")
        assert not line.lost
        assert await line.ask(b"fine") == b"FINE"


async def test_calls_over_the_limit_are_refused() -> None:
    async with talking(max_calls=1) as (talk, _, line):
        first = asyncio.create_task(everything(line, b"f"))
        await line.ask(b"it stands")
        with pytest.raises(LineRefused):
            await everything(line, b"g")
        talk.bodies.put_nowait(None)
        assert await first == []


async def test_a_lender_that_leaves_ends_every_call() -> None:
    async with talking() as (_, door, line):
        following = asyncio.create_task(everything(line, b"f"))
        await line.ask(b"it stands")
        await door.close()
        with pytest.raises(LineLost):
            await following
        assert line.lost
        with pytest.raises(LineLost):
            await line.ask(b"too late")
        with pytest.raises(LineLost):
            await everything(line, b"too late")


async def test_a_line_that_is_cut_ends_every_call_and_the_lenders_side_too() -> None:
    async with talking() as (talk, _, line):
        following = asyncio.create_task(everything(line, b"f"))
        await line.ask(b"it stands")
        line.cut()
        with pytest.raises(LineLost):
            await following
        await talk.left.wait()


async def test_only_who_holds_a_ticket_of_this_boot_is_let_in() -> None:
    async with talking() as (_, door, _):
        with pytest.raises(TransportFailed, match="ticket"):
            await NearLine.connect(door.endpoint(), hello_for(door, fetcher_epoch=FETCHER_EPOCH + 1))
        with pytest.raises(TransportFailed, match="restarted"):
            await NearLine.connect(door.endpoint(), hello_for(door, lender_epoch=EPOCH + 1))


async def test_where_nobody_listens_there_is_no_line() -> None:
    door = NearDoor(POOL, EPOCH, Talk())
    await door.start()
    hello = hello_for(door)
    await door.close()
    with pytest.raises(TransportFailed, match="no near line"):
        await NearLine.connect(door.endpoint(), hello)
    with pytest.raises(TransportFailed, match="unknown kind of address"):
        await NearLine.connect("tcp:1.2.3.4", hello)


@pytest.mark.parametrize("data", [b"\xff" * 64, Frame(Kind.ANSWER, 1, b"x").pack(), Frame(Kind.FOLLOW, 1).pack() * 2])
async def test_a_fetcher_that_makes_no_sense_is_cut_off(data: bytes) -> None:
    async with talking() as (_, door, line):
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
            await loop.sock_connect(sock, "\0" + door.endpoint().partition(":")[2])
            await loop.sock_sendall(sock, hello_for(door).pack())
            await receive(sock, WELCOME.size)
            await loop.sock_sendall(sock, data)
            assert await loop.sock_recv(sock, 1) == b""
        assert await line.ask(b"others stay") == b"OTHERS STAY"


async def test_a_lender_that_makes_no_sense_is_lost() -> None:
    here, there = socket.socketpair()
    with there:
        here.setblocking(False)
        line = NearLine(here, 20.0)
        there.sendall(b"\xff" * 64)
        with pytest.raises(LineLost):
            await line.ask(b"hello")
        await line.close()


async def test_an_answer_to_a_call_that_is_over_is_dropped() -> None:
    here, there = socket.socketpair()
    with there:
        here.setblocking(False)
        there.setblocking(False)
        line, lender = NearLine(here, 20.0), Wire(there, 20.0)
        asking = asyncio.create_task(line.ask(b"hello"))
        [frame] = await lender.receive()
        await lender.send(Frame(Kind.ANSWER, frame.call + 1, b"another's"))
        await lender.send(Frame(Kind.ANSWER, frame.call, b"mine"))
        assert await asking == b"mine"
        await line.close()
