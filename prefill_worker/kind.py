"""How a prefill worker is put together."""

from collections.abc import Callable

from common.engine.boot import Engine
from common.engine.limits import Limits
from common.engine.loop import Scheduler
from common.engine.tables import BlockTables
from common.engine.worker import Kind
from common.net.dial import Dial
from common.net.server import split_address
from common.obs.traces import open_traces
from common.types.config import WorkerConfig
from common.types.ids import Role
from common.types.kv import KVLayout
from common.types.resolve import traces_endpoint
from kvtransfer.pool import pool_of
from prefill_worker.scheduler import PrefillScheduler
from prefill_worker.side import PrefillSide


def make_scheduler(limits: Limits, tables: BlockTables, layout: KVLayout) -> Scheduler:
    return PrefillScheduler(limits, tables, layout.fingerprint)


def make_side(config: WorkerConfig, engine: Engine, epoch: int, on_overdue: Callable[[], None]) -> PrefillSide:
    """A lender never waits for a fence, so `on_overdue` is not for it."""
    pool = pool_of(engine.storage)
    host, _ = split_address(config.listen)
    advertise = split_address(config.advertise)[0] if config.advertise else ""
    return PrefillSide(
        engine.gate.post,
        pool,
        config.transports,
        epoch,
        config.timeouts,
        host=host,
        advertise=advertise,
        expose=config.expose,
        tls=Dial.of("", config.fleet_tls, Role.PREFILL.value).tls,
        runtime_dir=config.runtime_dir or None,
        traces=open_traces(traces_endpoint(), Role.PREFILL.value),
    )


PREFILL = Kind(Role.PREFILL, make_scheduler, make_side)
