"""Members that are lost, refuse or lie: the stream goes on where it was, with nothing lost and nothing doubled."""

from pathlib import Path

import pytest

from baton.v1 import decode_pb2, types_pb2
from common.types.timeouts import Timeouts
from tests.router.fake_workers import A
from tests.router.rig import Reply, next_of, read, rig

WHOLE = "abcdefghijkl"
SOURCE_LOST = decode_pb2.FAILURE_KIND_SOURCE_LOST


def complete(reply: Reply, num_attempts: int) -> None:
    """Every token once, in order."""
    assert reply.texts == {0: WHOLE}
    assert reply.tokens[0] == [A + index for index in range(len(WHOLE))]
    assert reply.done is not None
    assert reply.done.num_attempts == num_attempts
    assert reply.done.usage.num_output_tokens == len(WHOLE)


@pytest.mark.parametrize("step", ["run", "started", "first", "sealed"])
async def test_prefill_dies_at_any_step(tmp_path: Path, step: str) -> None:
    async with rig(tmp_path) as fleet:
        first, second = await fleet.prefill("p0"), await fleet.prefill("p1")
        decode = await fleet.decode()
        first.script.hold(step)
        decode.script.hold("joined")
        call = fleet.generate(max_tokens=12)
        await first.script.saw(step)
        reply = Reply()
        while step == "sealed" and not reply.tokens:
            reply.add(await next_of(call))
        await first.member.die()
        decode.script.release("joined")
        complete(await read(call, reply), 2)
        (run,) = second.service.requests
        assert run.attempt.id.number == 2
        assert list(run.attempt.token_ids)[5:] == ([A] if step == "sealed" else [])
        assert run.attempt.sampling == first.service.requests[0].attempt.sampling


@pytest.mark.parametrize("died_before", [1, 2, 7])
async def test_decode_dies_in_mid_stream(tmp_path: Path, died_before: int) -> None:
    async with rig(tmp_path) as fleet:
        prefill = await fleet.prefill()
        first, second = await fleet.decode("d0"), await fleet.decode("d1")
        first.script.hold(f"token {died_before}")
        call = fleet.generate(max_tokens=12)
        await first.script.saw(f"token {died_before}")
        reply = Reply()
        while len(reply.tokens.get(0, [])) < died_before:
            reply.add(await next_of(call))
        await first.member.die()
        complete(await read(call, reply), 2)
        retry = prefill.service.requests[1].attempt
        assert [chr(token - A + ord("a")) for token in retry.token_ids[5:]] == list(WHOLE[:died_before])
        assert retry.num_prompt_tokens == 5
        assert second.service.attaches[0].attempt == retry


@pytest.mark.parametrize("step", ["joined", "token 3"])
async def test_prefill_may_die_once_all_is_fetched(tmp_path: Path, step: str) -> None:
    async with rig(tmp_path) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        prefill.script.hold("landed")
        decode.script.hold(step)
        call = fleet.generate(max_tokens=12)
        await prefill.script.saw("landed")
        await decode.script.saw(step)
        await prefill.member.die()
        await fleet.until(lambda: not fleet.router.fleet.snapshot().prefill)
        decode.script.release(step)
        complete(await read(call), 1)


async def test_several_choices_go_on_each_from_its_own_place(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        first, second = await fleet.decode("d0"), await fleet.decode("d1")
        first.script.hold("token 6")
        call = fleet.generate(n=3, max_tokens=12, stop=["fghi"])
        await first.script.saw("token 6")
        reply = Reply()
        while 1 not in reply.finishes or len(reply.tokens[2]) < 6:
            reply.add(await next_of(call))
        await first.member.die()
        await read(call, reply)
        assert reply.texts == {0: "abcde", 1: "de", 2: "ghijklmnopqr"}
        assert {choice: len(tokens) for choice, tokens in reply.tokens.items()} == {0: 9, 1: 6, 2: 12}
        resumed = second.service.attaches[0].attempt.choices
        assert [(choice.index, len(choice.tail)) for choice in resumed] == [(0, 6), (2, 6)]


async def test_a_stop_string_across_two_attempts(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        first, _ = await fleet.decode("d0"), await fleet.decode("d1")
        first.script.hold("token 5")
        call = fleet.generate(max_tokens=12, stop=["defg"])
        await first.script.saw("token 5")
        reply = Reply()
        while len(reply.tokens.get(0, [])) < 5:
            reply.add(await next_of(call))
        assert reply.texts == {0: "abc"}
        await first.member.die()
        await read(call, reply)
        assert (reply.texts, reply.finishes) == ({0: "abc"}, {0: types_pb2.FINISH_REASON_STOP})
        assert len(reply.tokens[0]) == 7


async def test_scores_of_the_prompt_come_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        first, second = await fleet.prefill("p0"), await fleet.prefill("p1")
        await fleet.decode()
        first.script.hold("first")
        call = fleet.generate(max_tokens=12, prompt_logprobs=1)
        await first.script.saw("first")
        reply = Reply()
        while not reply.scores:
            reply.add(await next_of(call))
        await first.member.die()
        complete(await read(call, reply), 2)
        assert [score.token_id for score in reply.scores] == list(first.service.requests[0].attempt.token_ids)[1:]
        assert not second.service.requests[0].attempt.sampling.HasField("prompt_logprobs")


async def test_decode_reports_that_the_source_is_lost(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        first, second, decode = await fleet.prefill("p0"), await fleet.prefill("p1"), await fleet.decode()
        decode.script.hold("attach")
        decode.service.fail_kind = SOURCE_LOST
        call = fleet.generate(max_tokens=12)
        await first.script.saw("sealed")
        decode.script.release("attach")
        await second.script.saw("started")
        decode.service.fail_kind = None
        complete(await read(call), 2)
        await first.script.saw("cancelled")
        assert len(decode.service.attaches) == 2
        assert second.service.requests[0].attempt.token_ids[5:] == [A]


async def test_a_silent_member_is_gone(tmp_path: Path) -> None:
    timeouts = Timeouts(heartbeat_s=0.1, dead_s=2.0)
    async with rig(tmp_path, timeouts=timeouts) as fleet:
        await fleet.prefill()
        first, _ = await fleet.decode("d0"), await fleet.decode("d1")
        first.script.hold("token 4")
        call = fleet.generate(max_tokens=12)
        await first.script.saw("token 4")
        first.member.freeze()
        complete(await read(call), 2)
        await first.script.saw("session ended")
        assert [member.hello.member for member in fleet.router.fleet.members()] == ["d1", "p0"]


async def test_the_end_of_a_join_stream_is_the_end_of_the_member(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        first, second, _ = await fleet.prefill("p0"), await fleet.prefill("p1"), await fleet.decode()
        first.script.hold("first")
        call = fleet.generate(max_tokens=12)
        await first.script.saw("first")
        await first.member.leave()
        complete(await read(call), 2)
        await first.script.saw("cancelled")
        assert len(second.service.requests) == 1
