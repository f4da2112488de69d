"""An operator's eye on a fleet of processes: who is a member, with how much work, and whether every block is back."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from baton.client import Fleet
from baton.client.results import Member
from common.types.errors import BatonError
from tests.system.processes import Processes

LOOK_S = 0.005
PATIENCE_S = 30.0
Members = tuple[Member, ...]


class Watch:
    """Asks one router, again and again: it tells nobody of changes."""

    def __init__(self, processes: Processes, router: str = "router-0") -> None:
        self._processes, self._router = processes, router

    async def __aenter__(self) -> Self:
        self._fleet = await Fleet(self._processes.fleet(self._router)).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._fleet.close()

    @property
    def fleet(self) -> Fleet:
        return self._fleet

    async def members(self) -> dict[str, Member]:
        """By name; nobody while the router is not there."""
        try:
            return {member.hello.member: member for member in await self._fleet.members()}
        except BatonError:
            return {}

    async def until(self, seen: Callable[[Members], bool], patience_s: float = PATIENCE_S) -> None:
        members: dict[str, Member] = {}
        try:
            async with asyncio.timeout(patience_s):
                while True:
                    members = await self.members()
                    if seen(tuple(members.values())):
                        return
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError(f"not seen in {patience_s} s; last: {members}") from None

    async def joined(self, *names: str) -> None:
        """These workers, as their present processes, are members; all of the fleet when none is named."""
        running = self._processes.running
        wanted = {name: running[name] for name in names or self._processes.workers}

        def seen(members: Members) -> bool:
            listening = {member.hello.member: member.hello.address for member in members}
            return all(process.address and listening.get(name) == process.address for name, process in wanted.items())

        await self.until(seen)

    async def whole(self) -> None:
        """No member has work, and every block of every pool is free or cached, by a report made after now.

        Two reports, because the next one may have been on its way already.
        """
        first = {name: member.load.sequence for name, member in (await self.members()).items()}
        await self.until(lambda members: all(_is_whole(m, first.get(m.hello.member, 0) + 2) for m in members))

    async def busiest(self, role: str) -> str:
        """The worker of that pool with the most attempts at this moment."""
        names = [name for name in self._processes.workers if name.startswith(role)]
        members = await self.members()
        return max(names, key=lambda name: members[name].num_attempts if name in members else -1)


def _is_whole(member: Member, sequence: int) -> bool:
    load = member.load
    return (
        load.sequence >= sequence
        and load.num_free_blocks + load.num_cached_blocks == member.hello.num_blocks
        and not (member.num_attempts or load.num_running or load.num_waiting or load.num_quarantined_blocks)
    )
