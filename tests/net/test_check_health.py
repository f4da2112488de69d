"""What a container's health check says."""

import asyncio
import sys

from common.net.check_health import check
from common.net.health import Health
from common.net.server import bind, make_server


async def test_it_tells_serving_from_not_and_from_nothing() -> None:
    health = await Health.open(("one",))
    server = make_server([health.register])
    address = f"127.0.0.1:{bind(server, '127.0.0.1:0')}"
    await server.start()
    assert await asyncio.to_thread(check, address, "one") == "NOT_SERVING"
    await health.set_serving(True)
    assert await asyncio.to_thread(check, address, "one") == ""
    assert await asyncio.to_thread(check, address) == ""
    assert await asyncio.to_thread(check, address, "two") == "NOT_FOUND"
    module = (sys.executable, "-m", "common.net.check_health", address, "one")
    process = await asyncio.create_subprocess_exec(*module, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0] == b"serving"
    assert process.returncode == 0
    await server.stop(None)
    assert await asyncio.to_thread(check, address, "one") == "UNAVAILABLE"
