"""A worker's membership with one router: the worker's side of `Fleet.Join`.

Owns the stream, its heartbeats and its reconnection. Knows nothing of what load is or what draining means: reports come
from a function, commands go to functions.

    connecting -> joined (Welcome) -> lost (stream ended, or silence) -> connecting ...
"""

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import grpc

from baton.v1 import fleet_pb2, fleet_pb2_grpc
from common.net import wire
from common.net.convert_fleet import hello_to_proto, load_to_proto
from common.net.dial import Dial
from common.net.errors import from_rpc_error
from common.net.peers import ROUTER
from common.types.errors import BatonError, PeerLost, Unavailable
from common.types.member import Hello, Load
from common.types.timeouts import Timeouts

FIRST_BACKOFF_S = 0.1
LAST_BACKOFF_S = 2.0
LASTING_TIE_S = 2.0
FAREWELL_S = 1.0
"""A router that says that it leaves is not back at once: nothing is lost, and nobody needs to hear of tries in vain."""
HASHES_PER_REPORT = 1 << 15

_Call: TypeAlias = "grpc.aio.StreamStreamCall[fleet_pb2.JoinRequest, fleet_pb2.JoinResponse]"
_log = logging.getLogger("baton.join")


@dataclass(frozen=True, slots=True)
class Orders:
    """What a router can ask of a worker, and what happens to the tie between them. Called on the event loop."""

    on_drain: Callable[[bool], None]
    on_resume: Callable[[], None]
    on_lost: Callable[[int], None]
    on_joined: Callable[[int], None] = lambda router_epoch: None


class Backoff:
    """How long to wait before the next try: twice as long each time, until a tie has lasted.

    One that is cut at once says that the next will be too: two workers of one name would push each other out for ever.
    """

    def __init__(self) -> None:
        self._next_s = FIRST_BACKOFF_S

    def after(self, tie_s: float) -> float:
        """`tie_s` is how long the tie lasted that was just cut; 0 when there was none."""
        pause_s = FIRST_BACKOFF_S if tie_s >= LASTING_TIE_S else self._next_s
        self._next_s = min(2 * pause_s, LAST_BACKOFF_S)
        return pause_s


class Membership:
    """Keeps one worker joined to one router, for as long as `run` runs.

    `load_source(first)` gives the next report: with `first` the prefix hashes it adds are all that the worker holds,
    because the router knows none; afterwards they are what changed since the last report to this router. Its
    `sequence` is filled in here.
    """

    def __init__(
        self,
        address: str,
        hello: Hello,
        load_source: Callable[[bool], Load],
        orders: Orders,
        timeouts: Timeouts,
        dial: Dial = Dial(),
    ) -> None:
        self.address = address
        self.router_epoch: int | None = None
        self._hello, self._load_source, self._orders, self._timeouts = hello, load_source, orders, timeouts
        self._dial = dial
        self._poked = asyncio.Event()
        self._joined_at = 0.0

    def poke(self) -> None:
        """Something important changed: report at once."""
        self._poked.set()

    async def run(self) -> None:
        """Joins, and joins again whenever the router is lost; ends only by being cancelled, or by a bug."""
        backoff, said = Backoff(), ""
        while True:
            least_s = 0.0
            try:
                await self._session()
            except* (PeerLost, BatonError) as lost:
                told = lost.subgroup(Unavailable)
                reason = _first(told or lost)
                if told is not None:
                    _log.info("let go", extra={"router": self.address, "reason": reason})
                    least_s = FAREWELL_S
                elif self.router_epoch is not None or reason != said:  # not again at every try
                    _log.warning("router lost", extra={"router": self.address, "reason": reason})
                said = reason
            await asyncio.sleep(max(least_s, backoff.after(self._leave()) * random.uniform(0.5, 1.0)))

    async def _session(self) -> None:
        async with _Stream(self.address, self._timeouts.dead_s, self._dial) as stream:
            heartbeat_s = await self._enter(stream)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._report(stream, heartbeat_s))
                tasks.create_task(self._obey(stream))

    async def _enter(self, stream: "_Stream") -> float:
        """Says hello; returns the time between heartbeats that the router wishes."""
        await stream.write(fleet_pb2.JoinRequest(hello=hello_to_proto(self._hello)))
        welcome = (await stream.read()).welcome
        wire.number("welcome.heartbeat_ms", welcome.heartbeat_ms, 1, 60_000)
        self.router_epoch = wire.number("welcome.router_epoch", welcome.router_epoch, 1, wire.MAX_U64)
        self._joined_at = asyncio.get_running_loop().time()
        _log.info("joined", extra={"router": self.address, "router_epoch": self.router_epoch})
        self._orders.on_joined(self.router_epoch)
        return welcome.heartbeat_ms / 1000

    async def _report(self, stream: "_Stream", heartbeat_s: float) -> None:
        sequence = itertools.count(1)
        first = True
        while True:
            self._poked.clear()
            for load in _pieces(self._load_source(first)):
                report = load_to_proto(replace(load, sequence=next(sequence)))
                await stream.write(fleet_pb2.JoinRequest(load=report))
            first = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(heartbeat_s):
                    await self._poked.wait()

    async def _obey(self, stream: "_Stream") -> None:
        """Carries out commands; any message, also one this version does not know, is a sign of life."""
        while True:
            response = await stream.read()
            match response.WhichOneof("command"):
                case "drain":
                    self._orders.on_drain(response.drain.leave)
                case "resume":
                    self._orders.on_resume()

    def _leave(self) -> float:
        """Cuts the tie, if there is one; how long it lasted."""
        epoch, self.router_epoch = self.router_epoch, None
        if epoch is None:
            return 0.0
        self._orders.on_lost(epoch)
        return asyncio.get_running_loop().time() - self._joined_at


class _Stream:
    """One Join call on a channel of its own: a fresh connection, because a silent one may be dead without knowing.

    Lets go of both when left: an exception's traceback would otherwise keep the connection open until it is collected.
    """

    def __init__(self, address: str, dead_s: float, dial: Dial) -> None:
        self._address, self._dead_s, self._dial = address, dead_s, dial
        self._channel: grpc.aio.Channel | None = None
        self._call: _Call | None = None

    async def __aenter__(self) -> "_Stream":
        self._channel = self._dial.open(self._address, ROUTER)
        self._call = fleet_pb2_grpc.FleetStub(self._channel).Join(metadata=self._dial.metadata)
        return self

    async def __aexit__(self, *exc: object) -> None:
        call, channel, self._call, self._channel = self._call, self._channel, None, None
        if call is not None and channel is not None:
            call.cancel()
            await channel.close()

    async def write(self, request: fleet_pb2.JoinRequest) -> None:
        async with self._watched("it took no message in time"):
            await self._open().write(request)

    async def read(self) -> fleet_pb2.JoinResponse:
        async with self._watched("it was silent for too long"):
            response = await self._open().read()
        if not isinstance(response, fleet_pb2.JoinResponse):
            raise PeerLost("join", self._address, "it ended the stream")
        return response

    def _open(self) -> "_Call":
        """Not kept in a variable by who uses it, for the same reason."""
        if self._call is None:
            raise PeerLost("join", self._address, "the stream was left")
        return self._call

    @contextlib.asynccontextmanager
    async def _watched(self, late: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._dead_s):
                yield
        except TimeoutError as error:
            raise PeerLost("join", self._address, late) from error
        except asyncio.InvalidStateError as error:
            raise PeerLost("join", self._address, "the call was over") from error
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, "join", self._address) from error


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    """The text of the first error of a group."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else str(first)


def _pieces(load: Load) -> Iterator[Load]:
    """One report, or several when its hash lists would not fit a message; removals go first."""
    num_pieces = max(
        1, -(-len(load.removed_hashes) // HASHES_PER_REPORT), -(-len(load.added_hashes) // HASHES_PER_REPORT)
    )
    for piece in range(num_pieces):
        part = slice(piece * HASHES_PER_REPORT, (piece + 1) * HASHES_PER_REPORT)
        yield replace(load, removed_hashes=load.removed_hashes[part], added_hashes=load.added_hashes[part])
