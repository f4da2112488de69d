"""The main function of both workers."""

import asyncio
import logging
from functools import partial
from typing import Any

from common.engine.boot import Machine
from common.engine.worker import Kind, Voice, Worker
from common.net.process import BUG, end, run
from common.obs.memory import available_bytes, usable_cores
from common.obs.phases import Phases
from common.types.config import WorkerConfig

_log = logging.getLogger("baton.worker")


def main(kind: Kind, prog: str) -> int:
    """Runs one worker until it is told to stop, by a signal or by an operator."""
    return run(prog, WorkerConfig, partial(_serve, kind))


async def _serve(kind: Kind, config: WorkerConfig, phases: Phases, stop: asyncio.Event) -> None:
    machine = Machine(available_bytes, len(usable_cores()))
    worker = await Worker.start(config, kind, machine, Voice(phases.begin, phases.say, phases.progress))
    phases.ready(f"{kind.role.value} worker on {worker.host.address}")
    asked = [asyncio.ensure_future(event.wait()) for event in (stop, worker.host.left)]
    waiting: list[asyncio.Future[Any]] = [*asked, worker.failed]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in asked:
        task.cancel()
    if worker.failed.done():
        _log.critical("the engine failed", exc_info=worker.failed.result())
        end(BUG)
    await worker.host.drain()
    await worker.stop()
