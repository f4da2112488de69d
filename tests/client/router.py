"""A real gRPC server on a free port whose services follow a script."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc

from baton.v1 import fleet_pb2, fleet_pb2_grpc, inference_pb2, inference_pb2_grpc
from common.net.convert import finish_to_proto
from common.net.convert_fleet import hello_to_proto, load_to_proto
from common.net.server import bind, make_server
from common.types.errors import NotFound
from common.types.ids import PROTOCOL_MAJOR, Role
from common.types.member import Hello, Load
from common.types.sampling import FinishReason

Context = grpc.aio.ServicerContext[Any, Any]
Step = inference_pb2.GenerateResponse | Exception | Callable[[Context], Any]

HELLO = Hello(
    member="decode-0",
    role=Role.DECODE,
    address="127.0.0.1:1",
    epoch=7,
    model="m",
    model_fingerprint="f",
    layout="l",
    protocol=PROTOCOL_MAJOR,
    block_tokens=16,
    block_bytes=4096,
    num_blocks=64,
    max_sequences=8,
    max_model_tokens=256,
    transports=("shm", "tcp"),
    cache_key_id="k",
)


def accepted(num_prompt_tokens: int = 3) -> inference_pb2.GenerateResponse:
    message = inference_pb2.Accepted(request_id="r-1", model="m", num_prompt_tokens=num_prompt_tokens)
    return inference_pb2.GenerateResponse(accepted=message)


def delta(text: str, choice: int = 0, finish: FinishReason | None = None) -> inference_pb2.GenerateResponse:
    message = inference_pb2.Delta(choice=choice, text=text, token_ids=[len(text)], finish=finish_to_proto(finish))
    return inference_pb2.GenerateResponse(delta=message)


def done(num_output_tokens: int = 2) -> inference_pb2.GenerateResponse:
    usage = inference_pb2.Usage(num_prompt_tokens=3, num_cached_tokens=1, num_output_tokens=num_output_tokens)
    timings = inference_pb2.Timings(ttft_ms=1.5, total_ms=4.0)
    why = inference_pb2.Explanation(decision="prefill", chosen="prefill-0", candidates=["prefill-0: idle"])
    message = inference_pb2.Done(usage=usage, timings=timings, num_attempts=1, explanations=[why])
    return inference_pb2.GenerateResponse(done=message)


class ScriptedInference(inference_pb2_grpc.InferenceServicer):
    """Every Generate plays the next script: sends messages, raises errors, calls functions."""

    def __init__(self) -> None:
        self.scripts: list[list[Step]] = []
        self.requests: list[Any] = []
        self.ended = asyncio.Event()

    async def Generate(self, request: inference_pb2.GenerateRequest, context: Context) -> AsyncIterator[Any]:
        self.requests.append(request)
        try:
            for step in self.scripts.pop(0):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, inference_pb2.GenerateResponse):
                    yield step
                else:
                    await step(context)
        finally:
            self.ended.set()

    async def Tokenize(self, request: inference_pb2.TokenizeRequest, context: Context) -> Any:
        self.requests.append(request)
        for step in self.scripts.pop(0) if self.scripts else []:
            if isinstance(step, Exception):
                raise step
        text = request.text or "".join(turn.content for turn in request.chat.messages)
        return inference_pb2.TokenizeResponse(token_ids=text.encode(), max_model_tokens=256)

    async def Detokenize(self, request: inference_pb2.DetokenizeRequest, context: Context) -> Any:
        return inference_pb2.DetokenizeResponse(text=bytes(request.token_ids).decode())

    async def ListModels(self, request: inference_pb2.ListModelsRequest, context: Context) -> Any:
        model = inference_pb2.Model(id="m", max_model_tokens=256, vocab_size=9, architecture="Llama", ready=True)
        return inference_pb2.ListModelsResponse(models=[model])


class ScriptedFleet(fleet_pb2_grpc.FleetServicer):
    """One member, decode-0; remembers what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bool]] = []

    async def ListMembers(self, request: fleet_pb2.ListMembersRequest, context: Context) -> Any:
        load = load_to_proto(Load(sequence=4, num_free_blocks=60, num_running=2, step_ms=1.5))
        member = fleet_pb2.Member(hello=hello_to_proto(HELLO), load=load, silence_ms=12, num_attempts=2, num_hashes=5)
        return fleet_pb2.ListMembersResponse(members=[member])

    async def Drain(self, request: fleet_pb2.DrainRequest, context: Context) -> Any:
        self._known(request.member)
        self.asked.append(("drain", request.member, request.leave))
        return fleet_pb2.DrainResponse()

    async def Resume(self, request: fleet_pb2.ResumeRequest, context: Context) -> Any:
        self._known(request.member)
        self.asked.append(("resume", request.member, False))
        return fleet_pb2.ResumeResponse()

    def _known(self, member: str) -> None:
        if member != HELLO.member:
            raise NotFound("member", member, (HELLO.member,))


@asynccontextmanager
async def serving(inference: ScriptedInference | None = None, fleet: ScriptedFleet | None = None) -> AsyncIterator[str]:
    """The address of a server with these services; it has stopped when the block ends."""
    services = [partial(fleet_pb2_grpc.add_FleetServicer_to_server, fleet)] if fleet else []
    if inference:
        services.append(partial(inference_pb2_grpc.add_InferenceServicer_to_server, inference))
    server = make_server(services)
    port = bind(server, "127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
