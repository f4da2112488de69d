"""A session over a near stream: what the call would carry, in the same order; and the end of either is the other's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from baton.v1 import decode_pb2, decode_pb2_grpc
from common.engine.messages import Drop, Joined, StepTokens, SubmitLocal
from common.net import convert
from common.net.near_entry import call_near
from common.net.near_stream import NearStream
from common.net.unix import NotReached
from common.types.attempt import Attempt
from common.types.sampling import FinishReason, SampledToken, TokenLogprobs
from common.types.timeouts import Timeouts
from decode_worker.side import DecodeSide
from kvtransfer.transports.contract import PoolBytes
from tests.decode_worker.pair import (
    DECODE_EPOCH,
    FIRST,
    LAYOUT,
    ROUTER_EPOCH,
    Engine,
    Pair,
    attempt,
    octets,
    pair,
)

PATIENCE_S = 20.0
SOON = 0.05


class NearRouter:
    """A router of the same host."""

    def __init__(self, p: Pair) -> None:
        self.call = decode_pb2_grpc.DecodeStub(p.decode_channel).Session()
        self.heard: asyncio.Queue[decode_pb2.SessionResponse] = asyncio.Queue()
        self.offer = decode_pb2.NearOffer()
        self.stream: NearStream

    async def open(self, num_frames: int = 64) -> None:
        opening = decode_pb2.SessionOpen(router_epoch=ROUTER_EPOCH, epoch=DECODE_EPOCH, num_frames=num_frames)
        await self.call.write(decode_pb2.SessionRequest(open=opening))
        response = await self.call.read()
        assert isinstance(response, decode_pb2.SessionResponse)
        self.offer = response.opened.near

    async def come(self) -> None:
        self.stream = await call_near(self.offer.endpoint, self.offer.ticket, self._hear, PATIENCE_S)

    def _hear(self, message: bytes) -> None:
        self.heard.put_nowait(decode_pb2.SessionResponse.FromString(message))

    async def say(self, **command: Any) -> None:
        await self.stream.write(decode_pb2.SessionRequest(**command).SerializeToString())

    async def attach(self, x: Attempt, stream: int = 1) -> None:
        message = convert.attempt_to_proto(x)
        await self.say(attach=decode_pb2.Attach(stream=stream, attempt=message, remaining_ms=20_000))

    async def read(self) -> decode_pb2.SessionResponse:
        async with asyncio.timeout(PATIENCE_S):
            return await self.heard.get()

    async def code(self) -> grpc.StatusCode:
        """How the call ended."""
        async with asyncio.timeout(PATIENCE_S):
            code = await self.call.code()
        assert isinstance(code, grpc.StatusCode)
        return code


@asynccontextmanager
async def near(timeouts: Timeouts = Timeouts(), num_frames: int = 64) -> AsyncIterator[tuple[Pair, NearRouter]]:
    async with pair(timeouts) as p:
        router = NearRouter(p)
        await router.open(num_frames)
        await router.come()
        try:
            yield p, router
        finally:
            router.stream.cut("the test is over")
            router.call.cancel()


@asynccontextmanager
async def attached(
    x: Attempt, timeouts: Timeouts = Timeouts(), num_frames: int = 64
) -> AsyncIterator[tuple[Pair, NearRouter]]:
    async with near(timeouts, num_frames) as (p, router):
        await router.attach(x)
        assert await p.decode_engine.next() == SubmitLocal(x)
        yield p, router


def token(index: int, finish: FinishReason | None = None) -> SampledToken:
    return SampledToken(0, index, 7 + index, None, finish)


async def test_all_that_is_said_goes_over_it_in_order() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        p.decode.on_events((Joined(x.id), StepTokens(((x.id, FIRST),))))
        assert (await router.read()).joined.stream == 1
        assert list((await router.read()).step.token_ids) == [7]
        for index in range(1, 30):
            p.decode.on_events((StepTokens(((x.id, token(index)),)),))
            assert list((await router.read()).step.indices) == [index]


async def test_credit_and_cancel_are_heard_over_it() -> None:
    x = attempt()
    async with attached(x, num_frames=1) as (p, router):
        for index in range(3):
            p.decode.on_events((StepTokens(((x.id, token(index)),)),))
            await asyncio.sleep(0)
        first = (await router.read()).step
        assert router.heard.empty()
        await router.say(credit=decode_pb2.Credit(num_frames=1))
        assert [*first.indices, *(await router.read()).step.indices] == [0, 1, 2]
        await router.say(cancel=decode_pb2.Cancel(stream=1))
        assert await p.decode_engine.next() == Drop(x.id)


async def test_a_router_that_cuts_it_takes_its_attempts_along() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        router.stream.cut("gone")
        assert await p.decode_engine.next() == Drop(x.id)
        assert await router.code() is grpc.StatusCode.CANCELLED


async def test_a_router_that_hangs_up_the_call_ends_the_stream() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        router.call.cancel()
        assert await p.decode_engine.next() == Drop(x.id)
        assert await router.stream.ended == "the other end closed it"


async def test_a_lost_router_is_cut_off() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        p.decode.cancel_router(ROUTER_EPOCH)
        assert await p.decode_engine.next() == Drop(x.id)
        assert await router.stream.ended == "the other end closed it"


async def test_a_worker_that_leaves_says_all_it_had_to_say() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        p.decode.on_events((StepTokens(((x.id, FIRST),)), StepTokens(((x.id, token(1, FinishReason.STOP)),))))
        p.decode.finish()
        await router.stream.ended
        assert list((await router.read()).step.indices) == [0, 1]


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff\xff",
        b"",
        decode_pb2.SessionRequest(open=decode_pb2.SessionOpen()).SerializeToString(),
        decode_pb2.SessionRequest(attach=decode_pb2.Attach(stream=2)).SerializeToString(),
    ],
    ids=["no message", "no command", "a second opening", "no attempt"],
)
async def test_a_malformed_command_ends_the_session_and_not_the_worker(said: bytes) -> None:
    x = attempt()
    async with attached(x) as (p, router):
        await router.stream.write(said)
        await router.stream.ended
        assert await p.decode_engine.next() == Drop(x.id)
        again = NearRouter(p)
        await again.open()
        await again.come()
        await again.attach(attempt(request="r-2"))
        assert isinstance(await p.decode_engine.next(), SubmitLocal)
        again.stream.cut("the test is over")
        again.call.cancel()


async def test_a_router_that_reads_nothing_costs_memory_for_a_while_only() -> None:
    x = attempt()
    async with attached(x, Timeouts(stalled_reader_s=SOON), num_frames=1 << 20) as (p, router):
        router.stream._transport.pause_reading()
        dear = TokenLogprobs(7, -1.0, tuple((id, -1.0) for id in range(100)))
        rows = tuple((x.id, SampledToken(0, index, 7, dear)) for index in range(200))
        while not p.decode.idle.is_set():
            p.decode.on_events((StepTokens(rows),))
            await asyncio.sleep(SOON / 50)
        assert await p.decode_engine.next() == Drop(x.id)
        assert await router.code() is grpc.StatusCode.CANCELLED


async def test_a_ticket_is_no_good_after_its_session() -> None:
    async with pair() as p:
        router = NearRouter(p)
        await router.open()
        router.call.cancel()
        again = NearRouter(p)
        await again.open()
        await again.come()
        with pytest.raises(NotReached):
            await router.come()
        again.stream.cut("the test is over")
        again.call.cancel()


async def test_sessions_have_a_stream_each() -> None:
    async with near() as (p, first):
        second = NearRouter(p)
        await second.open()
        await second.come()
        for number, router in enumerate((first, second)):
            x = attempt(request=f"r-{number}")
            await router.attach(x)
            assert await p.decode_engine.next() == SubmitLocal(x)
            p.decode.on_events((StepTokens(((x.id, token(number)),)),))
            assert list((await router.read()).step.indices) == [number]
        second.stream.cut("gone")
        assert await p.decode_engine.next() == Drop(attempt(request="r-1").id)
        assert not first.stream.ended.done()
        second.call.cancel()


def side(p: Pair, transports: tuple[str, ...] = ("shm",), runtime_dir: str | None = None) -> DecodeSide:
    pool = PoolBytes(p.target.fd, octets(p.target), LAYOUT.fingerprint)
    engine = Engine()
    return DecodeSide(engine.post, pool, LAYOUT, 1, Timeouts(), lambda: None, transports, runtime_dir=runtime_dir)


async def test_workers_that_share_nothing_on_a_host_offer_none(tmp_path: Path) -> None:
    """Nor does one whose folder cannot be used; it works all the same."""
    async with pair() as p:
        for other in (side(p, ("tcp",)), side(p, runtime_dir=str(tmp_path / "none"))):
            await other.start()
            assert other._entry is None or not other._entry.is_open
            await other.close()
