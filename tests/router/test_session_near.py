"""Sessions over near streams: nothing else changes, a broken one is a loss, and the call serves where there is none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from baton.v1 import decode_pb2
from common.net.near_entry import NearEntry
from common.net.near_stream import HEADER, MAX_BYTES
from tests.router.fake_workers import FakeDecode
from tests.router.rig import Rig, Worker, read, rig
from tests.router.script import PATIENCE_S

NOWHERE = decode_pb2.NearOffer(endpoint="unix-abstract:nobody", ticket=bytes(32))


@dataclass
class NearRig:
    """A router, and a decode worker that offers near streams."""

    rig: Rig
    worker: Worker
    service: FakeDecode


@asynccontextmanager
async def near(folder: Path) -> AsyncIterator[NearRig]:
    entry = NearEntry()
    await entry.start()
    try:
        async with rig(folder) as fleet:
            await fleet.prefill()
            worker = await fleet.decode("d0")
            worker.service.entry = entry
            yield NearRig(fleet, worker, worker.service)
    finally:
        await entry.close()


async def test_an_answer_comes_over_it_and_nothing_over_the_call(tmp_path: Path) -> None:
    async with near(tmp_path) as n:
        reply = await n.rig.reply(max_tokens=200, n=2)
        assert {choice: len(tokens) for choice, tokens in reply.tokens.items()} == {0: 200, 1: 200}
        assert len(n.service.near) == 1
        assert n.service.num_frames > 64, "more than a window: credit was granted"
        assert n.service.num_called == 1, "the opening"
        assert (await n.rig.reply(max_tokens=6)).texts == {0: "abcdef"}
        assert n.service.num_sessions == 1


async def test_a_client_that_hangs_up_is_told_over_it(tmp_path: Path) -> None:
    async with near(tmp_path) as n:
        n.worker.script.hold("token 3")
        call = n.rig.generate(max_tokens=6)
        await n.worker.script.saw("token 3")
        call.cancel()
        await n.worker.script.saw("cancelled")


async def test_the_call_serves_where_nobody_listens(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        worker = await fleet.decode("d0")
        worker.service.offer = NOWHERE
        assert (await fleet.reply(max_tokens=6)).texts == {0: "abcdef"}
        assert worker.service.num_called > 2


async def broken(tmp_path: Path, said: bytes | None) -> None:
    """Says this, or cuts, in the middle of an answer, which another attempt completes in a new session."""
    async with near(tmp_path) as n:
        n.worker.script.hold("token 3")
        call = n.rig.generate(max_tokens=6)
        await n.worker.script.saw("token 3")
        (stream,) = n.service.near
        if said is None:
            stream.cut("broken")
        else:
            stream._transport.write(said)
            async with asyncio.timeout(PATIENCE_S):
                await stream.ended
        n.worker.script.release("token 3")
        reply = await read(call)
        assert reply.texts == {0: "abcdef"}
        assert reply.done is not None
        assert reply.done.num_attempts == 2
        assert n.service.num_sessions == 2


async def test_one_that_breaks_costs_an_attempt(tmp_path: Path) -> None:
    await broken(tmp_path, None)


NO_MESSAGE = b"\xff\xff\xff"
UNEVEN = decode_pb2.SessionResponse(step=decode_pb2.StepFrame(streams=[1], choices=[0])).SerializeToString()


@pytest.mark.parametrize(
    "said",
    [HEADER.pack(len(NO_MESSAGE)) + NO_MESSAGE, HEADER.pack(len(UNEVEN)) + UNEVEN, HEADER.pack(MAX_BYTES + 1)],
    ids=["no message", "uneven columns", "too long"],
)
async def test_so_does_what_no_worker_says(tmp_path: Path, said: bytes) -> None:
    await broken(tmp_path, said)


async def test_a_lost_members_stream_is_cut(tmp_path: Path) -> None:
    async with near(tmp_path) as n:
        assert (await n.rig.reply(max_tokens=2)).texts == {0: "ab"}
        (stream,) = n.service.near
        await n.worker.member.leave()
        async with asyncio.timeout(PATIENCE_S):
            await stream.ended
