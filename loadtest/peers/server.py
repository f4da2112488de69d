"""One server to measure: how it is started, when it is ready, and that it is gone afterwards with all its children.

Knows no server by name.
"""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from baton.cli.child import Child, ChildSpec, how_it_ended
from baton.cli.ready import watch
from common.types.errors import BatonError
from loadtest.bench.http_target import HttpTarget
from loadtest.bench.target import Asking

READY_PAUSE_S = 0.5
NUM_LAST_LINES = 15


class NotStarted(Exception):
    """The server ended, or was not ready in time; its last words are in the message."""


@dataclass(frozen=True, slots=True)
class Server:
    """`target` is what the bench is pointed at: HOST:PORT for gRPC, or a URL. Where one answers before all of it is
    there, `is_whole` tells when it is.
    """

    name: str
    argv: tuple[str, ...]
    target: str
    ready_s: float
    environment: Mapping[str, str] = field(default_factory=dict)
    model_id: str = ""
    end_s: float = 20.0
    is_whole: Callable[[], Awaitable[bool]] | None = None


@asynccontextmanager
async def running(server: Server, log: Path) -> AsyncIterator[Server]:
    """Started and ready; ended when the block is left, however it is left. All it says goes to the log."""
    last: deque[str] = deque(maxlen=NUM_LAST_LINES)
    with log.open("a") as sink:

        def heard(_: str, line: str) -> None:
            last.append(line)
            sink.write(line + "\n")

        child = await Child.start(ChildSpec(server.name, server.argv, environment=dict(server.environment)), heard)
        try:
            await _ready(server, child, last)
            yield server
        finally:
            await _end(child, server.end_s)


async def _ready(server: Server, child: Child, last: deque[str]) -> None:
    serves = asyncio.create_task(_serves(server))
    ended = asyncio.create_task(child.wait())
    try:
        async with asyncio.timeout(server.ready_s):
            await asyncio.wait({serves, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            words = "\n  ".join(last)
            raise NotStarted(f"{server.name} could not start ({how_it_ended(ended.result())}):\n  {words}")
        await serves
    except TimeoutError:
        raise NotStarted(f"{server.name} was not ready within {server.ready_s:g} s") from None
    finally:
        serves.cancel()
        ended.cancel()


async def _serves(server: Server) -> None:
    """Returns once it answers, and is whole."""
    await _answers(server)
    while True:
        if server.is_whole is None or await server.is_whole():
            return
        await asyncio.sleep(READY_PAUSE_S)


async def _answers(server: Server) -> None:
    """By its health over gRPC, by its list of models over HTTP."""
    if "://" not in server.target:
        async with aclosing(watch(server.target)) as changes:
            async for serving in changes:
                if serving:
                    return
    while True:
        target = HttpTarget(server.target, "completions", Asking())
        try:
            if (await target.served()).ready:
                return
        except BatonError:
            pass  # it is not there yet
        finally:
            await target.close()
        await asyncio.sleep(READY_PAUSE_S)


async def _end(child: Child, end_s: float) -> None:
    """Asked first; killed with its whole group when it takes too long."""
    child.ask_to_end()
    try:
        async with asyncio.timeout(end_s):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


def free_address() -> str:
    """An address on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
