"""The hand-off between a real prefill side and a real decode side: commit, refusal, cancellation, loss."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import pytest

from baton.v1 import decode_pb2, decode_pb2_grpc, prefill_pb2, prefill_pb2_grpc
from common.engine.messages import (
    BlocksReady,
    Command,
    Drop,
    FirstTokens,
    Join,
    Joined,
    PromptScores,
    Quarantine,
    Refused,
    Reserve,
    Reserved,
    Sealed,
    Started,
    StepTokens,
    Submit,
    SubmitLocal,
)
from common.net import convert
from common.net.wire import MAX_TOKEN_ID, MAX_TOP_LOGPROBS
from common.obs.traces import NoTraces, Traces
from common.types.attempt import Attempt
from common.types.errors import DeadlinePassed
from common.types.sampling import FinishReason, SampledToken, TokenLogprobs
from common.types.timeouts import Timeouts
from tests.decode_worker.pair import DECODE_EPOCH, FIRST, PREFILL_EPOCH, ROUTER_EPOCH, Pair, attempt, octets, pair

SOURCE_BLOCKS, TARGET_BLOCKS = (3, 9, 4), (8, 2, 5)


class Router:
    """One run and one session, as a router would hold them."""

    def __init__(self, p: Pair) -> None:
        self._pair = p
        self._session = decode_pb2_grpc.DecodeStub(p.decode_channel).Session()
        self._run: grpc.aio.UnaryStreamCall[prefill_pb2.RunRequest, prefill_pb2.RunResponse] | None = None

    async def open(self, num_frames: int = 64, epoch: int = DECODE_EPOCH) -> None:
        opening = decode_pb2.SessionOpen(router_epoch=ROUTER_EPOCH, epoch=epoch, num_frames=num_frames)
        await self._session.write(decode_pb2.SessionRequest(open=opening))
        assert (await self.read()).opened.epoch == DECODE_EPOCH

    async def run(self, x: Attempt, lend: bool = True, expect: tuple[Command, ...] = ()) -> None:
        stub = prefill_pb2_grpc.PrefillStub(self._pair.prefill_channel)
        self._run = stub.Run(
            prefill_pb2.RunRequest(
                attempt=convert.attempt_to_proto(x),
                epoch=PREFILL_EPOCH,
                router_epoch=ROUTER_EPOCH,
                remaining_ms=20_000,
                lend=lend,
            )
        )
        for command in expect or (Submit(x, lend),):
            assert await self._pair.prefill_engine.next() == command

    async def told(self) -> list[str]:
        """The kinds of all events of the run's next message."""
        assert self._run is not None
        response = await self._run.read()
        assert isinstance(response, prefill_pb2.RunResponse)
        return [str(event.WhichOneof("event")) for event in response.events]

    async def closed(self) -> prefill_pb2.LoanEnd:
        assert self._run is not None
        async for response in self._run:
            for event in response.events:
                if event.WhichOneof("event") == "closed":
                    return event.closed.end
        raise AssertionError("the run ended without saying how")

    async def attach(self, x: Attempt, stream: int = 1, local: bool = False) -> None:
        attach = decode_pb2.Attach(stream=stream, attempt=convert.attempt_to_proto(x), remaining_ms=20_000)
        if not local:
            source = decode_pb2.Source(address=self._pair.prefill_address, epoch=PREFILL_EPOCH, member="p")
            attach.source.CopyFrom(source)
        await self._session.write(decode_pb2.SessionRequest(attach=attach))

    async def meet(self, address: str = "") -> None:
        epoch = PREFILL_EPOCH + bool(address)
        source = decode_pb2.Source(address=address or self._pair.prefill_address, epoch=epoch, member="p")
        await self._session.write(decode_pb2.SessionRequest(meet=decode_pb2.Meet(sources=[source])))

    async def cancel(self, stream: int = 1) -> None:
        await self._session.write(decode_pb2.SessionRequest(cancel=decode_pb2.Cancel(stream=stream)))

    async def read(self) -> decode_pb2.SessionResponse:
        async with asyncio.timeout(10):
            response = await self._session.read()
        assert isinstance(response, decode_pb2.SessionResponse)
        return response

    def hang_up(self) -> None:
        self._session.cancel()


@asynccontextmanager
async def attached(
    x: Attempt, timeouts: Timeouts = Timeouts(), traces: Traces = NoTraces()
) -> AsyncIterator[tuple[Pair, Router]]:
    """Run and attached; decode's blocks are reserved and the first of them is its own already."""
    async with pair(timeouts, traces=traces) as p:
        router = Router(p)
        await router.open()
        await router.run(x)
        await router.attach(x)
        assert await p.decode_engine.next() == Reserve(x)
        p.decode.on_events((Reserved(x.id, TARGET_BLOCKS, 1),))
        yield p, router


async def test_blocks_are_copied_verified_released_and_joined() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        p.lend(x, SOURCE_BLOCKS)
        assert await p.decode_engine.next() == Join(x.id, (FIRST,))
        target, source = octets(p.target), octets(p.source)
        assert (target[2] == source[9]).all()
        assert (target[5] == source[4]).all()
        assert (target[8] == 0xEE).all(), "what decode has already is not fetched"
        assert await router.closed() == prefill_pb2.LOAN_END_RELEASED
        assert await p.prefill_engine.next() == Drop(x.id)
        p.decode.on_events((Joined(x.id),))
        joined = (await router.read()).joined
        assert (joined.stream, joined.num_cached_tokens, joined.num_bytes) == (1, 4, 2 * target.shape[1])
        assert joined.transport in ("shm", "tcp")


async def test_what_a_step_brought_is_told_in_one_message_but_scores_apart() -> None:
    most = TokenLogprobs(MAX_TOKEN_ID, -0.1, ((MAX_TOKEN_ID, -0.1),) * MAX_TOP_LOGPROBS)
    x, scores = attempt(), (most,) * 600  # twice of them would not fit into one
    async with pair() as p:
        router = Router(p)
        await router.run(x)
        last = (FirstTokens(x.id, (FIRST,), 0.1), Sealed(p.manifest(x, SOURCE_BLOCKS)))
        p.prefill.on_events((Started(x.id, 0, 0.0), PromptScores(x.id, scores), PromptScores(x.id, scores), *last))
        told = [await router.told() for _ in range(8)]
        assert told == [["started"], *[["prompt_logprobs"]] * 6, ["first_tokens", "sealed"]]


async def test_what_came_before_an_error_is_told_before_it() -> None:
    x = attempt()
    async with pair() as p:
        router = Router(p)
        await router.run(x)
        p.prefill.on_events((Started(x.id, 0, 0.0), Refused(x.id, DeadlinePassed("prefill"))))
        assert await router.told() == ["started"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await router.told()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_tokens_reach_the_session_and_the_last_one_frees_the_blocks() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        p.lend(x, SOURCE_BLOCKS)
        await p.decode_engine.next()
        last = SampledToken(0, 1, 8, finish=FinishReason.STOP)
        p.decode.on_events((StepTokens(((x.id, FIRST),)), StepTokens(((x.id, last),))))
        frame = (await router.read()).step
        assert (list(frame.token_ids), list(frame.indices), frame.finishes[0].row) == ([7, 8], [0, 1], 1)
        assert await p.decode_engine.next() == Drop(x.id)
        assert p.decode.idle.is_set()


async def test_a_flipped_bit_is_never_joined() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        manifest = p.manifest(x, SOURCE_BLOCKS)
        octets(p.source)[9, 5] ^= 1
        p.prefill.on_events((BlocksReady(x.id, 0, manifest.blocks), Sealed(manifest)))
        failed = (await router.read()).failed
        assert failed.kind == decode_pb2.FAILURE_KIND_SOURCE_LOST
        assert await p.decode_engine.next() == Drop(x.id)


async def test_a_loan_that_ended_before_landing_is_not_joined() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        higher = replace(x, id=x.id.next())
        later = Router(p)
        await later.run(higher, expect=(Drop(x.id), Submit(higher, True)))
        p.lend(x, SOURCE_BLOCKS)
        assert (await router.read()).failed.kind == decode_pb2.FAILURE_KIND_SOURCE_LOST
        assert await p.decode_engine.next() == Drop(x.id)


async def test_a_lender_that_dies_before_sealing_is_reported() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        await p.prefill_server.stop(grace=None)
        assert (await router.read()).failed.kind == decode_pb2.FAILURE_KIND_SOURCE_LOST
        assert await p.decode_engine.next() == Drop(x.id)


async def test_cancel_frees_at_once_when_nothing_is_in_flight() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        await router.cancel()
        assert await p.decode_engine.next() == Drop(x.id)
        assert p.decode.idle.is_set()


async def test_a_router_that_hangs_up_takes_its_attempts_along() -> None:
    x = attempt()
    async with attached(x) as (p, router):
        router.hang_up()
        dropped = await p.decode_engine.next()
        if isinstance(dropped, Quarantine):
            dropped = await p.decode_engine.next()
        assert dropped == Drop(x.id)


async def test_a_lost_router_is_cut_off_on_both_sides() -> None:
    x = attempt()
    async with attached(x) as (p, _):
        p.prefill.cancel_router(ROUTER_EPOCH)
        p.decode.cancel_router(ROUTER_EPOCH)
        assert await p.prefill_engine.next() == Drop(x.id)
        assert await p.decode_engine.next() == Drop(x.id)
        assert p.prefill.idle.is_set()
        assert p.decode.idle.is_set()


async def test_a_local_attempt_needs_no_lender() -> None:
    x = attempt()
    async with pair() as p:
        router = Router(p)
        await router.open()
        await router.attach(x, local=True)
        assert await p.decode_engine.next() == SubmitLocal(x)
        p.decode.on_events((Joined(x.id), StepTokens(((x.id, FIRST),))))
        assert (await router.read()).joined.transport == ""
        assert list((await router.read()).step.token_ids) == [7]


async def test_an_old_attempt_is_stale_on_both_sides() -> None:
    old, new = attempt(1), attempt(2)
    async with pair() as p:
        router = Router(p)
        await router.open()
        await router.attach(new, stream=1, local=True)
        await router.attach(old, stream=2, local=True)
        failed = (await router.read()).failed
        assert (failed.stream, failed.kind) == (2, decode_pb2.FAILURE_KIND_STALE)
        await router.run(new)
        request = prefill_pb2.RunRequest(
            attempt=convert.attempt_to_proto(old), epoch=PREFILL_EPOCH, router_epoch=1, remaining_ms=1000
        )
        call = prefill_pb2_grpc.PrefillStub(p.prefill_channel).Run(request)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_draining_worker_takes_nothing_new() -> None:
    async with pair() as p:
        router = Router(p)
        await router.open()
        p.decode.draining = p.prefill.draining = True
        await router.attach(attempt(), local=True)
        assert (await router.read()).failed.kind == decode_pb2.FAILURE_KIND_DRAINING


async def test_an_unfetched_loan_expires_by_itself() -> None:
    x = attempt()
    async with pair(Timeouts(lease_s=0.05)) as p:
        router = Router(p)
        await router.run(x)
        p.lend(x, SOURCE_BLOCKS)
        assert await router.closed() == prefill_pb2.LOAN_END_EXPIRED
        assert await p.prefill_engine.next() == Drop(x.id)


async def test_a_message_for_another_boot_is_refused() -> None:
    async with pair() as p:
        router = Router(p)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await router.open(epoch=DECODE_EPOCH + 1)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_lenders_met_ahead_are_connected_before_the_first_hand_off() -> None:
    x = attempt()
    async with pair() as p:
        router = Router(p)
        await router.open()
        await router.meet()
        await p.described.wait()
        await router.run(x)
        await router.attach(x)
        await p.decode_engine.next()
        p.decode.on_events((Reserved(x.id, TARGET_BLOCKS, 0),))
        p.lend(x, SOURCE_BLOCKS)
        assert await p.decode_engine.next() == Join(x.id, (FIRST,))
        assert p.num_described == 1, "the hand-off used the connection that was made ahead"


async def test_meeting_a_lender_that_is_not_there_harms_nothing() -> None:
    async with pair() as p:
        router = Router(p)
        await router.open()
        await router.meet(address="127.0.0.1:9")
        await router.attach(attempt(), local=True)
        assert isinstance(await p.decode_engine.next(), SubmitLocal)


async def test_a_lender_that_was_started_again_is_lost_to_those_who_wait_for_it() -> None:
    """Its old connections are ended here; a call ended that way must not pass for a task that was to end."""
    x = attempt()
    async with pair() as p:
        router = Router(p)
        await router.open()
        await router.run(x)
        await router.attach(x)
        await p.decode_engine.next()
        p.decode.on_events((Reserved(x.id, TARGET_BLOCKS, 0),))
        await router.meet(address="127.0.0.1:9")
        failed = (await router.read()).failed
        assert failed.kind == decode_pb2.FAILURE_KIND_SOURCE_LOST
        assert await p.decode_engine.next() == Drop(x.id)
