"""Health is watched across the router's absence and return."""

import asyncio
from contextlib import aclosing

from baton.cli.ready import SERVICE, watch
from common.net.health import Health
from common.net.server import bind, make_server


async def test_each_change_is_told_once() -> None:
    health = await Health.open([SERVICE])
    server = make_server([health.register])
    port = bind(server, "127.0.0.1:0")
    await server.start()
    async with aclosing(watch(f"127.0.0.1:{port}")) as states:
        await health.set_serving(True)
        assert await anext(states) is True
        await health.set_serving(False)
        assert await anext(states) is False
        await health.set_serving(True)
        assert await anext(states) is True
        await server.stop(0)
        assert await anext(states) is False


async def test_a_router_that_comes_later_is_awaited() -> None:
    first = make_server([])
    port = bind(first, "127.0.0.1:0")
    await first.start()
    await first.stop(0)
    async with aclosing(watch(f"127.0.0.1:{port}")) as states:
        waiting = asyncio.ensure_future(anext(states))
        health = await Health.open([SERVICE])
        await health.set_serving(True)
        second = make_server([health.register])
        bind(second, f"127.0.0.1:{port}")
        await second.start()
        assert await waiting is True
        await second.stop(0)
