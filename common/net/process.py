"""How a serving process lives: configuration in, exit code out.

Owns signals and how the process ends: asked to (0), unable to start (1), or by a bug (70). Knows nothing of what is
served.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import uvloop

from common.obs.log import set_up_logging
from common.obs.phases import Phases
from common.types.config import RouterConfig, WorkerConfig
from common.types.errors import StartupError
from common.types.resolve import load

OK, CANNOT_START, BUG = 0, 1, 70
Config = TypeVar("Config", RouterConfig, WorkerConfig)
_log = logging.getLogger("baton")


def run(
    prog: str, config_class: type[Config], serve: Callable[[Config, Phases, asyncio.Event], Awaitable[None]]
) -> int:
    """Runs `serve` until it returns; it is told to drain and return by the event."""
    phases = Phases(prog)

    async def live(config: Config) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop_or_exit, stop)
        loop.set_exception_handler(_end_loudly)
        await serve(config, phases, stop)

    try:
        config = load(config_class, prog)
        set_up_logging(config.log_format)
        uvloop.run(live(config))
    except StartupError as error:
        phases.failed(error)
        return CANNOT_START
    return OK


def end(code: int) -> None:
    """Now, without unwinding: threads and calls that hang must not keep a broken process alive."""
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)


def _stop_or_exit(stop: asyncio.Event) -> None:
    """The first signal drains; a second one does not wait."""
    if stop.is_set():
        end(OK)
    stop.set()


def _end_loudly(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What no code expected would leave requests hanging: better to be started again, and peers notice at once."""
    error = context.get("exception")
    _log.critical("a bug: %s", context.get("message"), exc_info=error if isinstance(error, BaseException) else None)
    end(BUG)
