"""A hand-off whose messages go over a near line: the same outcome, and gRPC serves wherever the line does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from baton.v1 import decode_pb2, kvtransfer_pb2, prefill_pb2
from common.engine.messages import BlocksReady, Drop, Join, Reserve, Reserved, Sealed, Submit
from common.types.attempt import Attempt
from common.types.timeouts import Timeouts
from decode_worker.lenders import LoanSource
from decode_worker.near_lines import LineLost, LineRefused, NearLines
from kvtransfer.near.door import NearDoor
from kvtransfer.near.line import NearLine
from tests.decode_worker.pair import FIRST, Pair, attempt, octets, pair
from tests.decode_worker.test_handoff import SOURCE_BLOCKS, Router
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH
from tests.kvtransfer.near.talk import POOL, Talk
from tests.kvtransfer.pools import descriptors

EARLIER, X = attempt(request="r-0"), attempt(request="r-1")
TARGET_BLOCKS = (8, 2, 5)
SOURCE = LoanSource("prefill:1", EPOCH, "p")


@asynccontextmanager
async def near(timeouts: Timeouts = Timeouts()) -> AsyncIterator[tuple[Pair, Router]]:
    """Two workers with a hand-off behind them, hence connected; the next attempt is attached, its blocks reserved."""
    async with pair(timeouts) as p:
        router = Router(p)
        await router.open()
        await router.run(EARLIER)
        await attach(p, router, EARLIER, 1, (9, 10, 11))
        p.lend(EARLIER, (0, 1, 2))
        assert await p.decode_engine.next() == Join(EARLIER.id, (FIRST,))
        await router.run(X, expect=(Drop(EARLIER.id), Submit(X, True)))
        p.counter.methods.clear()
        await attach(p, router, X, 2, TARGET_BLOCKS)
        yield p, router


async def attach(p: Pair, router: Router, x: Attempt, stream: int, blocks: tuple[int, ...]) -> None:
    await router.attach(x, stream=stream)
    assert await p.decode_engine.next() == Reserve(x)
    p.decode.on_events((Reserved(x.id, blocks, 0),))


async def test_neither_blocks_nor_the_verdict_are_asked_for_over_grpc() -> None:
    async with near() as (p, router):
        manifest = p.manifest(X, SOURCE_BLOCKS)
        p.prefill.on_events((BlocksReady(X.id, 0, manifest.blocks[:2]),))
        p.prefill.on_events((BlocksReady(X.id, 2, manifest.blocks[2:]), Sealed(manifest)))
        assert await p.decode_engine.next() == Join(X.id, (FIRST,))
        assert await router.closed() == prefill_pb2.LOAN_END_RELEASED
        assert await p.prefill_engine.next() == Drop(X.id)
        assert (octets(p.target)[list(TARGET_BLOCKS)] == octets(p.source)[list(SOURCE_BLOCKS)]).all()
        assert not p.counter.methods & {"Fetch", "Landed"}


async def test_a_flipped_bit_is_never_joined() -> None:
    async with near() as (p, router):
        manifest = p.manifest(X, SOURCE_BLOCKS)
        octets(p.source)[9, 5] ^= 1
        p.prefill.on_events((BlocksReady(X.id, 0, manifest.blocks), Sealed(manifest)))
        assert (await router.read()).failed.kind == decode_pb2.FAILURE_KIND_SOURCE_LOST
        assert await p.decode_engine.next() == Drop(X.id)


async def test_a_loan_that_ended_is_refused() -> None:
    async with near() as (p, router):
        higher = replace(X, id=X.id.next())
        await Router(p).run(higher, expect=(Drop(X.id), Submit(higher, True)))
        assert (await router.read()).failed.kind == decode_pb2.FAILURE_KIND_SOURCE_LOST
        assert await p.decode_engine.next() == Drop(X.id)


async def test_a_line_that_ends_in_the_middle_leaves_the_rest_to_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[NearLine] = []
    connect = NearLine.connect
    monkeypatch.setattr(NearLine, "connect", lambda *args, **named: _noted(lines, connect(*args, **named)))
    async with near() as (p, router):
        manifest = p.manifest(X, SOURCE_BLOCKS)
        p.prefill.on_events((BlocksReady(X.id, 0, manifest.blocks[:1]),))
        with pytest.raises(LineRefused):
            await lines[0].ask(b"")  # whatever was said before it has arrived
        lines[0].cut()
        p.prefill.on_events((BlocksReady(X.id, 1, manifest.blocks[1:]), Sealed(manifest)))
        assert await p.decode_engine.next() == Join(X.id, (FIRST,))
        assert p.counter.methods >= {"Fetch", "Landed"}
        assert await router.closed() == prefill_pb2.LOAN_END_RELEASED


async def test_a_lender_whose_server_is_gone_is_lost_though_its_line_stands() -> None:
    async with near(Timeouts(renew_s=0.02)) as (p, router):
        await p.prefill_server.stop(grace=None)
        assert (await router.read()).failed.kind == decode_pb2.FAILURE_KIND_SOURCE_LOST
        assert await p.decode_engine.next() == Drop(X.id)


async def test_a_lender_that_was_started_again_is_lost_to_those_who_wait_for_it() -> None:
    async with near() as (p, router):
        await router.meet(address="127.0.0.1:9")
        assert (await router.read()).failed.kind == decode_pb2.FAILURE_KIND_SOURCE_LOST
        assert await p.decode_engine.next() == Drop(X.id)


async def test_workers_that_share_no_memory_have_no_near_line() -> None:
    async with pair(transports=("tcp",)) as p:
        router = Router(p)
        await router.open()
        await router.run(X)
        await attach(p, router, X, 1, TARGET_BLOCKS)
        p.lend(X, SOURCE_BLOCKS)
        assert await p.decode_engine.next() == Join(X.id, (FIRST,))
        assert p.counter.methods >= {"Fetch", "Landed"}


@asynccontextmanager
async def answered(talk: Talk) -> AsyncIterator[NearLines[LoanSource]]:
    door = NearDoor(POOL, EPOCH, talk)
    await door.start()
    lines: NearLines[LoanSource] = NearLines(POOL, FETCHER_EPOCH, 5.0)
    await lines.open(SOURCE, EPOCH, door.endpoint(), door.ticket(FETCHER_EPOCH))
    try:
        async with asyncio.timeout(20):
            yield lines
    finally:
        await lines.close()
        await door.close()


async def test_answers_that_are_no_messages_are_no_answers() -> None:
    class Rubbish(Talk):
        def ask(self, request: bytes) -> bytes:
            return b"\xff\xff\xff"

    talk = Rubbish()
    async with answered(talk) as lines:
        assert lines.stands(SOURCE)
        talk.bodies.put_nowait(b"\xff\xff\xff")
        with pytest.raises(LineRefused):
            _ = [update async for update in lines.fetch(SOURCE, kvtransfer_pb2.FetchRequest())]
        assert await lines.landed(SOURCE, kvtransfer_pb2.LandedRequest(), 5.0) is None


async def test_a_line_that_ended_is_opened_again_and_two_at_once_leave_one() -> None:
    talk = Talk()
    door = NearDoor(POOL, EPOCH, talk)
    await door.start()
    lines: NearLines[LoanSource] = NearLines(POOL, FETCHER_EPOCH, 5.0)
    before = descriptors()
    for _ in range(2):
        offer = (SOURCE, EPOCH, door.endpoint(), door.ticket(FETCHER_EPOCH))
        await asyncio.gather(lines.open(*offer), lines.open(*offer))
        await lines.open(*offer)
        assert lines.stands(SOURCE)
        lines.cut(SOURCE)
        assert not lines.stands(SOURCE)
    await lines.close()
    await door.close()
    assert descriptors() <= before


async def test_a_lender_that_cannot_be_reached_this_way_has_no_line() -> None:
    async with answered(Talk()) as lines:
        elsewhere = replace(SOURCE, address="prefill:2")
        await lines.open(elsewhere, EPOCH, "unix-abstract:nobody", b"x" * 32)
        assert not lines.stands(elsewhere)
        lines.cut(elsewhere)
        with pytest.raises(LineLost):
            _ = [update async for update in lines.fetch(elsewhere, kvtransfer_pb2.FetchRequest())]
        assert await lines.landed(elsewhere, kvtransfer_pb2.LandedRequest(), 5.0) is None


async def _noted(lines: list[NearLine], connecting: object) -> NearLine:
    line = await connecting  # type: ignore[misc]
    assert isinstance(line, NearLine)
    lines.append(line)
    return line
