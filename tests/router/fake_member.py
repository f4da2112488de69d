"""A fake worker's place in the fleet: its server, and a Join stream that a test can freeze, cut or feed."""

import asyncio
from collections.abc import Callable

import grpc

from baton.v1 import fleet_pb2, fleet_pb2_grpc
from common.net.background import Background
from common.net.convert_fleet import hello_to_proto, load_to_proto
from common.net.dial import Dial
from common.net.peers import ROUTER
from common.net.server import bind, make_server
from common.types.member import Hello, Load

HEARTBEAT_S = 0.2


class FakeMember:
    """Joins with `start`. What the router commands is kept in `commands`."""

    def __init__(
        self, hello: Hello, register: Callable[[grpc.aio.Server], None] | None = None, dial: Dial = Dial()
    ) -> None:
        self.hello, self.dial = hello, dial
        self.commands: list[str] = []
        self.lost = asyncio.Event()
        self.load = Load(num_free_blocks=hello.num_blocks)
        self._register = register
        self._server: grpc.aio.Server | None = None
        self._changed, self._frozen = asyncio.Event(), asyncio.Event()
        self._tie = Background()

    async def serve(self) -> str:
        """Listens; returns the address to join with."""
        self._server = make_server([self._register] if self._register else [])
        tls = self.dial.tls
        port = bind(self._server, "127.0.0.1:0", credentials=tls.server_credentials() if tls else None)
        await self._server.start()
        return f"127.0.0.1:{port}"

    def join(self, fleet_address: str) -> "asyncio.Task[None]":
        return self._tie.spawn(self._run(fleet_address))

    def report(self, load: Load) -> None:
        self.load = load
        self._changed.set()

    def freeze(self) -> None:
        """Says nothing more, and closes nothing."""
        self._frozen.set()
        self._changed.set()

    async def leave(self) -> None:
        """The Join stream ends; calls go on."""
        await self._tie.close()

    async def die(self) -> None:
        """Everything ends at once."""
        await self._tie.close()
        if self._server is not None:
            await self._server.stop(None)

    async def _run(self, fleet_address: str) -> None:
        channel = self.dial.open(fleet_address, ROUTER)
        call = fleet_pb2_grpc.FleetStub(channel).Join(metadata=self.dial.metadata)
        try:
            await call.write(fleet_pb2.JoinRequest(hello=hello_to_proto(self.hello)))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._obey(call))
                while not self._frozen.is_set():
                    self._changed.clear()
                    await call.write(fleet_pb2.JoinRequest(load=load_to_proto(self.load)))
                    try:
                        async with asyncio.timeout(HEARTBEAT_S):
                            await self._changed.wait()
                    except TimeoutError:
                        continue
        except* grpc.aio.AioRpcError as error:
            self.commands.append(f"lost: {_first(error).details()}")
            self.lost.set()
        finally:
            call.cancel()
            await channel.close()

    async def _obey(self, call: "grpc.aio.StreamStreamCall[fleet_pb2.JoinRequest, fleet_pb2.JoinResponse]") -> None:
        async for response in call:
            self.commands.append(response.WhichOneof("command"))


def _first(group: BaseExceptionGroup[grpc.aio.AioRpcError]) -> grpc.aio.AioRpcError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
