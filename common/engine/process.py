"""The main function of both workers."""

import asyncio
import logging
import sys
from functools import partial
from typing import Any

from common.engine.boot import Machine
from common.engine.voice import Voice
from common.engine.worker import Kind, Worker
from common.net.process import BUG, end, run
from common.obs.memory import available_bytes, usable_cores
from common.obs.phases import Phases
from common.types.config import WorkerConfig

_log = logging.getLogger("baton.worker")

SWITCH_S = 0.0005
"""How long an engine that comes back from a kernel may wait for the interpreter while another thread has it. Python's
own 5 ms are half a step, and every hand-off that lands would cost all streams of a step as much.
"""


def main(kind: Kind, prog: str) -> int:
    """Runs one worker until it is told to stop, by a signal or by an operator."""
    sys.setswitchinterval(SWITCH_S)
    return run(prog, WorkerConfig, partial(_serve, kind))


async def _serve(kind: Kind, config: WorkerConfig, phases: Phases, stop: asyncio.Event) -> None:
    machine = Machine(available_bytes, len(usable_cores()))
    worker = await Worker.start(config, kind, machine, Voice(phases.begin, phases.say, phases.progress))
    phases.begin("join")
    joined = asyncio.ensure_future(worker.host.joined.wait())
    asked = [asyncio.ensure_future(event.wait()) for event in (stop, worker.host.left)]
    ends: list[asyncio.Future[Any]] = [*asked, worker.failed]
    await asyncio.wait([*ends, joined], return_when=asyncio.FIRST_COMPLETED)
    if joined.done():
        phases.ready(f"{kind.role.value} worker on {worker.host.address}")
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in (*asked, joined):
        task.cancel()
    if worker.failed.done():
        _log.critical("the engine failed", exc_info=worker.failed.result())
        end(BUG)
    await worker.host.drain()
    await worker.stop()
