"""A worker's own endpoint: read anew for every scrape, gone when it is closed."""

import asyncio
import urllib.request
from collections.abc import Iterator

import pytest

from common.obs.exposition import Sample
from common.obs.member_samples import member_samples
from common.obs.metrics_server import MetricsServer
from common.types.errors import StartupError
from common.types.ids import Role
from common.types.member import Load


def get(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


async def test_every_scrape_reads_the_present_figures() -> None:
    running = [1]

    def read() -> Iterator[Sample]:
        return member_samples("d0", Role.DECODE, Load(num_running=running[0]), draining=False)

    server = MetricsServer("127.0.0.1", 0, read)
    try:
        line = 'baton_member_sequences{member="d0",role="decode",state="running"}'
        assert f"{line} 1.0" in await asyncio.to_thread(get, server.port)
        running[0] = 4
        assert f"{line} 4.0" in await asyncio.to_thread(get, server.port)
        with pytest.raises(StartupError, match="cannot be served"):
            MetricsServer("127.0.0.1", server.port, read)
    finally:
        await server.close()
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(get, server.port)
