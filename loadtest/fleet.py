"""A fleet of real processes to measure: `baton up` on free ports, ready when entered, gone when left."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from baton.cli.ready import watch
from baton.client import Client
from common.types.resolve import child_environment

READY_S = 120.0
END_S = 30.0


@asynccontextmanager
async def running_fleet(model: Path, *flags: str, **settings: str) -> AsyncIterator[Client]:
    """`settings` are BATON_* variables for all processes of the fleet, such as TOKEN_BUDGET="256"."""
    grpc, fleet = _free_address(), _free_address()
    environment = child_environment([], {f"BATON_{name}": value for name, value in settings.items()})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "baton.cli.main", "up", f"--model={model}", f"--grpc={grpc}", f"--fleet={fleet}",
        "--http=", *flags, stdout=asyncio.subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    try:
        async with asyncio.timeout(READY_S):
            await _ready(process, grpc)
        async with Client(grpc) as client:
            yield client
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(END_S):
            await process.wait()


async def _ready(process: asyncio.subprocess.Process, grpc: str) -> None:
    """Returns once the router serves; raises when the fleet ended instead."""

    async def serves() -> None:
        async with aclosing(watch(grpc)) as changes:
            async for serving in changes:
                if serving:
                    return

    tasks = [asyncio.create_task(serves()), asyncio.create_task(process.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    if process.returncode is not None:
        raise RuntimeError("the fleet ended while it started")


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
