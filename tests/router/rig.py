"""A real router on real sockets with fake workers, and a client's view of it."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from google.rpc import status_pb2

from baton.v1 import fleet_pb2, fleet_pb2_grpc, inference_pb2, inference_pb2_grpc
from baton.v1.decode_pb2_grpc import add_DecodeServicer_to_server
from baton.v1.prefill_pb2_grpc import add_PrefillServicer_to_server
from common.net.channel import open_channel
from common.net.dial import Dial
from common.types.config import RouterConfig
from common.types.ids import Role
from common.types.member import Load
from common.types.timeouts import Timeouts
from router.router import Router
from tests.router.fake_member import FakeMember
from tests.router.fake_workers import FakeDecode, FakePrefill
from tests.router.folder import model_folder
from tests.router.samples import hello
from tests.router.script import PATIENCE_S, Script

Call = grpc.aio.UnaryStreamCall[inference_pb2.GenerateRequest, inference_pb2.GenerateResponse]


@dataclass
class Worker:
    """A fake worker as a test handles it."""

    member: FakeMember
    script: Script
    service: Any


@dataclass
class Reply:
    """All that a client received."""

    accepted: inference_pb2.Accepted | None = None
    texts: dict[int, str] = field(default_factory=dict)
    tokens: dict[int, list[int]] = field(default_factory=dict)
    finishes: dict[int, int] = field(default_factory=dict)
    logprobs: dict[int, list[Any]] = field(default_factory=dict)
    scores: list[Any] = field(default_factory=list)
    done: inference_pb2.Done | None = None
    num_messages: int = 0

    def add(self, response: inference_pb2.GenerateResponse) -> None:
        self.num_messages += 1
        match response.WhichOneof("event"):
            case "accepted":
                self.accepted = response.accepted
            case "prompt_logprobs":
                self.scores.extend(response.prompt_logprobs.tokens)
            case "delta":
                delta = response.delta
                assert delta.choice not in self.finishes, "nothing follows a choice's end"
                self.texts[delta.choice] = self.texts.get(delta.choice, "") + delta.text
                self.tokens.setdefault(delta.choice, []).extend(delta.token_ids)
                self.logprobs.setdefault(delta.choice, []).extend(delta.logprobs)
                if delta.finish:
                    self.finishes[delta.choice] = delta.finish
            case "done":
                self.done = response.done


class Rig:
    """Made by `rig(...)`. Workers are named p0, p1, d0, ... in the order they are added."""

    def __init__(self, router: Router, channel: grpc.aio.Channel, fleet_channel: grpc.aio.Channel) -> None:
        self.router, self.channel, self.fleet_channel = router, channel, fleet_channel
        self.inference = inference_pb2_grpc.InferenceStub(channel)
        self.fleet = fleet_pb2_grpc.FleetStub(fleet_channel)
        self.workers: dict[str, Worker] = {}
        self.lenders: dict[str, FakePrefill] = {}

    async def add(self, role: Role, name: str, *, epoch: int = 1, dial: Dial = Dial(), **changes: Any) -> Worker:
        """Returns once the router knows it."""
        script = Script()
        if role is Role.PREFILL:
            service: Any = FakePrefill(epoch, script)
            self.lenders[name] = service
            register = partial(add_PrefillServicer_to_server, service)
        else:
            service = FakeDecode(epoch, script, self.lenders)
            register = partial(add_DecodeServicer_to_server, service)
        model = self.router.serving.model
        known = {"model": model.id, "model_fingerprint": model.fingerprint, "epoch": epoch}
        member = FakeMember(hello(name, role, **known | changes), register, dial)
        member.hello = dataclasses.replace(member.hello, address=await member.serve())
        worker = self.workers[name] = Worker(member, script, service)
        member.join(self.router.fleet_address)
        await self.until(lambda: any(m.hello == member.hello for m in self.router.fleet.members()))
        return worker

    async def prefill(self, name: str = "p0", **changes: Any) -> Worker:
        return await self.add(Role.PREFILL, name, **changes)

    async def decode(self, name: str = "d0", **changes: Any) -> Worker:
        return await self.add(Role.DECODE, name, **changes)

    async def report(self, name: str, load: Load) -> None:
        """From the member's own mouth; returns once the router has heard it."""
        self.workers[name].member.report(load)
        async with asyncio.timeout(PATIENCE_S):
            while not any(m.hello.member == name and m.load == load for m in self.router.fleet.members()):
                await self.fleet.ListMembers(fleet_pb2.ListMembersRequest())

    async def until(self, true: Callable[[], bool]) -> None:
        """Waits for the fleet to become so."""
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                await self.router.fleet.changed()

    def generate(self, text: str = "hello", timeout: float | None = PATIENCE_S, **fields: Any) -> Call:
        sampling = fields.pop("sampling", {"seed": 0})
        fields.setdefault("max_tokens", 8)
        request = inference_pb2.GenerateRequest(**({"text": text} | fields), sampling=sampling)
        call: Call = self.inference.Generate(request, timeout=timeout)
        return call

    async def reply(self, text: str = "hello", **fields: Any) -> Reply:
        return await read(self.generate(text, **fields))


async def next_of(call: Call) -> inference_pb2.GenerateResponse:
    """The next message, which there must be."""
    response = await call.read()
    assert isinstance(response, inference_pb2.GenerateResponse), "the stream ended"
    return response


async def read(call: Call, reply: Reply | None = None) -> Reply:
    """Everything to the end; raises the call's error."""
    reply = reply or Reply()
    while isinstance(response := await call.read(), inference_pb2.GenerateResponse):
        reply.add(response)
    return reply


async def failure(call: Call, reply: Reply | None = None) -> grpc.aio.AioRpcError:
    """The error the call must end with."""
    try:
        await read(call, reply)
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call was answered")


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    return status


@asynccontextmanager
async def rig(folder: Path, *, timeouts: Timeouts = Timeouts(), **changes: Any) -> AsyncIterator[Rig]:
    """An empty fleet. Everything is closed in the end, and no attempt may be left anywhere."""
    config = RouterConfig(
        model=str(model_folder(folder / "tiny")),
        grpc="127.0.0.1:0",
        http="127.0.0.1:0",
        fleet="127.0.0.1:0",
        **{"mode": "handoff", "cache_key": "k"} | changes,
        timeouts=timeouts,
    )
    router = await Router.start(config)
    channel, fleet_channel = open_channel(router.grpc_address), open_channel(router.fleet_address)
    made = Rig(router, channel, fleet_channel)
    bugs: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
    try:
        yield made
        bugs = [bug for bug in bugs if "_ServerStoppedError" not in repr(bug)]  # of fakes that were killed
        assert not bugs, f"the process would have ended: {bugs}"
        assert all(not each.placements for each in router.fleet.members()), "an attempt was left on a member"
    finally:
        await channel.close()
        await fleet_channel.close()
        await router.stop()
        for worker in made.workers.values():
            await worker.member.die()
