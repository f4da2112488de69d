"""One request's scope: bugs stay in it, retries are counted, members are chosen on what is known at that moment."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from baton.v1 import fleet_pb2
from common.types.hashing import chain, root_hash, wire_hash
from common.types.sampling import SampledToken
from common.types.timeouts import Timeouts
from router.admission import RetryBudget
from router.dispatch import Dispatch
from router.policy.route import Reason
from router.relay import Relay
from tests.router.rig import failure, next_of, read, rig
from tests.router.samples import load
from tests.router.script import PATIENCE_S


async def test_a_bug_in_one_request_spares_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver = Relay.deliver

    def broken(relay: Relay, token: SampledToken) -> bool:
        if token.choice == 1 and token.index == 3:
            raise ZeroDivisionError("a bug")
        return deliver(relay, token)

    monkeypatch.setattr(Relay, "deliver", broken)
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        decode.script.hold("token 5")
        spared, doomed = fleet.generate(max_tokens=8), fleet.generate(max_tokens=8, n=2)
        error = await failure(doomed)
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "a bug" not in str(error.details())
        await decode.script.saw("cancelled")
        decode.script.release("token 5")
        assert (await read(spared)).texts == {0: "abcdefgh"}
        assert decode.service.num_sessions == 1


async def test_a_client_that_is_never_read_to_the_end_leaves_no_task(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        await fleet.reply(max_tokens=3)
        before = len(asyncio.all_tasks())
        decode.script.hold("token 4")
        calls = [fleet.generate(max_tokens=12) for _ in range(5)]
        for call in calls:
            await next_of(call)
        await decode.script.saw("token 4")
        for call in calls:
            call.cancel()
        await fleet.router.serving.idle.wait()
        decode.script.release("token 4")
        await fleet.reply(max_tokens=3)
        await comes_true(lambda: len(asyncio.all_tasks()) <= before + 2)


async def comes_true(holds: Callable[[], bool]) -> None:
    """Legs that were cancelled end a few turns of the loop later."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 it has no event of its own
            await asyncio.sleep(0.01)


def num_alive() -> int:
    gc.collect()
    return sum(type(each) is Dispatch for each in gc.get_objects())


async def test_nothing_of_a_request_outlives_it(tmp_path: Path) -> None:
    """Not even on a timer that would ring at its deadline."""
    async with rig(tmp_path) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        await fleet.reply(max_tokens=3)
        prefill.script.hold("first")
        call = fleet.generate()
        await prefill.script.saw("first")
        call.cancel()
        await fleet.router.serving.idle.wait()
        await comes_true(lambda: not num_alive())


async def test_a_member_is_free_of_an_attempt_once_its_loan_ends(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        decode.script.hold("token 3")
        call = fleet.generate(max_tokens=6)
        await decode.script.saw("token 3")
        num_attempts = {"p0": 1, "d0": 0}
        async with asyncio.timeout(PATIENCE_S):
            while num_attempts["p0"]:
                listed = await fleet.fleet.ListMembers(fleet_pb2.ListMembersRequest())
                num_attempts = {member.hello.member: member.num_attempts for member in listed.members}
        assert num_attempts == {"p0": 0, "d0": 1}
        decode.script.release("token 3")
        await read(call)


async def test_the_member_that_knows_the_prompt_gets_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        cold, warm = await fleet.prefill("p0"), await fleet.prefill("p1")
        away, near = await fleet.decode("d0"), await fleet.decode("d1")
        model = fleet.router.serving.model
        text = "the quick brown fox jumps over the lazy dog"
        root = root_hash(b"k", b"", model.fingerprint)
        hashes = tuple(wire_hash(each) for each in chain(b"k", root, model.token_ids(text), 4))
        for name in ("p1", "d1"):
            await fleet.report(name, load(added_hashes=hashes))
        reply = await fleet.reply(text, max_tokens=3, explain=True)
        assert (len(cold.service.requests), len(warm.service.requests)) == (0, 1)
        assert (len(away.service.attaches), len(near.service.attaches)) == (0, 1)
        assert reply.done is not None
        assert "40 cached" in reply.done.explanations[1].candidates[0]


@pytest.mark.parametrize(("mode", "num_tokens"), [("handoff", 0), ("local", 5)])
async def test_only_who_computes_a_prompt_has_it_as_backlog(tmp_path: Path, mode: str, num_tokens: int) -> None:
    async with rig(tmp_path, mode=mode) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        decode.member.freeze()
        decode.script.hold("attach")
        call = fleet.generate(max_tokens=3)
        await decode.script.saw("attach")
        (member,) = fleet.router.fleet.snapshot().decode
        assert member.sent_tokens == num_tokens
        decode.script.release("attach")
        await read(call)


@pytest.mark.parametrize("mode", ["handoff", "local"])
async def test_a_prompt_is_no_backlog_once_its_first_token_came(tmp_path: Path, mode: str) -> None:
    async with rig(tmp_path, mode=mode) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        for worker in (prefill, decode):
            worker.member.freeze()
        decode.script.hold("token 3")
        call = fleet.generate(max_tokens=6)
        accepted, first = await next_of(call), await next_of(call)
        assert (accepted.HasField("accepted"), first.HasField("delta")) == (True, True)
        assert [each.sent_tokens for each in fleet.router.fleet.snapshot().members] == [0, 0]
        decode.script.release("token 3")
        await read(call)


async def test_a_prompt_for_which_prefill_would_be_late_goes_to_decode_and_is_counted(tmp_path: Path) -> None:
    timeouts = Timeouts(ttft_goal_ms=500.0, tpot_goal_ms=50.0)
    async with rig(tmp_path, mode="auto", timeouts=timeouts) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        await fleet.report("p0", load(backlog_tokens=400, prefill_tokens_per_s=1000.0))
        await fleet.report("d0", load(num_free_blocks=256, num_running=2, step_ms=5.0, prefill_tokens_per_s=500.0))
        reply = await fleet.reply("the quick brown fox jumps over the lazy dog", max_tokens=4, explain=True)
        assert (len(prefill.service.requests), len(decode.service.attaches)) == (0, 1)
        assert reply.done is not None
        assert "the prefill pool would be late" in reply.done.explanations[0].candidates[0]
        assert fleet.router.serving.tally.local == {Reason.RELIEF: 1}
        assert fleet.router.serving.tally.attempts == {"local": 1}


async def test_a_burst_is_spread_before_any_report_comes(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        pools = [await fleet.prefill(f"p{place}") for place in range(3)]
        decodes = [await fleet.decode(f"d{place}") for place in range(3)]
        for worker in pools:
            worker.script.hold("first")
        calls = [fleet.generate(max_tokens=4) for _ in range(9)]
        for call in calls:
            await next_of(call)
        for worker in pools:
            await worker.script.saw("first")
            worker.script.release("first")
        for call in calls:
            assert (await read(call)).texts == {0: "abcd"}
        assert [len(worker.service.requests) for worker in pools] == [3, 3, 3]
        assert [len(worker.service.attaches) for worker in decodes] == [3, 3, 3]


async def test_retries_take_from_the_budget(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        fleet.router.serving.budget = RetryBudget(0.0, burst=1, now=0.0, per_s=0.0)
        assert (await fleet.reply(max_tokens=3)).texts == {0: "abc"}
        prefill.service.fail_with = RuntimeError("down")
        assert (await fleet.reply(max_tokens=3)).texts == {0: "abc"}
        assert (await failure(fleet.generate(max_tokens=3))).code() is grpc.StatusCode.UNAVAILABLE


async def test_requests_pay_into_the_budget(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        fleet.router.serving.budget = RetryBudget(0.5, burst=1, now=0.0, per_s=0.0)
        prefill.service.fail_with = RuntimeError("down")
        codes = []
        for _ in range(4):
            try:
                await fleet.reply(max_tokens=3)
                codes.append(grpc.StatusCode.OK)
            except grpc.aio.AioRpcError as error:
                codes.append(error.code())
        refused = grpc.StatusCode.UNAVAILABLE
        assert codes == [grpc.StatusCode.OK, refused, grpc.StatusCode.OK, refused]
