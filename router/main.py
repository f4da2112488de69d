"""The router's process: configuration in, exit code out.

Owns signals and how the process ends: asked to (0), unable to start (1), or by a bug (70).
"""

import asyncio
import logging
import os
import signal
import sys

import uvloop

from common.obs.log import set_up_logging
from common.obs.phases import Phases
from common.types.config import RouterConfig
from common.types.errors import StartupError
from common.types.resolve import load
from router.router import Router

OK, CANNOT_START, BUG = 0, 1, 70
PROG = "router"
_log = logging.getLogger("baton.router")


def main() -> int:
    """Runs until it is told to stop."""
    phases = Phases(PROG)
    try:
        config = load(RouterConfig, PROG)
        set_up_logging(config.log_format)
        return uvloop.run(_serve(config, phases))
    except StartupError as error:
        phases.failed(error)
        return CANNOT_START


async def _serve(config: RouterConfig, phases: Phases) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_or_exit, stop)
    loop.set_exception_handler(_end_loudly)
    router = await Router.start(config, phases.begin)
    phases.ready(f"clients on {router.grpc_address}, workers and operators on {router.fleet_address}")
    await stop.wait()
    _log.info("draining")
    await router.drain()
    await router.stop()
    return OK


def _stop_or_exit(stop: asyncio.Event) -> None:
    """The first signal drains; a second one does not wait."""
    if stop.is_set():
        _end(OK)
    stop.set()


def _end_loudly(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What no code expected would leave requests hanging: better to be started again, and clients notice at once."""
    error = context.get("exception")
    _log.critical("a bug: %s", context.get("message"), exc_info=error if isinstance(error, BaseException) else None)
    _end(BUG)


def _end(code: int) -> None:
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)
