"""The main function of both workers: configuration in, exit code out.

Owns signals and how a process ends: asked to (0), unable to start (1), or by a bug (70).
"""

import asyncio
import logging
import os
import signal
import sys
from typing import Any

import uvloop

from common.engine.boot import Machine
from common.engine.worker import Kind, Voice, Worker
from common.obs.log import set_up_logging
from common.obs.memory import available_bytes, usable_cores
from common.obs.phases import Phases
from common.types.config import WorkerConfig
from common.types.errors import StartupError
from common.types.resolve import load

OK, CANNOT_START, BUG = 0, 1, 70
_log = logging.getLogger("baton.worker")


def main(kind: Kind, prog: str) -> int:
    """Runs one worker until it is told to stop."""
    phases = Phases(prog)
    try:
        config = load(WorkerConfig, prog)
        set_up_logging(config.log_format)
        return uvloop.run(_serve(config, kind, phases))
    except StartupError as error:
        phases.failed(error)
        return CANNOT_START


async def _serve(config: WorkerConfig, kind: Kind, phases: Phases) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_or_exit, stop)
    loop.set_exception_handler(_end_loudly)
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
        _end(BUG)
    await worker.host.drain()
    await worker.stop()
    return OK


def _stop_or_exit(stop: asyncio.Event) -> None:
    """The first signal drains; a second one does not wait."""
    if stop.is_set():
        _end(OK)
    stop.set()


def _end_loudly(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What no code expected would leave an attempt hanging: better to be restarted, and peers notice at once."""
    error = context.get("exception")
    _log.critical("a bug: %s", context.get("message"), exc_info=error if isinstance(error, BaseException) else None)
    _end(BUG)


def _end(code: int) -> None:
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)
