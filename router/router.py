"""One router, put together: its servers, the fleet, and the way out. Owns their order; knows nothing of processes.

Clients and workers have an address each, so that a network can keep them apart.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc

from baton.v1.fleet_pb2_grpc import add_FleetServicer_to_server
from baton.v1.inference_pb2_grpc import add_InferenceServicer_to_server
from common.net.background import Background
from common.net.dial import Dial
from common.net.health import Health
from common.net.interceptors import CallLimit
from common.net.peers import ROUTER
from common.net.server import bind, make_server, split_address
from common.obs.traces import open_traces
from common.types.config import RouterConfig
from common.types.errors import StartupError
from common.types.ids import new_epoch
from common.types.resolve import traces_endpoint
from router.doors import Door, Doors, make_doors
from router.fleet import FleetView, Served
from router.http.gateway import Gateway
from router.overview import keep_history
from router.policy.local import Goals
from router.policy.route import ModeRule
from router.pulse import Pulse
from router.reach import Reach
from router.routing import Rules
from router.served_model import ServedModel
from router.service_fleet import FleetService
from router.service_inference import InferenceService
from router.serving import Serving

INFERENCE, FLEET = "baton.v1.Inference", "baton.v1.Fleet"
GRACE_S = 0.5
CALLS_PER_REQUEST = 2
"""Calls that are no requests, such as Tokenize, and those that wait to be refused."""
LEAST_STREAMS = 1024
"""gRPC answers more streams than these with "unavailable"; who is admitted is for admission to say, with a reason."""


class Router:
    """Made by `start`; `drain`, then `stop`."""

    def __init__(self, config: RouterConfig, model: ServedModel, gateway: Gateway, doors: Doors) -> None:
        now = asyncio.get_running_loop().time()
        epoch = new_epoch()
        self._config = config
        self._doors = doors
        self.fleet = FleetView(Served(model.id, model.fingerprint, config.cache_key.encode()))
        self._reach = Reach(self.fleet, epoch, Dial.of(config.cache_key, config.access.fleet_tls, ROUTER))
        goals = Goals(config.timeouts.ttft_goal_ms, config.timeouts.tpot_goal_ms)
        rules = Rules(ModeRule(config.mode), config.max_attempts, config.timeouts.handoff_s, goals)
        self.serving = Serving(model, self._reach, config, rules, now)
        self.serving.traces = open_traces(traces_endpoint(), ROUTER)
        if doors.keys is not None:
            doors.keys.on_refused = self.serving.tally.refuse
        self._inference = InferenceService(self.serving, config)
        self._gateway = gateway
        self.http_address = gateway.address
        self._fleet_service = FleetService(self.fleet, epoch, config.timeouts)
        self._background = Background()
        self._health: Health | None = None
        self._servers: list[grpc.aio.Server] = []
        self.grpc_address = self.fleet_address = ""

    @classmethod
    async def start(
        cls,
        config: RouterConfig,
        say: Callable[[str], None] = lambda text: None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> "Router":
        """Raises StartupError, with nothing left open. `say` hears of phases, `tell` of what is worth a line."""
        doors = make_doors(config, tell)
        gateway = await Gateway.open(config, doors)
        try:
            say(f"reading the tokenizer of {config.model}")
            gateway.phase("reading the tokenizer")
            model = await asyncio.to_thread(ServedModel.load, Path(config.model), config.model_id)
            router = cls(config, model, gateway, doors)
        except StartupError:
            await gateway.stop()
            raise
        say("opening its ports")
        gateway.phase("opening its ports")
        try:
            await router._listen()
        except StartupError:
            await router.stop()
            raise
        gateway.serve(router.serving, router.fleet)
        return router

    async def drain(self) -> None:
        """Admits nothing more, and lets streams end for at most `drain_s`."""
        if self._health is not None:
            await self._health.stop()
        await self.serving.drain(self._config.timeouts.drain_s)

    async def stop(self) -> None:
        """Calls still running are cut."""
        self.fleet.close()
        await asyncio.gather(self._gateway.stop(), *(server.stop(GRACE_S) for server in self._servers))
        self.serving.close()
        await asyncio.to_thread(self.serving.traces.close)
        await self._background.close()
        await self._reach.close()

    async def _listen(self) -> None:
        """Workers may join before clients are served: the fleet's port opens first."""
        config = self._config
        fleet_health = await Health.open((FLEET,))
        register = partial(add_FleetServicer_to_server, self._fleet_service)
        doors = self._doors
        workers = make_server([register, fleet_health.register], interceptors=doors.fleet.checks)
        self.fleet_address = await self._serve(workers, config.fleet, doors.fleet)
        await fleet_health.set_serving(True)
        await fleet_health.set_serving(False, INFERENCE)  # told here too: operators may have no way to clients' address
        self._health = await Health.open((INFERENCE,))
        register = partial(add_InferenceServicer_to_server, self._inference)
        limit = CallLimit(INFERENCE, CALLS_PER_REQUEST * config.max_requests)
        clients = make_server(
            [register, self._health.register],
            max_concurrent_streams=max(LEAST_STREAMS, CALLS_PER_REQUEST * config.max_requests),
            interceptors=[*doors.clients.checks, limit],
        )
        pulse = Pulse(self._health, fleet_health, INFERENCE, self.serving, self.fleet)
        self._background.spawn(pulse.follow())
        self._background.spawn(keep_history(self.serving, self.fleet))
        self.grpc_address = await self._serve(clients, config.grpc, doors.clients)

    async def _serve(self, server: grpc.aio.Server, address: str, door: Door) -> str:
        """Returns where it can be reached: the port that was free when 0 was asked for."""
        self._servers.append(server)
        port = bind(server, address, expose=door.expose, credentials=door.credentials())
        await server.start()
        return address if address.startswith("unix:") else f"{split_address(address)[0]}:{port}"
