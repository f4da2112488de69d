"""What makes a worker a decode worker: its sessions, its landings, and the puller that brings KV in."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

import grpc

from baton.v1 import decode_pb2, decode_pb2_grpc
from common.engine.messages import Command, Event
from common.net.dial import Dial
from common.net.near_entry import NearEntry
from common.obs.traces import NoTraces, Traces
from common.types.errors import StartupError
from common.types.kv import KVLayout
from common.types.member import FetchTotals
from common.types.timeouts import Timeouts
from decode_worker.decoding import Decoding
from decode_worker.lenders import Lenders
from decode_worker.service_decode import DecodeService
from kvtransfer.pull import Puller
from kvtransfer.transports.pools import Pool
from kvtransfer.transports.table import ON_ONE_HOST, connect

_log = logging.getLogger("baton.handoff")


class DecodeSide:
    """Fetches what others lend and streams what the engine samples."""

    def __init__(
        self,
        post: Callable[[Command], None],
        pool: Pool,
        layout: KVLayout,
        epoch: int,
        timeouts: Timeouts,
        on_overdue: Callable[[], None],
        transports: tuple[str, ...] = ("shm", "tcp"),
        dial: Dial = Dial(),
        traces: Traces = NoTraces(),
        place: Callable[[], None] = lambda: None,
        runtime_dir: str | None = None,
    ) -> None:
        self._traces = traces
        self._entry = NearEntry(runtime_dir) if ON_ONE_HOST & {*transports} else None
        way = partial(connect, tls=dial.tls, place=place)
        puller = Puller(pool, epoch, transports=transports, stall_s=timeouts.dead_s, warn=_log.warning, connect=way)
        self._lenders = Lenders(puller, pool, epoch, timeouts, dial)
        self._decoding = Decoding(post, self._lenders, layout, timeouts, on_overdue, traces)
        self._epoch = epoch
        self._timeouts = timeouts

    async def start(self) -> None:
        """Lets routers of this host come near; lenders are connected to when they first lend."""
        if self._entry is None:
            return
        try:
            await self._entry.start()
        except StartupError as error:
            _log.warning("sessions go over gRPC alone", extra={"reason": error.cause})

    def register(self, server: grpc.aio.Server) -> None:
        service = DecodeService(self._decoding, self._epoch, self._timeouts, self._entry)
        decode_pb2_grpc.add_DecodeServicer_to_server(service, server)

    def service_names(self) -> tuple[str, ...]:
        return (decode_pb2.DESCRIPTOR.services_by_name["Decode"].full_name,)

    @property
    def idle(self) -> asyncio.Event:
        return self._decoding.idle

    @property
    def draining(self) -> bool:
        return self._decoding.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._decoding.draining = draining

    def on_events(self, events: tuple[Event, ...]) -> None:
        self._decoding.on_events(events)

    def cancel_router(self, router_epoch: int) -> None:
        self._decoding.cancel_router(router_epoch)

    def finish(self) -> None:
        self._decoding.finish()

    def fetch_bytes_per_s(self) -> float:
        return self._lenders.bytes_per_s

    def fetch_totals(self) -> FetchTotals:
        return self._lenders.totals

    async def close(self) -> None:
        if self._entry is not None:
            await self._entry.close()
        await self._decoding.close_all()
        await self._lenders.close()
        await asyncio.to_thread(self._traces.close)
