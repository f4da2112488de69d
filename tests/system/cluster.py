"""A whole fleet in one process: real servers, real sockets, real engines; only the process borders are missing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from baton.client import Client
from common.engine.boot import Machine
from common.engine.worker import Worker
from common.types.config import RouterConfig, WorkerConfig
from decode_worker.kind import DECODE
from prefill_worker.kind import PREFILL
from router.router import Router

MACHINE = Machine(lambda: 8 << 30, 1)


@dataclass
class Cluster:
    """A running fleet and a client of it."""

    router: Router
    prefill: list[Worker]
    decode: list[Worker]
    client: Client

    @property
    def workers(self) -> list[Worker]:
        return [*self.prefill, *self.decode]

    async def settled(self) -> None:
        """Returns once every worker holds no attempt and every block is free or cached."""
        for worker in self.workers:
            async with asyncio.timeout(15):
                await worker.side.idle.wait()
                while not _whole(worker):  # noqa: ASYNC110 - an engine tells nobody that it has gone idle
                    await asyncio.sleep(0.005)


def _whole(worker: Worker) -> bool:
    load = worker.engine.loop.load()
    return load.num_free_blocks + load.num_cached_blocks == worker.engine.storage.num_blocks


@asynccontextmanager
async def cluster(
    model: Path,
    *,
    prefill: int = 1,
    decode: int = 1,
    worker: WorkerConfig | None = None,
    router: RouterConfig | None = None,
) -> AsyncIterator[Cluster]:
    """Ready to serve when entered; every block is back when left."""
    free = "127.0.0.1:0"
    router_config = replace(router or RouterConfig(model=""), model=str(model), grpc=free, http=free, fleet=free)
    base = replace(worker or WorkerConfig(model="", num_blocks=128, token_budget=128), model=str(model), threads=1)
    bugs: list[dict[str, object]] = []

    def note(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        if "Event loop is closed" not in str(context.get("exception")):  # gRPC's poller, of an earlier test's loop
            bugs.append(context)

    asyncio.get_running_loop().set_exception_handler(note)
    async with AsyncExitStack() as stack:
        front = await Router.start(router_config)
        stack.push_async_callback(front.stop)
        client = await stack.enter_async_context(Client(front.grpc_address))
        fleet = Cluster(front, [], [], client)
        for kind, count, members in ((PREFILL, prefill, fleet.prefill), (DECODE, decode, fleet.decode)):
            for number in range(count):
                config = replace(base, name=f"{kind.role.value}-{number}", routers=(front.fleet_address,))
                member = await Worker.start(config, kind, MACHINE)
                stack.push_async_callback(member.stop)
                members.append(member)
        async with asyncio.timeout(20):
            while len(front.fleet.members()) < prefill + decode:
                await front.fleet.changed()
        yield fleet
        await fleet.settled()
        if bugs:
            raise AssertionError(f"a process would have ended: {bugs}")
