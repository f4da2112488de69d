"""Keeps the standard health of a router's servers true: serving while a request that comes now has somewhere to go."""

import asyncio

from common.net.health import Health
from router.fleet import FleetView
from router.serving import Serving


class Pulse:
    """Follows the fleet; one task, woken by changes."""

    def __init__(
        self, health: Health, fleet_health: Health, inference: str, serving: Serving, fleet: FleetView
    ) -> None:
        self._health, self._fleet_health, self._inference, self._serving = health, fleet_health, inference, serving
        self._changed = asyncio.Event()
        fleet.watch(self._changed.set)

    async def follow(self) -> None:
        """Runs until it is cancelled."""
        while True:
            self._changed.clear()
            await self._health.set_serving(self._serving.ready)
            await self._fleet_health.set_serving(self._serving.ready, self._inference)
            await self._changed.wait()
