"""One worker on the network: its server, its health, its ties to routers, and how it leaves.

Owns nothing of what the worker does: that is its side, prefill or decode.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import grpc

from common.engine.messages import EngineLoad, Event, PrefixChanged
from common.engine.report import SideState, make_report
from common.net.background import Background
from common.net.dial import Dial
from common.net.health import Health
from common.net.join import Membership, Orders
from common.net.peers import PeerCheck
from common.net.server import bind, make_server, split_address
from common.types.config import WorkerConfig
from common.types.errors import StartupError
from common.types.member import DeviceLoad, FetchTotals, Hello, Load, StepTotals
from common.types.timeouts import Timeouts

GRACE_S = 0.5
_log = logging.getLogger("baton.worker")


class Side(Protocol):
    """What makes a worker a prefill or a decode worker. Called on the event loop only."""

    draining: bool

    @property
    def idle(self) -> asyncio.Event:
        """Set while it holds no attempt."""
        ...

    def register(self, server: grpc.aio.Server) -> None:
        """Adds its services."""

    def service_names(self) -> tuple[str, ...]:
        """Full names of its services."""

    def on_events(self, events: tuple[Event, ...]) -> None:
        """What one engine step brought."""

    def cancel_router(self, router_epoch: int) -> None:
        """A router is gone, and with it every attempt it sent."""

    def finish(self) -> None:
        """The worker leaves: what waits to be sent is the last of every stream."""

    def fetch_bytes_per_s(self) -> float:
        """Measured bandwidth of hand-offs into this worker; 0 when it fetches nothing."""

    def fetch_totals(self) -> FetchTotals:
        """All copies into this worker since it started."""


class Host:
    """Starts, drains and stops one worker around its side."""

    def __init__(
        self,
        config: WorkerConfig,
        side: Side,
        load: Callable[[], EngineLoad],
        num_blocks: int,
        restart: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        totals: Callable[[], StepTotals] = StepTotals,
        device: Callable[[], DeviceLoad | None] = lambda: None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """`look` is called before each report, once a second."""
        self._config = config
        self.dial = Dial()
        self._clock = clock
        self._totals = totals
        self._device = device
        self._look = look
        self._most_quarantined = config.timeouts.quarantine_share * num_blocks
        self._crowded_since: float | None = None
        self._restart = restart
        self._side = side
        self._load = load
        self._ties: list[Tie] = []
        self._hashes: dict[int, None] = {}
        self.left, self.joined = asyncio.Event(), asyncio.Event()
        self._broken = False
        self.address = ""

    async def start(self, hello: Hello) -> None:
        """Listens, reports healthy, and keeps itself joined to every router."""
        config, role = self._config, hello.role.value
        self.dial = Dial.of(config.cache_key, config.fleet_tls, role)
        tls = self.dial.tls
        self._health = await Health.open(self._side.service_names())
        self._server = make_server(
            [self._side.register, self._health.register], interceptors=[PeerCheck()] if tls else []
        )
        try:
            credentials = tls.server_credentials() if tls else None
            expose = config.expose or tls is not None
            port = bind(self._server, config.listen, expose=expose, credentials=credentials)
        except StartupError:
            await self._server.stop(grace=None)
            raise
        host, named_port = split_address(config.advertise or config.listen)
        self.address = f"{host}:{named_port or port}" if ":" not in host else f"[{host}]:{named_port or port}"
        await self._server.start()
        await self._health.set_serving(True)
        hello = replace(hello, address=self.address)
        self._ties = [Tie(self, router, hello, self._config.timeouts) for router in self._config.routers]

    def on_events(self, events: tuple[Event, ...]) -> None:
        """From the engine: prefix changes are for the routers, the rest for the side."""
        rest = tuple(event for event in events if not isinstance(event, PrefixChanged))
        for event in events:
            if isinstance(event, PrefixChanged):
                self._prefix_changed(event)
        if rest:
            self._side.on_events(rest)

    async def drain(self) -> None:
        """Takes nothing new and waits until what there is has ended, at most `drain_s`."""
        self.order_drain(leave=False)
        try:
            async with asyncio.timeout(self._config.timeouts.drain_s):
                await self._side.idle.wait()
        except TimeoutError:
            _log.warning("left with work unfinished", extra={"drain_s": self._config.timeouts.drain_s})

    async def stop(self) -> None:
        """Ends its calls, cutting what takes too long, and leaves the routers: to them a member that left is lost, with
        all that has not arrived.
        """
        await self._health.stop()
        self._side.finish()
        await self._server.stop(grace=GRACE_S)
        for tie in self._ties:
            await tie.cut()

    def order_drain(self, leave: bool) -> None:
        """A router's or a signal's wish; with `leave` the process ends once it holds nothing."""
        self._side.draining = True
        if leave:
            self.left.set()
        self._poke()

    async def break_off(self, reason: str) -> None:
        """What it computes on is broken: it takes nothing new, and health says so for as long as it lives."""
        _log.critical("not ready any more: %s", reason)
        self._broken = True
        self.order_drain(leave=False)
        await self._health.set_serving(False)

    def order_resume(self) -> None:
        if not self.left.is_set() and not self._broken:
            self._side.draining = False
            self._poke()

    def router_joined(self, router_epoch: int) -> None:
        """The first one: from now on work may come."""
        self.joined.set()

    def router_lost(self, router_epoch: int) -> None:
        self._side.cancel_router(router_epoch)

    def report(self) -> Load:
        """The load as any router is told, without hashes."""
        self._look()
        self._check_quarantine(self._load().num_quarantined_blocks)
        return self.figures()

    def figures(self) -> Load:
        """The same, for who only wants to know; from any thread."""
        load, side = self._load(), self._side
        state = SideState(side.fetch_bytes_per_s(), side.fetch_totals(), side.draining, side.idle.is_set())
        return replace(make_report(load, self._totals(), state, self._clock()), device=self._device())

    def _check_quarantine(self, num_blocks: int) -> None:
        """A lost router abandons all its hand-offs at once: only what fences did not clear is this worker's fault."""
        if num_blocks <= self._most_quarantined:
            self._crowded_since = None
            return
        now = self._clock()
        if self._crowded_since is None:
            self._crowded_since = now
        if now - self._crowded_since > self._config.timeouts.fence_s:
            self._restart(f"{num_blocks} blocks are in quarantine")

    @property
    def hashes(self) -> tuple[int, ...]:
        """Every prefix hash this worker holds."""
        return tuple(self._hashes)

    def _prefix_changed(self, event: PrefixChanged) -> None:
        for removed in event.removed:
            self._hashes.pop(removed, None)
        self._hashes.update(dict.fromkeys(event.added))
        for tie in self._ties:
            tie.prefix_changed(event)

    def _poke(self) -> None:
        for tie in self._ties:
            tie.membership.poke()


class Tie:
    """One router's share of a worker: its membership, and the hashes it has not heard of yet."""

    def __init__(self, host: Host, router: str, hello: Hello, timeouts: Timeouts) -> None:
        self._host = host
        self._added: dict[int, None] = {}
        self._removed: dict[int, None] = {}
        orders = Orders(host.order_drain, host.order_resume, host.router_lost, host.router_joined)
        self.membership = Membership(router, hello, self._next_load, orders, timeouts, host.dial)
        self._background = Background()
        self._background.spawn(self.membership.run())

    def prefix_changed(self, event: PrefixChanged) -> None:
        for removed in event.removed:
            if removed in self._added:
                del self._added[removed]
            else:
                self._removed[removed] = None
        for added in event.added:
            if added in self._removed:
                del self._removed[added]
            else:
                self._added[added] = None

    async def cut(self) -> None:
        await self._background.close()

    def _next_load(self, first: bool) -> Load:
        added = self._host.hashes if first else tuple(self._added)
        removed = () if first else tuple(self._removed)
        self._added.clear()
        self._removed.clear()
        return replace(self._host.report(), added_hashes=added, removed_hashes=removed)
