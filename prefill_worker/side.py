"""What makes a worker a prefill worker: the lending table, its services and the transports it lends over."""

import asyncio
import logging
from collections.abc import Callable

import grpc

from baton.v1 import kvtransfer_pb2, kvtransfer_pb2_grpc, prefill_pb2, prefill_pb2_grpc
from common.engine.messages import Command, Event
from common.net.tls import TlsFiles
from common.obs.traces import NoTraces, Traces
from common.types.errors import StartupError
from common.types.member import FetchTotals
from common.types.timeouts import Timeouts
from kvtransfer.near.door import NearDoor
from kvtransfer.transports.pools import Pool
from kvtransfer.transports.table import ON_ONE_HOST, lending_transports, start_all
from prefill_worker.answers import LoanAnswers
from prefill_worker.lending import Lending
from prefill_worker.service_prefill import PrefillService
from prefill_worker.service_transfer import TransferService

_log = logging.getLogger("baton.handoff")


class PrefillSide:
    """Lends what the engine computes."""

    def __init__(
        self,
        post: Callable[[Command], None],
        pool: Pool,
        transports: tuple[str, ...],
        epoch: int,
        timeouts: Timeouts,
        *,
        host: str = "127.0.0.1",
        advertise: str = "",
        expose: bool = False,
        tls: TlsFiles | None = None,
        runtime_dir: str | None = None,
        traces: Traces = NoTraces(),
    ) -> None:
        self._traces = traces
        self._lending = Lending(post, timeouts)
        self._pool = pool
        self._epoch = epoch
        self._answers = LoanAnswers(self._lending, epoch)
        self._near: NearDoor | None = None
        if ON_ONE_HOST & {*transports}:
            self._near = NearDoor(pool, epoch, self._answers, runtime_dir=runtime_dir)
        self._transports = lending_transports(
            transports,
            pool,
            epoch,
            self._lending.lends,
            host=host,
            advertise=advertise,
            expose=expose,
            tls=tls,
            runtime_dir=runtime_dir,
        )

    async def start(self) -> None:
        self._transports = await start_all(self._transports, _log.warning)
        if self._near is not None:
            try:
                await self._near.start()
            except StartupError:
                await self._close_transports()
                raise

    def register(self, server: grpc.aio.Server) -> None:
        prefill = PrefillService(self._lending, self._epoch, self._traces)
        prefill_pb2_grpc.add_PrefillServicer_to_server(prefill, server)
        offers = self._transports if self._near is None else (*self._transports, self._near)
        transfer = TransferService(self._lending, self._answers, offers, self._epoch, self._pool.layout)
        kvtransfer_pb2_grpc.add_KVTransferServicer_to_server(transfer, server)

    def service_names(self) -> tuple[str, ...]:
        return (
            prefill_pb2.DESCRIPTOR.services_by_name["Prefill"].full_name,
            kvtransfer_pb2.DESCRIPTOR.services_by_name["KVTransfer"].full_name,
        )

    @property
    def idle(self) -> asyncio.Event:
        return self._lending.idle

    @property
    def draining(self) -> bool:
        return self._lending.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._lending.draining = draining

    def on_events(self, events: tuple[Event, ...]) -> None:
        self._lending.on_events(events)

    def cancel_router(self, router_epoch: int) -> None:
        self._lending.cancel_router(router_epoch)

    def finish(self) -> None:
        """Calls and fetches end with their loans."""

    def fetch_bytes_per_s(self) -> float:
        return 0.0

    def fetch_totals(self) -> FetchTotals:
        return FetchTotals()

    async def close(self) -> None:
        if self._near is not None:
            await self._near.close()
        await self._close_transports()
        await asyncio.to_thread(self._traces.close)

    async def _close_transports(self) -> None:
        for transport in self._transports:
            await transport.close()
