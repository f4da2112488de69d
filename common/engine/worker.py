"""A worker from configuration to its last breath: engine, side and host put together, and taken apart in order.

Owns the way events travel from the engine thread to the event loop. What kind of worker it is comes in as a `Kind`.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from secrets import token_hex
from typing import Protocol

from common.engine.boot import Engine, Machine, boot
from common.engine.host import Host, Side
from common.engine.limits import Limits
from common.engine.loop import Scheduler
from common.engine.messages import Event
from common.engine.tables import BlockTables
from common.engine.unreadiness import watch_device
from common.engine.voice import Voice
from common.net.background import Background
from common.net.own_address import advertised
from common.net.server import check_exposed, split_address
from common.obs.cores import keep_to, parse_cores
from common.obs.device import DeviceWatch
from common.obs.exposition import Sample
from common.obs.member_samples import member_samples
from common.obs.metrics_server import MetricsServer
from common.types.config import WorkerConfig
from common.types.hashing import key_id
from common.types.ids import PROTOCOL_MAJOR, Role, new_epoch
from common.types.kv import KVLayout
from common.types.member import DeviceLoad, Hello


class OpenSide(Side, Protocol):
    """A side with a beginning and an end."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes a prefill worker one, or a decode worker."""

    role: Role
    make_scheduler: Callable[[Limits, BlockTables, KVLayout], Scheduler]
    make_side: Callable[[WorkerConfig, Engine, int, Callable[[], None]], OpenSide]


@dataclass(slots=True)
class Worker:
    """A running worker. `failed` completes with what ended the engine; `left` with an operator's wish to leave."""

    config: WorkerConfig
    kind: Kind
    failed: "asyncio.Future[BaseException]" = field(init=False)
    engine: Engine = field(init=False)
    side: OpenSide = field(init=False)
    own_name: str = field(init=False)
    host: Host = field(init=False)
    metrics: MetricsServer | None = field(default=None, init=False)
    watch: DeviceWatch | None = field(default=None, init=False)
    tasks: Background = field(default_factory=Background, init=False)

    @classmethod
    async def start(cls, config: WorkerConfig, kind: Kind, machine: Machine, voice: Voice = Voice()) -> "Worker":
        """Takes as long as loading does; raises StartupError with the fix, and then nothing is left behind."""
        config = replace(config, advertise=advertised(config.listen, config.advertise, config.routers))
        worker = cls(config, kind)
        loop = asyncio.get_running_loop()
        worker.failed = loop.create_future()
        # host names may be alike, and in a container every process is the first
        worker.own_name = f"{kind.role.value}-{socket.gethostname()}-{token_hex(2)}"

        def on_events(events: tuple[Event, ...]) -> None:
            loop.call_soon_threadsafe(worker.host.on_events, events)

        def on_crash(error: BaseException) -> None:
            loop.call_soon_threadsafe(worker.fail, error)

        decodes = kind.role is Role.DECODE
        make = partial(boot, config, kind.make_scheduler, on_events, on_crash, machine, voice, decodes=decodes)
        worker.engine = await asyncio.to_thread(make)
        undo: list[Callable[[], Awaitable[None]]] = []
        try:
            keep_to(parse_cores(config.loop_cores))  # not before: loading may use every core
            voice.phase("listen")
            epoch = new_epoch()
            worker.side = kind.make_side(config, worker.engine, epoch, worker.overdue)
            undo.append(worker.side.close)
            await worker.side.start()
            worker.host = Host(
                config,
                worker.side,
                worker.engine.loop.load,
                worker.engine.storage.num_blocks,
                worker.restart,
                totals=worker.engine.loop.totals,
                device=worker.device_load,
                look=worker.engine.seat.look,
            )
            if config.metrics:
                check_exposed(config.metrics, expose=config.expose)
                worker.metrics = MetricsServer(*split_address(config.metrics), worker.samples)
                undo.append(worker.metrics.close)
            await worker.host.start(worker.hello(epoch))
            worker.watch = watch_device(worker.engine.storage, worker.break_off)
        except BaseException:
            for step in undo:
                await step()
            worker.engine.close()
            raise
        return worker

    async def stop(self) -> None:
        """Ends the calls, leaves the routers, lets go of the pool, ends the engine: in this order."""
        if self.watch is not None:
            await asyncio.to_thread(self.watch.stop)
        await self.tasks.close()
        await self.host.stop()
        if self.metrics is not None:
            await self.metrics.close()
        await self.side.close()
        await asyncio.to_thread(self.engine.close)

    def samples(self) -> Iterator[Sample]:
        """This worker's figures, from any thread."""
        load, role = self.host.figures(), self.kind.role
        return member_samples(self.name, role, load, draining=load.draining)

    def device_load(self) -> DeviceLoad | None:
        """What the device it computes on last told of itself."""
        return None if self.watch is None else self.watch.load()

    def break_off(self, reason: str) -> None:
        """The device it computes on told of an error."""
        self.tasks.spawn(self.host.break_off(reason))

    def fail(self, error: BaseException) -> None:
        """A bug: whoever owns the process ends it."""
        if not self.failed.done():
            self.failed.set_result(error)

    def overdue(self) -> None:
        """A fence does not answer."""
        self.restart("a copy could not be fenced")

    def restart(self, reason: str) -> None:
        """Blocks that cannot be fenced: only a new process can have them back."""
        self.fail(RuntimeError(reason))

    @property
    def name(self) -> str:
        return self.config.name or self.own_name

    def hello(self, epoch: int) -> Hello:
        """What the worker says of itself to routers; the host fills in the address."""
        config, engine = self.config, self.engine
        return Hello(
            member=self.name,
            role=self.kind.role,
            address="",
            epoch=epoch,
            model=config.model_id or os.path.basename(os.path.abspath(config.model)),
            model_fingerprint=engine.fingerprint,
            layout=engine.layout.fingerprint,
            protocol=PROTOCOL_MAJOR,
            block_tokens=engine.layout.block_tokens,
            block_bytes=engine.layout.block_bytes,
            num_blocks=engine.storage.num_blocks,
            max_sequences=engine.limits.max_sequences,
            max_model_tokens=engine.limits.max_model_tokens,
            transports=config.transports,
            cache_key_id=key_id(config.cache_key.encode()),
        )
