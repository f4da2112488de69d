"""The HTTP front of one router as a whole: it listens first, answers probes, and serves once there is something to."""

from common.types.config import RouterConfig
from router.doors import Doors
from router.fleet import FleetView
from router.http.app import build
from router.http.front import Front
from router.http.server import HttpServer
from router.serving import Serving

GRACE_S = 0.5


class Gateway:
    """Made by `open`; `serve` once the model is read, `stop` in the end. Does nothing without an address."""

    def __init__(self, front: Front, server: HttpServer | None) -> None:
        self._front, self._server = front, server

    @classmethod
    async def open(cls, config: RouterConfig, doors: Doors) -> "Gateway":
        """Raises StartupError when the address cannot be had."""
        front = Front(config, doors.keys)
        if not config.http:
            return cls(front, None)
        return cls(front, await HttpServer.open(build(front), config, doors.clients, GRACE_S))

    @property
    def address(self) -> str:
        """Empty when HTTP is off."""
        return "" if self._server is None else self._server.address

    def phase(self, text: str) -> None:
        """What start-up is at, for /ready."""
        self._front.phase = text

    def serve(self, serving: Serving, fleet: FleetView) -> None:
        self._front.open(serving, fleet)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()
