"""What makes a worker a decode worker: its sessions, its landings, and the puller that brings KV in."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

import grpc

from baton.v1 import decode_pb2, decode_pb2_grpc
from common.engine.messages import Command, Event
from common.net.dial import Dial
from common.obs.traces import NoTraces, Traces
from common.types.kv import KVLayout
from common.types.member import FetchTotals
from common.types.timeouts import Timeouts
from decode_worker.decoding import Decoding
from decode_worker.lenders import Lenders
from decode_worker.service_decode import DecodeService
from kvtransfer.pull import Puller
from kvtransfer.transports.pools import Pool
from kvtransfer.transports.table import connect

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
    ) -> None:
        self._traces = traces
        way = partial(connect, tls=dial.tls, place=place)
        puller = Puller(pool, epoch, transports=transports, stall_s=timeouts.dead_s, warn=_log.warning, connect=way)
        self._lenders = Lenders(puller, pool, epoch, timeouts, dial)
        self._decoding = Decoding(post, self._lenders, layout, timeouts, on_overdue, traces)
        self._epoch = epoch
        self._timeouts = timeouts

    async def start(self) -> None:
        """Nothing to open: lenders are connected to when they first lend."""

    def register(self, server: grpc.aio.Server) -> None:
        service = DecodeService(self._decoding, self._epoch, self._timeouts)
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
        await self._decoding.close_all()
        await self._lenders.close()
        await asyncio.to_thread(self._traces.close)
