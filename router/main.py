"""The router's main function."""

import asyncio
import gc
import logging

from common.net.process import run
from common.obs.phases import Phases
from common.types.config import RouterConfig
from router.router import Router

PROG = "router"
_log = logging.getLogger("baton.router")


def main() -> int:
    """Runs until it is told to stop."""
    return run(PROG, RouterConfig, _serve)


async def _serve(config: RouterConfig, phases: Phases, stop: asyncio.Event) -> None:
    router = await Router.start(config, phases.begin, phases.say)
    gc.freeze()  # what start-up made stays: nothing of it needs to be looked through again between two tokens
    http = f", OpenAI clients on http://{router.http_address}" if router.http_address else ""
    phases.ready(f"clients on {router.grpc_address}, workers and operators on {router.fleet_address}{http}")
    await stop.wait()
    _log.info("draining")
    await router.drain()
    await router.stop()
