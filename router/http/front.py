"""What every endpoint reaches: the serving once there is one, the configuration, and how far start-up has come."""

import time
from dataclasses import dataclass, field

from starlette.requests import Request

from common.types.config import RouterConfig
from common.types.errors import Unavailable
from router.fleet import FleetView
from router.http.body_room import BodyRoom
from router.keys import KeyRing
from router.serving import Serving


@dataclass(slots=True)
class Front:
    """Made before the model is read: probes are answered from the first moment. Event loop only."""

    config: RouterConfig
    keys: KeyRing | None = None
    phase: str = "starting"
    fleet: FleetView | None = None
    opened: Serving | None = None
    body_room: BodyRoom = field(init=False)
    began_at: int = field(default_factory=lambda: int(time.time()))
    """Wall time, for clients that show when a model was made."""

    def __post_init__(self) -> None:
        self.body_room = BodyRoom(int(self.config.http_limits.max_bodies_mib * (1 << 20)))

    def open(self, serving: Serving, fleet: FleetView) -> None:
        """From now on requests are served."""
        self.opened, self.fleet = serving, fleet

    @property
    def serving(self) -> Serving:
        """Raises Unavailable while there is none."""
        if self.opened is None:
            raise Unavailable("this router is starting", "start-up")
        return self.opened

    def opened_both(self) -> tuple[Serving, FleetView]:
        """For who looks at the whole; raises the same."""
        if self.fleet is None:
            raise Unavailable("this router is starting", "start-up")
        return self.serving, self.fleet


def front_of(request: Request) -> Front:
    """Every endpoint's way to it."""
    front: Front = request.app.state.front
    return front
