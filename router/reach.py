"""The fleet and the ways to it: channels and sessions live exactly as long as the process they lead to."""

from router.fleet import FleetView
from router.links import Links
from router.session import Sessions


class Reach:
    """What every dispatch uses to get to members."""

    def __init__(self, fleet: FleetView, router_epoch: int) -> None:
        self.fleet = fleet
        self.router_epoch = router_epoch
        self.links = Links()
        self.sessions = Sessions(self.links, router_epoch)
        fleet.watch(self._keep)

    def _keep(self) -> None:
        alive = frozenset((each.hello.address, each.hello.epoch) for each in self.fleet.members())
        self.sessions.keep(alive)
        self.links.keep(alive)

    async def close(self) -> None:
        await self.sessions.close()
        await self.links.close()
