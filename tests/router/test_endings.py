"""Requests that end early: cancelled, out of time, read too slowly, or drained away. Both legs hear of it."""

import asyncio
from pathlib import Path

import grpc
import pytest

from baton.v1 import fleet_pb2, inference_pb2
from common.types.timeouts import Timeouts
from router.ask import Prompt
from tests.router.rig import Reply, Rig, failure, next_of, read, rig, status_of
from tests.router.script import PATIENCE_S


async def idle(fleet: Rig) -> None:
    """Waits until the router holds no request."""
    async with asyncio.timeout(PATIENCE_S):
        await fleet.router.serving.idle.wait()


@pytest.mark.parametrize(("held_by", "step"), [("p0", "started"), ("p0", "first"), ("d0", "joined"), ("d0", "token 3")])
async def test_a_client_that_cancels_cancels_both_legs(tmp_path: Path, held_by: str, step: str) -> None:
    async with rig(tmp_path) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        fleet.workers[held_by].script.hold(step)
        call = fleet.generate(max_tokens=12)
        await next_of(call)
        await fleet.workers[held_by].script.saw(step)
        call.cancel()
        if decode.service.attaches:
            await decode.script.saw("cancelled")
        await prefill.script.saw("cancelled")
        await idle(fleet)
        fleet.workers[held_by].script.release(step)
        assert (await fleet.reply(max_tokens=3)).texts == {0: "abc"}


@pytest.mark.parametrize(
    ("held_by", "step", "leg"),
    [("p0", "run", "prefill"), ("p0", "first", "hand-off"), ("d0", "joined", "hand-off"), ("d0", "token 3", "decode")],
)
async def test_the_deadline_passes_in_each_leg(tmp_path: Path, held_by: str, step: str, leg: str) -> None:
    """The client's own deadline would hide the answer: the server's is the shorter one here."""
    async with rig(tmp_path, default_deadline_s=2.5) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        fleet.workers[held_by].script.hold(step)
        error = await failure(fleet.generate(max_tokens=12))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert status_of(error).message == f"the deadline passed during {leg}"
        await prefill.script.saw("cancelled")
        if decode.service.attaches:
            await decode.script.saw("cancelled")


async def test_a_reader_that_stops_is_cut(tmp_path: Path) -> None:
    async with rig(tmp_path, timeouts=Timeouts(stalled_reader_s=0.3), max_choices=8) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        decode.script.hold("token 490")
        call = fleet.generate("x" * 10, n=8, max_tokens=500, logprobs=20)
        await next_of(call)
        await decode.script.saw("cancelled")
        await prefill.script.saw("cancelled")
        await idle(fleet)
        reply = Reply()
        error = await failure(call, reply)
        assert error.code() is grpc.StatusCode.CANCELLED
        assert sum(len(tokens) for tokens in reply.tokens.values()) < 8 * 500
        assert (await fleet.reply(max_tokens=3)).texts == {0: "abc"}


async def test_what_waits_for_a_reader_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.relay.MAX_PENDING_TOKENS", 64)
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        decode.script.hold("token 490")
        call = fleet.generate("x" * 10, n=8, max_tokens=500, logprobs=20)
        await next_of(call)
        await decode.script.saw("cancelled")
        assert (await failure(call)).code() is grpc.StatusCode.CANCELLED


async def test_a_slow_reader_gets_everything_in_fewer_messages(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        decode.script.hold("token 480")
        call = fleet.generate(n=8, max_tokens=490, logprobs=5)
        await decode.script.saw("token 480")
        decode.script.release("token 480")
        reply = await read(call)
        assert all(len(reply.tokens[choice]) == len(reply.logprobs[choice]) == 490 for choice in range(8))
        assert reply.num_messages < 8 * 490


async def test_a_draining_router_ends_what_it_has_and_takes_nothing_new(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        decode.script.hold("token 2")
        call = fleet.generate(max_tokens=6)
        await decode.script.saw("token 2")
        draining = asyncio.create_task(fleet.router.drain())
        error = await failure(fleet.generate())
        while error.code() is not grpc.StatusCode.UNAVAILABLE:
            error = await failure(fleet.generate())
        assert status_of(error).message == "this router is draining"
        assert not draining.done()
        decode.script.release("token 2")
        assert (await read(call)).texts == {0: "abcdef"}
        await draining


async def test_a_request_that_is_being_tokenized_when_the_drain_begins(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        serving, asked, go = fleet.router.serving, asyncio.Event(), asyncio.Event()
        token_ids = serving.token_ids

        async def slowly(prompt: Prompt | None) -> tuple[int, ...]:
            asked.set()
            await go.wait()
            return await token_ids(prompt)

        serving.token_ids = slowly  # type: ignore[method-assign, assignment]
        call = fleet.generate()
        await asked.wait()
        await fleet.router.drain()
        go.set()
        assert (await failure(call)).code() is grpc.StatusCode.UNAVAILABLE
        assert prefill.service.requests == []


async def test_a_drain_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with rig(tmp_path, timeouts=Timeouts(drain_s=0.1)) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        decode.script.hold("token 2")
        call = fleet.generate(max_tokens=6)
        await decode.script.saw("token 2")
        await fleet.router.drain()
        await fleet.router.stop()
        assert (await failure(call)).code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_a_draining_member_keeps_its_streams_and_gets_nothing_new(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        first = await fleet.decode("d0")
        first.script.hold("token 2")
        call = fleet.generate(max_tokens=6)
        await first.script.saw("token 2")
        second = await fleet.decode("d1")
        await fleet.fleet.Drain(fleet_pb2.DrainRequest(member="d0"))
        assert (await fleet.reply(max_tokens=3)).texts == {0: "abc"}
        assert (len(first.service.attaches), len(second.service.attaches)) == (1, 1)
        first.script.release("token 2")
        reply = await read(call)
        assert reply.done is not None
        assert (reply.texts, reply.done.num_attempts) == ({0: "abcdef"}, 1)
        await fleet.fleet.Resume(fleet_pb2.ResumeRequest(member="d0"))
        assert not fleet.router.fleet.members()[0].draining


async def test_the_router_dies_and_the_stream_ends_with_an_error(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        decode.script.hold("token 2")
        call = fleet.generate(max_tokens=6)
        await decode.script.saw("token 2")
        await fleet.router.stop()
        assert (await failure(call)).code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        await decode.script.saw("session ended")
        await prefill.script.saw("cancelled")
        async with asyncio.timeout(PATIENCE_S):
            await decode.member.lost.wait()
        assert decode.member.commands[-1] == "lost: the router let this worker go: the router is leaving"


async def test_one_session_outlives_a_cancelled_request(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        decode.script.hold("token 3")
        doomed, kept = fleet.generate(max_tokens=12), fleet.generate(max_tokens=5)
        await decode.script.saw("token 3")
        doomed.cancel()
        await decode.script.saw("cancelled")
        decode.script.release("token 3")
        assert (await read(kept)).texts == {0: "abcde"}
        assert decode.service.num_sessions == 1


def test_the_client_sends_no_transfer_fields() -> None:
    fields = {field.name for field in inference_pb2.GenerateRequest.DESCRIPTOR.fields}
    assert not fields & {"request_id", "attempt", "source", "epoch", "cache_salt"}
