"""Standard health with Check and Watch, and reflection under both of its names."""

from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from baton.v1 import fleet_pb2_grpc
from common.net.health import Health
from tests.net.servers import connected

FLEET = "baton.v1.Fleet"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
fleet = partial(fleet_pb2_grpc.add_FleetServicer_to_server, fleet_pb2_grpc.FleetServicer())


async def check(channel: grpc.aio.Channel, service: str) -> int:
    answer: Any = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    status: int = answer.status
    return status


async def test_nothing_serves_until_told() -> None:
    health = await Health.open([FLEET])
    async with connected(health.register) as channel:
        assert [await check(channel, name) for name in ("", FLEET)] == [NOT_SERVING, NOT_SERVING]
        await health.set_serving(True, FLEET)
        assert [await check(channel, name) for name in ("", FLEET)] == [NOT_SERVING, SERVING]
        await health.set_serving(True)
        assert [await check(channel, name) for name in ("", FLEET)] == [SERVING, SERVING]


async def test_an_unknown_service_is_not_found() -> None:
    health = await Health.open([FLEET])
    async with connected(health.register) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check(channel, "other")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_watch_tells_every_change() -> None:
    health = await Health.open([FLEET])
    async with connected(health.register) as channel:
        call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=FLEET))
        assert (await call.read()).status == NOT_SERVING
        await health.set_serving(True)
        assert (await call.read()).status == SERVING
        await health.stop()
        assert (await call.read()).status == NOT_SERVING
        await health.set_serving(True)
        assert await check(channel, FLEET) == NOT_SERVING
        call.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_and_describes(version: str) -> None:
    health = await Health.open([FLEET])
    async with connected(fleet, health.register) as channel:
        reflect = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        asks = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=FLEET),
        ]
        listed, described = [answer async for answer in reflect(iter(asks))]
    names = {service.name for service in listed.list_services_response.service}
    assert {FLEET, "grpc.health.v1.Health"} <= names
    assert described.file_descriptor_response.file_descriptor_proto
