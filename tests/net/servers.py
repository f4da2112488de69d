"""A real server on a free port with services made for the test, and a channel to it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc

from common.net.channel import open_channel
from common.net.server import Register, bind, make_server


@asynccontextmanager
async def serving(
    *services: Register, interceptors: Sequence[grpc.aio.ServerInterceptor] = (), max_message_bytes: int = 1 << 20
) -> AsyncIterator[str]:
    """The address."""
    server = make_server(services, interceptors=interceptors, max_message_bytes=max_message_bytes)
    port = bind(server, "127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def connected(
    *services: Register, interceptors: Sequence[grpc.aio.ServerInterceptor] = (), max_message_bytes: int = 1 << 20
) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        serving(*services, interceptors=interceptors, max_message_bytes=max_message_bytes) as address,
        open_channel(address) as channel,
    ):
        yield channel
