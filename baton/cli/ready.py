"""Awaits word from a router of whether it can serve: standard health, watched, never polled."""

from collections.abc import AsyncGenerator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.net.dial import Dial
from common.net.peers import ROUTER

SERVICE = "baton.v1.Inference"


async def watch(address: str, dial: Dial = Dial()) -> AsyncGenerator[bool]:
    """Whether the router serves, each time that changes. One that is not there, or gone, does not serve."""
    channel = dial.open(address, ROUTER)
    serving = False
    try:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            call = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), wait_for_ready=True)
            try:
                async for answer in call:
                    now = answer.status == health_pb2.HealthCheckResponse.SERVING
                    if now != serving:
                        serving = now
                        yield serving
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            finally:
                call.cancel()
            if serving:
                serving = False
                yield serving
    finally:
        await channel.close()
