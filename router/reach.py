"""The fleet and the ways to it: channels and sessions live exactly as long as the process they lead to."""

from common.net.dial import Dial
from common.types.ids import Role
from common.types.member import Hello
from router.fleet import FleetView
from router.links import Links
from router.session import Sessions


class Reach:
    """What every dispatch uses to get to members."""

    def __init__(self, fleet: FleetView, router_epoch: int, dial: Dial) -> None:
        self.fleet = fleet
        self.router_epoch = router_epoch
        self.links = Links(dial)
        self.sessions = Sessions(self.links, router_epoch, fleet.doubt)
        self._introduced: dict[Hello, frozenset[Hello]] = {}
        fleet.watch(self._keep)

    def _keep(self) -> None:
        alive = frozenset((each.hello.address, each.hello.epoch) for each in self.fleet.members())
        self.sessions.keep(alive)
        self.links.keep(alive)
        self._introduce()

    def _introduce(self) -> None:
        """Every decode member hears of every prefill member once."""
        hellos = [each.hello for each in self.fleet.members()]
        for decode in (hello for hello in hellos if hello.role is Role.DECODE):
            lenders = {hello for hello in hellos if hello.role is Role.PREFILL and hello.layout == decode.layout}
            known = self._introduced.get(decode, frozenset())
            if lenders - known:
                self.sessions.to(decode).meet(tuple(sorted(lenders - known, key=lambda hello: hello.member)))
        self._introduced = {
            decode: frozenset(hello for hello in hellos if hello.role is Role.PREFILL)
            for decode in hellos
            if decode.role is Role.DECODE
        }

    async def close(self) -> None:
        await self.sessions.close()
        await self.links.close()
