"""What is refused before any work, and how a client learns of it."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from baton.v1 import inference_pb2, types_pb2
from common.types.timeouts import Timeouts
from tests.router.rig import Rig, failure, next_of, read, rig, status_of
from tests.router.samples import load


def details(error: grpc.aio.AioRpcError, kind: Any) -> Any:
    """The one detail of this kind."""
    message = kind()
    (found,) = [detail for detail in status_of(error).details if detail.Is(kind.DESCRIPTOR)]
    found.Unpack(message)
    return message


def fields(error: grpc.aio.AioRpcError) -> list[str]:
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    return [violation.field for violation in details(error, error_details_pb2.BadRequest).field_violations]


async def refused(fleet: Rig, **request: Any) -> grpc.aio.AioRpcError:
    return await failure(fleet.inference.Generate(inference_pb2.GenerateRequest(**request)))


async def test_every_wrong_field_is_named_over_the_wire(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sampling": {"temperature": -1.0}}, "sampling.temperature"),
        ({"sampling": {"temperature": float("nan")}}, "sampling.temperature"),
        ({"sampling": {"temperature": float("inf")}}, "sampling.temperature"),
        ({"sampling": {"top_k": 1 << 31}}, "sampling.top_k"),
        ({"sampling": {"top_p": 0.0}}, "sampling.top_p"),
        ({"sampling": {"min_p": 2.0}}, "sampling.min_p"),
        ({"sampling": {"repetition_penalty": 0.0}}, "sampling.repetition_penalty"),
        ({"sampling": {"presence_penalty": 1e9}}, "sampling.presence_penalty"),
        ({"sampling": {"frequency_penalty": -1e9}}, "sampling.frequency_penalty"),
        ({"sampling": {"logit_bias": {258: 1.0}}}, "sampling.logit_bias"),
        ({"sampling": {"logit_bias": {1: 1e9}}}, "sampling.logit_bias"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 510}, "max_tokens"),
        ({"min_tokens": 9, "max_tokens": 8}, "min_tokens"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop_token_ids": [1] * 129}, "stop_token_ids"),
        ({"stop_token_ids": [258]}, "stop_token_ids"),
        ({"logprobs": 21}, "logprobs"),
        ({"prompt_logprobs": 21}, "prompt_logprobs"),
        ({"text": ""}, "prompt"),
        ({"text": "x" * 512}, "prompt"),
        ({"tokens": types_pb2.TokenIds(ids=[258])}, "tokens"),
        ({"chat": inference_pb2.Chat()}, "chat.messages"),
    ]
    async with rig(tmp_path) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        for request, field in cases:
            prompt = {} if {"text", "tokens", "chat"} & request.keys() else {"text": "hello"}
            assert fields(await refused(fleet, **prompt, **request)) == [field], request
        assert fields(await refused(fleet)) == ["prompt"]
        assert prefill.service.requests == []


async def test_all_wrong_fields_come_together(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.decode()
        error = await refused(fleet, text="hello", n=0, logprobs=99, sampling={"top_p": 7.0})
        assert sorted(fields(error)) == ["logprobs", "n", "sampling.top_p"]


async def test_an_unknown_model_is_not_found_and_the_known_one_named(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.decode()
        error = await refused(fleet, text="hello", model="gpt")
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert dict(details(error, error_details_pb2.ErrorInfo).metadata)["known"] == "tiny"
        assert (await fleet.reply(model="tiny", max_tokens=2)).texts == {0: "ab"}
        for call in (
            fleet.inference.Tokenize(inference_pb2.TokenizeRequest(model="gpt", text="x")),
            fleet.inference.Detokenize(inference_pb2.DetokenizeRequest(model="gpt")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_an_empty_fleet_is_unavailable_with_a_time_to_come_back(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        for _ in range(2):
            error = await refused(fleet, text="hello")
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert details(error, error_details_pb2.ErrorInfo).metadata["leg"] == "decode"
            assert details(error, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0
            await fleet.prefill(f"p{_}")


async def test_too_many_requests_are_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    async with rig(tmp_path, max_requests=2) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        prefill.script.hold("first")
        calls = [fleet.generate(max_tokens=3) for _ in range(2)]
        for call in calls:
            await next_of(call)
        error = await refused(fleet, text="hello")
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details(error, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0
        assert details(error, error_details_pb2.ErrorInfo).reason == "OVERLOADED"
        prefill.script.release("first")
        for call in calls:
            assert (await read(call)).texts == {0: "abc"}
        assert (await fleet.reply(max_tokens=3)).texts == {0: "abc"}


async def test_waiting_prompts_and_held_memory_are_bounded(tmp_path: Path) -> None:
    async with rig(tmp_path, max_queue_tokens=20) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode(num_blocks=25)
        prefill.script.hold("first")
        waiting = fleet.generate("x" * 15, max_tokens=40)
        await next_of(waiting)
        assert "prompt tokens wait" in status_of(await refused(fleet, text="y" * 10)).message
        decode.script.hold("token 2")
        prefill.script.release("first")
        await decode.script.saw("token 2")
        error = await refused(fleet, text="y" * 10, max_tokens=60)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "KV memory" in status_of(error).message
        decode.script.release("token 2")
        assert len((await read(waiting)).tokens[0]) == 40


async def test_what_no_member_can_hold_is_refused_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill(num_blocks=4)
        await fleet.decode(num_blocks=10)
        assert fields(await refused(fleet, text="x" * 40)) == ["prompt"]
        assert fields(await refused(fleet, text="x" * 10, max_tokens=31)) == ["max_tokens"]
        assert (await fleet.reply("x" * 30, max_tokens=2)).texts == {0: "ab"}, "prefilled locally"


async def test_scoring_needs_a_prefill_member(tmp_path: Path) -> None:
    """At once: only a retry waits for one to join."""
    async with rig(tmp_path, timeouts=Timeouts(handoff_s=60.0)) as fleet:
        await fleet.decode()
        error = await failure(fleet.generate(prompt_logprobs=1))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "prefill" in status_of(error).message


async def test_a_queue_longer_than_the_deadline_is_refused_before_work(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, _ = await fleet.prefill(), await fleet.decode()
        await fleet.report("p0", load(backlog_tokens=10_000, prefill_tokens_per_s=100.0))
        error = await failure(fleet.generate("hello", timeout=30.0))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "longer than the deadline" in status_of(error).message
        assert prefill.service.requests == []
        await fleet.report("p0", load(backlog_tokens=10_000))
        assert (await read(fleet.generate(timeout=4.0, max_tokens=2))).texts == {0: "ab"}, "nobody measured it"


async def test_no_text_of_an_exception_reaches_a_client(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        await fleet.decode()
        fleet.router.serving.model.tokenizer.encode = _broken  # type: ignore[method-assign]
        error = await refused(fleet, text="hello")
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in str(status_of(error))
        assert details(error, error_details_pb2.ErrorInfo).metadata["error_id"]


def _broken(text: str, add_special_tokens: bool = True, most: int = 0) -> list[int]:
    raise RuntimeError("secret path")
