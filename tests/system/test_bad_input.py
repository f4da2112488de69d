"""Bad input never ends a process: whatever is sent is refused by name, and the next request is served."""

import asyncio
import random
from typing import Any

import grpc
import pytest

from baton.client import Client
from baton.v1 import decode_pb2, fleet_pb2, inference_pb2, kvtransfer_pb2, prefill_pb2
from common.net.channel import open_channel
from common.types.config import RouterConfig, WorkerConfig
from common.types.errors import InvalidRequest, NotFound, Overloaded
from tests.system.cluster import Cluster, cluster
from tests.tiny import tiny_model

NUM_RANDOM = 40
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.OUT_OF_RANGE,
}


def methods() -> list[tuple[str, str]]:
    """(service, method) of everything that is served, from the descriptors."""
    files = (inference_pb2, prefill_pb2, decode_pb2, kvtransfer_pb2, fleet_pb2)
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    return [(service.full_name, method.name) for service in services for method in service.methods]


def address_of(fleet: Cluster, service: str) -> str:
    match service.removeprefix("baton.v1."):
        case "Inference":
            return fleet.router.grpc_address
        case "Fleet":
            return fleet.router.fleet_address
        case "Decode":
            return fleet.decode[0].host.address
        case _:
            return fleet.prefill[0].host.address


async def outcome(channel: grpc.aio.Channel, service: str, method: str, payload: bytes) -> grpc.StatusCode:
    """Sends raw bytes as the only request of a stream, which every method's handler can be called with."""
    ask: Any = channel.stream_stream(f"/{service}/{method}")
    call = ask(iter([payload]), timeout=1.0)
    async for _ in call:
        pass
    code = await call.code()
    return grpc.StatusCode(code.value) if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


async def send(channel: grpc.aio.Channel, service: str, method: str, payload: bytes) -> grpc.StatusCode:
    try:
        return await outcome(channel, service, method, payload)
    except grpc.aio.AioRpcError as error:
        return error.code()


async def still_serves(client: Client) -> None:
    completion = await client.complete([5, 6, 7], temperature=0.0, max_tokens=3, ignore_eos=True)
    assert len(completion.answers[0].token_ids) == 3


@pytest.mark.parametrize(("service", "method"), methods(), ids=str)
async def test_bytes_that_are_no_message_are_refused(service: str, method: str) -> None:
    source = random.Random(f"{service}/{method}")
    payloads = [b"", b"\xff" * 64, b"\x0a\x05\xff\xfe\xfd\xfc\xfb", *(source.randbytes(48) for _ in range(NUM_RANDOM))]
    async with cluster(tiny_model("llama")) as fleet:
        async with open_channel(address_of(fleet, service)) as channel:
            codes = {await send(channel, service, method, payload) for payload in payloads}
        assert codes <= REFUSALS | {grpc.StatusCode.OK}
        await still_serves(fleet.client)


async def test_each_bad_parameter_is_named() -> None:
    bad: dict[str, dict[str, object]] = {
        "sampling.temperature": {"temperature": -1.0},
        "sampling.top_p": {"top_p": 1.5},
        "sampling.min_p": {"min_p": float("nan")},
        "sampling.repetition_penalty": {"repetition_penalty": float("inf")},
        "sampling.presence_penalty": {"presence_penalty": 1e9},
        "sampling.logit_bias": {"logit_bias": {100_000: 1.0}},
        "n": {"n": 10_000},
        "max_tokens": {"max_tokens": 4_000_000_000},
        "min_tokens": {"min_tokens": 50, "max_tokens": 5},
        "stop_token_ids": {"stop_token_ids": list(range(400)) * 25},
        "stop": {"stop": ["x"] * 10_000},
        "logprobs": {"logprobs": 10_000},
        "prompt_logprobs": {"prompt_logprobs": 10_000},
    }
    async with cluster(tiny_model("llama")) as fleet:
        for field, asking in bad.items():
            with pytest.raises(InvalidRequest) as caught:
                await fleet.client.complete([5, 6, 7], **asking)  # type: ignore[arg-type]
            assert any(violation.field.startswith(field) for violation in caught.value.violations), (
                field,
                caught.value,
            )
        await still_serves(fleet.client)


async def test_prompts_that_cannot_be_are_refused() -> None:
    async with cluster(tiny_model("llama")) as fleet:
        for prompt in ([], [10**9], list(range(3, 400)) * 11, [509]):
            with pytest.raises(InvalidRequest) as caught:
                await fleet.client.complete(prompt, max_tokens=2)
            assert caught.value.violations[0].field in ("prompt", "tokens")
        with pytest.raises(NotFound, match="llama"):
            await fleet.client.complete([5], model="no-such-model")
        await still_serves(fleet.client)


async def test_a_prompt_longer_than_the_pool_is_refused_and_one_that_just_fits_is_served() -> None:
    worker = WorkerConfig(model="", num_blocks=20, token_budget=128)
    async with cluster(tiny_model("llama"), worker=worker) as fleet:
        with pytest.raises(InvalidRequest, match="at most 319"):
            await fleet.client.complete([5] * 330, max_tokens=2)
        completion = await fleet.client.complete([5] * 310, ignore_eos=True, temperature=0.0)
        assert len(completion.answers[0].token_ids) == 10, "the answer ends where the pool does"


async def test_a_stop_string_that_is_not_utf8_is_refused() -> None:
    payload = inference_pb2.GenerateRequest(text="hello", stop=["abcd"]).SerializeToString()
    payload = payload.replace(b"abcd", b"\xff\xfe\xfd\xfc")
    async with cluster(tiny_model("llama")) as fleet:
        async with open_channel(fleet.router.grpc_address) as channel:
            code = await send(channel, "baton.v1.Inference", "Generate", payload)
        assert code in REFUSALS
        await still_serves(fleet.client)


async def test_more_than_the_fleet_can_queue_is_turned_away_with_a_time_to_come_back() -> None:
    router = RouterConfig(model="", max_requests=2)
    async with (
        cluster(tiny_model("llama"), router=router) as fleet,
        Client(fleet.router.grpc_address, max_tries=1) as c,
    ):
        asks = (c.complete([5, 6], max_tokens=60, ignore_eos=True) for _ in range(12))
        results = await asyncio.gather(*asks, return_exceptions=True)
        refused = [result for result in results if isinstance(result, Overloaded)]
        assert refused
        assert all(error.retry_after_ms > 0 for error in refused)
        served = [result for result in results if not isinstance(result, BaseException)]
        assert len(refused) + len(served) == 12, results
        await still_serves(fleet.client)
