"""How a decode worker is put together."""

from collections.abc import Callable

from common.engine.boot import Engine
from common.engine.limits import Limits
from common.engine.loop import Scheduler
from common.engine.placement import Aside
from common.engine.tables import BlockTables
from common.engine.worker import Kind
from common.net.dial import Dial
from common.obs.cores import parse_cores
from common.obs.traces import open_traces
from common.types.config import WorkerConfig
from common.types.ids import Role
from common.types.kv import KVLayout
from common.types.resolve import traces_endpoint
from decode_worker.scheduler import DecodeScheduler
from decode_worker.side import DecodeSide
from kvtransfer.pool import pool_of


def make_scheduler(limits: Limits, tables: BlockTables, layout: KVLayout) -> Scheduler:
    return DecodeScheduler(limits, tables)


def make_side(config: WorkerConfig, engine: Engine, epoch: int, on_overdue: Callable[[], None]) -> DecodeSide:
    pool = pool_of(engine.storage)
    post, layout = engine.gate.post, engine.layout
    dial = Dial.of(config.cache_key, config.fleet_tls, Role.DECODE.value)
    traces = open_traces(traces_endpoint(), Role.DECODE.value)
    place = Aside(parse_cores(config.cores), lambda: engine.loop.load().num_running > 0)
    return DecodeSide(
        post,
        pool,
        layout,
        epoch,
        config.timeouts,
        on_overdue,
        config.transports,
        dial,
        traces,
        place,
        runtime_dir=config.runtime_dir or None,
    )


DECODE = Kind(Role.DECODE, make_scheduler, make_side)
