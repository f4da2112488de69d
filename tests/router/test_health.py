"""Standard health follows the fleet; the fleet's own health does not."""

import asyncio
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from baton.v1 import fleet_pb2
from common.net.channel import open_channel
from tests.router.rig import Rig, rig
from tests.router.script import PATIENCE_S

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Watch:
    """A client that follows the health of `Inference`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        request = health_pb2.HealthCheckRequest(service="baton.v1.Inference")
        self._call = health_pb2_grpc.HealthStub(channel).Watch(request)

    async def next(self) -> object:
        async with asyncio.timeout(PATIENCE_S):
            return (await self._call.read()).status

    def close(self) -> None:
        self._call.cancel()


async def watched(fleet: Rig) -> tuple[grpc.aio.Channel, Watch]:
    channel = open_channel(fleet.router.grpc_address)
    return channel, Watch(channel)


async def test_serving_means_that_a_decode_member_takes_work(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        channel, watch = await watched(fleet)
        async with channel:
            assert await watch.next() == NOT_SERVING
            await fleet.prefill()
            decode = await fleet.decode()
            assert await watch.next() == SERVING
            await fleet.fleet.Drain(fleet_pb2.DrainRequest(member="d0"))
            assert await watch.next() == NOT_SERVING
            await fleet.fleet.Resume(fleet_pb2.ResumeRequest(member="d0"))
            assert await watch.next() == SERVING
            await decode.member.die()
            assert await watch.next() == NOT_SERVING
            watch.close()


async def test_a_draining_router_says_so_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        channel, watch = await watched(fleet)
        async with channel:
            assert await watch.next() == NOT_SERVING
            await fleet.decode()
            assert await watch.next() == SERVING
            await fleet.router.drain()
            assert await watch.next() == NOT_SERVING
            await fleet.decode("d1")
            check = health_pb2_grpc.HealthStub(channel).Check
            answer = await check(health_pb2.HealthCheckRequest(service="baton.v1.Inference"))
            assert answer.status == NOT_SERVING
            watch.close()
