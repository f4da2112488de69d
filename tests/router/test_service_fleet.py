"""The Join stream and what operators call, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import grpc
import pytest

from baton.v1 import fleet_pb2, fleet_pb2_grpc
from common.net.channel import open_channel
from common.net.convert_fleet import hello_to_proto, load_to_proto
from common.net.join import Membership, Orders
from common.net.server import make_server
from common.types.errors import PeerLost
from common.types.ids import Role
from common.types.member import Hello, Load
from common.types.timeouts import Timeouts
from router.fleet import FleetView, Served
from router.service_fleet import FleetService
from tests.router.rig import status_of
from tests.router.samples import FINGERPRINT, KEY, hello, load, need
from tests.router.script import PATIENCE_S

EPOCH = 77
Call = grpc.aio.StreamStreamCall[fleet_pb2.JoinRequest, fleet_pb2.JoinResponse]


class Fleet:
    """A fleet service, and a stub to call it."""

    def __init__(self, fleet: FleetView, channel: grpc.aio.Channel, address: str) -> None:
        self.fleet, self.address = fleet, address
        self.stub = fleet_pb2_grpc.FleetStub(channel)

    async def join(self, who: Hello) -> Call:
        """A stream whose hello was answered."""
        call: Call = self.stub.Join()
        await call.write(fleet_pb2.JoinRequest(hello=hello_to_proto(who)))
        welcome = await response(call)
        assert welcome.welcome.router_epoch == EPOCH
        return call

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                await self.fleet.changed()


async def response(call: Call) -> fleet_pb2.JoinResponse:
    async with asyncio.timeout(PATIENCE_S):
        message = await call.read()
    assert isinstance(message, fleet_pb2.JoinResponse), "the stream ended"
    return message


async def refusal(call: Call) -> grpc.aio.AioRpcError:
    """The error the stream must end with."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while isinstance(await call.read(), fleet_pb2.JoinResponse):
                continue
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the stream ended well")


@asynccontextmanager
async def serving(timeouts: Timeouts = Timeouts()) -> AsyncIterator[Fleet]:
    fleet = FleetView(Served("tiny", FINGERPRINT, KEY))
    server = make_server([partial(fleet_pb2_grpc.add_FleetServicer_to_server, FleetService(fleet, EPOCH, timeouts))])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    channel = open_channel(address)
    try:
        yield Fleet(fleet, channel, address)
    finally:
        fleet.close()
        await channel.close()
        await server.stop(None)


async def test_a_worker_joins_reports_and_leaves() -> None:
    async with serving() as router:
        call = await router.join(hello("p0"))
        await call.write(
            fleet_pb2.JoinRequest(load=load_to_proto(load(num_running=3, added_hashes=(7, 8), draining=True)))
        )
        await router.until(lambda: router.fleet.members()[0].draining)
        (member,) = (await router.stub.ListMembers(fleet_pb2.ListMembersRequest())).members
        assert (member.hello.member, member.load.num_running, member.num_hashes) == ("p0", 3, 2)
        assert (member.draining, member.num_attempts) == (True, 0)
        assert list(member.load.added_hashes) == []
        assert member.silence_ms < 10_000
        call.cancel()
        await router.until(lambda: not router.fleet.members())


async def test_a_draining_member_is_gone_when_its_last_attempt_is() -> None:
    """Its last tokens travel over another stream, and may arrive after this one has ended."""
    async with serving() as router:
        call = await router.join(hello("d0", Role.DECODE))
        await call.write(fleet_pb2.JoinRequest(load=load_to_proto(load(draining=True))))
        await router.until(lambda: router.fleet.members()[0].draining)
        losses: list[PeerLost] = []
        (before,) = router.fleet.snapshot().members
        placement = router.fleet.place(before, need(10), 0.0, losses.append, computes=True)
        call.cancel()
        assert await call.code() is grpc.StatusCode.CANCELLED
        (_,) = (await router.stub.ListMembers(fleet_pb2.ListMembersRequest())).members
        placement.close()
        await router.until(lambda: not router.fleet.members())
        assert losses == []


async def test_a_draining_member_is_not_waited_for_without_end() -> None:
    async with serving(Timeouts(dead_s=1.5)) as router:
        call = await router.join(hello("d0", Role.DECODE))
        await call.write(fleet_pb2.JoinRequest(load=load_to_proto(load(draining=True))))
        await router.until(lambda: router.fleet.members()[0].draining)
        losses: list[PeerLost] = []
        (before,) = router.fleet.snapshot().members
        router.fleet.place(before, need(10), 0.0, losses.append, computes=True)
        call.cancel()
        await router.until(lambda: not router.fleet.members())
        assert len(losses) == 1


async def test_heartbeats_come_when_there_is_nothing_to_say() -> None:
    async with serving(Timeouts(heartbeat_s=0.01)) as router:
        call = await router.join(hello("p0"))
        assert (await response(call)).WhichOneof("command") == "beat"
        assert (await response(call)).WhichOneof("command") == "beat"


async def test_silence_is_the_end() -> None:
    async with serving(Timeouts(heartbeat_s=0.05, dead_s=1.5)) as router:
        call = await router.join(hello("p0"))
        error = await refusal(call)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "nothing was heard of it for 1.5 s" in status_of(error).message
        assert router.fleet.members() == ()


@pytest.mark.parametrize(
    ("first", "field"),
    [
        (fleet_pb2.JoinRequest(load=load_to_proto(Load())), "report"),
        (fleet_pb2.JoinRequest(), "report"),
        (fleet_pb2.JoinRequest(hello=hello_to_proto(hello(protocol=9))), "hello.protocol"),
        (fleet_pb2.JoinRequest(hello=hello_to_proto(hello(model="other"))), "hello.model"),
        (fleet_pb2.JoinRequest(hello=hello_to_proto(hello(model_fingerprint="x"))), "hello.model_fingerprint"),
        (fleet_pb2.JoinRequest(hello=hello_to_proto(hello(num_blocks=0))), "hello.num_blocks"),
    ],
)
async def test_who_does_not_fit_is_told_why(first: fleet_pb2.JoinRequest, field: str) -> None:
    async with serving() as router:
        call: Call = router.stub.Join()
        await call.write(first)
        error = await refusal(call)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert status_of(error).message.startswith(field)
        assert router.fleet.members() == ()


async def test_hello_must_come_at_once() -> None:
    async with serving(Timeouts(dead_s=0.1)) as router:
        assert (await refusal(router.stub.Join())).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_second_hello_or_nonsense_ends_the_stream() -> None:
    async with serving() as router:
        again = fleet_pb2.JoinRequest(hello=hello_to_proto(hello("p0")))
        nonsense = fleet_pb2.JoinRequest(load=fleet_pb2.Load(step_ms=float("nan")))
        for wrong in (again, nonsense):
            call = await router.join(hello("p0"))
            await call.write(wrong)
            error = await refusal(call)
            assert "a report was malformed" in status_of(error).message
            assert router.fleet.members() == ()


async def test_a_new_process_of_the_same_name_ends_the_old_stream() -> None:
    async with serving() as router:
        old = await router.join(hello("d0", Role.DECODE))
        new = await router.join(hello("d0", Role.DECODE, epoch=2))
        assert "a new process of this name joined" in status_of(await refusal(old)).message
        (member,) = router.fleet.members()
        assert member.hello.epoch == 2
        new.cancel()


async def test_operators_drain_and_resume() -> None:
    async with serving() as router:
        call = await router.join(hello("p0"))
        await router.stub.Drain(fleet_pb2.DrainRequest(member="p0", leave=True))
        assert (await response(call)).drain.leave
        assert router.fleet.members()[0].draining
        await router.stub.Resume(fleet_pb2.ResumeRequest(member="p0"))
        assert (await response(call)).WhichOneof("command") == "resume"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await router.stub.Drain(fleet_pb2.DrainRequest(member="p9"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert "known: p0" in status_of(caught.value).message


async def test_the_workers_side_understands_it() -> None:
    """Against the real worker's side: joins, hears commands, is told of the router's end."""
    heard: asyncio.Queue[object] = asyncio.Queue()
    orders = Orders(
        on_drain=lambda leave: heard.put_nowait(("drain", leave)),
        on_resume=lambda: heard.put_nowait("resume"),
        on_lost=lambda epoch: heard.put_nowait(("lost", epoch)),
        on_joined=lambda epoch: heard.put_nowait(("joined", epoch)),
    )
    async with serving(Timeouts(heartbeat_s=0.05)) as router:
        worker = Membership(router.address, hello("p0"), lambda first: load(num_waiting=5), orders, Timeouts())
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(PATIENCE_S):
            assert await heard.get() == ("joined", EPOCH)
            await router.stub.Drain(fleet_pb2.DrainRequest(member="p0"))
            assert await heard.get() == ("drain", False)
            await router.stub.Resume(fleet_pb2.ResumeRequest(member="p0"))
            assert await heard.get() == "resume"
            router.fleet.close()
            assert await heard.get() == ("lost", EPOCH)
            assert await heard.get() == ("joined", EPOCH)
        running.cancel()
        await asyncio.wait([running])
