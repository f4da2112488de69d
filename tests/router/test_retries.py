"""What is tried again, where, how often, and what is not."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest

from baton.v1 import decode_pb2
from common.types.errors import InvalidRequest, Overloaded, StaleAttempt, Unavailable, Violation
from common.types.timeouts import Timeouts
from router.ask import Ask
from router.serving import Accepted, Message
from router.timeline import Summary
from tests.router.fake_workers import A
from tests.router.rig import Reply, failure, next_of, read, rig, status_of
from tests.router.samples import load
from tests.router.script import PATIENCE_S
from tests.router.test_losses import SOURCE_LOST, complete


@pytest.mark.parametrize(
    "refusal", [Unavailable("draining", "prefill"), StaleAttempt("restarted"), Overloaded("full", 10), None]
)
async def test_a_refusal_is_tried_elsewhere(tmp_path: Path, refusal: Unavailable | None) -> None:
    async with rig(tmp_path) as fleet:
        first, second, _ = await fleet.prefill("p0"), await fleet.prefill("p1"), await fleet.decode()
        first.service.fail_with = refusal or RuntimeError("a bug of the worker")
        complete(await fleet.reply(max_tokens=12), 2)
        assert len(second.service.requests) == 1


async def test_a_member_that_failed_is_avoided_but_not_for_ever(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        prefill.script.hold("run")
        prefill.service.fail_with = Unavailable("busy", "prefill")
        call = fleet.generate(max_tokens=12)
        await prefill.script.saw("run")
        prefill.service.fail_with = None
        prefill.script.release("run")
        complete(await read(call), 1)
        decode.service.fail_kind = decode_pb2.FAILURE_KIND_TIMEOUT
        error = await failure(fleet.generate(max_tokens=12))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert len(decode.service.attaches) == 4


async def test_what_can_never_be_answered_is_not_tried_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        prefill.service.fail_with = InvalidRequest(Violation("prompt", "is too long for this pool"))
        error = await failure(fleet.generate())
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert len(prefill.service.requests) == 1
        prefill.service.fail_with = None
        decode.service.fail_kind = decode_pb2.FAILURE_KIND_TOO_LARGE
        assert (await failure(fleet.generate())).code() is grpc.StatusCode.INVALID_ARGUMENT
        assert len(decode.service.attaches) == 1


async def test_legs_that_contradict_each_other_end_the_attempt(tmp_path: Path) -> None:
    """What was delivered stands; the next attempt goes on after it."""
    async with rig(tmp_path) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        prefill.service.wrong_first_token = A + 1
        decode.script.hold("joined")
        call, reply = fleet.generate(max_tokens=5), Reply()
        while not reply.tokens:
            reply.add(await next_of(call))
        decode.script.release("joined")
        await read(call, reply)
        assert reply.tokens == {0: [A + 1, A + 1, A + 2, A + 3, A + 4]}
        assert reply.done is not None
        assert reply.done.num_attempts == 2
        assert list(decode.service.attaches[1].attempt.token_ids)[5:] == [A + 1]


async def test_a_malformed_message_of_prefill_costs_an_attempt(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        prefill.service.wrong_first_token = (1 << 32) - 1
        prefill.script.hold("sealed")  # else decode may have answered before the message is read
        call = fleet.generate(max_tokens=12)
        await prefill.script.saw("cancelled")
        prefill.script.release("sealed")
        complete(await read(call), 2)


async def test_all_attempts_are_used_up(tmp_path: Path) -> None:
    async with rig(tmp_path, max_attempts=2) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        prefill.service.fail_with = Unavailable("busy", "prefill")
        decode.service.fail_kind = SOURCE_LOST
        error = await failure(fleet.generate())
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert [run.attempt.id.number for run in prefill.service.requests] == [1]
        (local,) = decode.service.attaches
        assert (local.attempt.id.number, local.HasField("source")) == (2, False)


async def test_decode_prefills_itself_when_the_prefill_pool_fails(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        prefill.service.fail_with = Unavailable("busy", "prefill")
        complete(await fleet.reply(max_tokens=12), 2)
        assert not decode.service.attaches[0].HasField("source")


async def test_a_retry_waits_for_a_member_to_join(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        first = await fleet.decode("d0")
        first.script.hold("token 3")
        call = fleet.generate(max_tokens=12)
        await first.script.saw("token 3")
        await first.member.die()
        await fleet.until(lambda: not fleet.router.fleet.snapshot().decode)
        await fleet.decode("d0", epoch=2)
        complete(await read(call), 2)


async def test_a_member_that_goes_while_a_request_is_accepted_is_waited_for(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        first, gone, messages = await fleet.decode("d0"), asyncio.Event(), list[Message]()

        async def write(some: Sequence[Message]) -> None:
            messages.extend(some)

        async def gate() -> None:
            await first.member.die()
            await fleet.until(lambda: not fleet.router.fleet.has_decode())
            gone.set()

        ask = Ask((5, 6, 7), max_tokens=4)
        asked = asyncio.create_task(fleet.router.serving.generate(ask, PATIENCE_S, write, gate))
        await gone.wait()
        assert not messages, "it is accepted once it is on its way"
        await fleet.decode("d0", epoch=2)
        await asked
        assert isinstance(messages[0], Accepted)
        assert isinstance(messages[-1], Summary)


async def test_a_retry_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with rig(tmp_path, timeouts=Timeouts(handoff_s=0.2)) as fleet:
        await fleet.prefill()
        first = await fleet.decode("d0")
        first.script.hold("token 3")
        call = fleet.generate(max_tokens=12)
        await first.script.saw("token 3")
        await first.member.die()
        error = await failure(call)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "no decode member is up" in status_of(error).message


async def test_the_deadline_passes_while_a_retry_waits(tmp_path: Path) -> None:
    async with rig(tmp_path, default_deadline_s=3.0, timeouts=Timeouts(handoff_s=60.0)) as fleet:
        await fleet.prefill()
        first = await fleet.decode("d0")
        first.script.hold("token 3")
        call = fleet.generate(max_tokens=12)
        await first.script.saw("token 3")
        await first.member.die()
        error = await failure(call)
        assert status_of(error).message == "the deadline passed during admission"


async def test_a_decode_member_that_failed_is_avoided(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        first, second = await fleet.decode("d0"), await fleet.decode("d1")
        first.service.fail_kind = decode_pb2.FAILURE_KIND_TIMEOUT
        await fleet.report("d1", load(num_running=200))
        complete(await fleet.reply(max_tokens=12), 2)
        assert (len(first.service.attaches), len(second.service.attaches)) == (1, 1)
