"""`Fleet`: what an operator asks of a router, on the address kept apart from clients. Owns one channel."""

from baton.client import read
from baton.client.calls import Calls, Connected, Proof
from baton.client.results import Member
from baton.v1 import fleet_pb2, fleet_pb2_grpc
from common.net.peers import OPERATOR, ROUTER, fleet_files, host_of
from common.types.config import FLEET


class Fleet(Connected):
    """Lists and steers the members of a router's fleet. All calls may be repeated: each says how things should be.

    `fleet_tls` is a folder with an operator's certificate, for a fleet that asks for one.
    """

    def __init__(
        self,
        target: str = FLEET,
        *,
        api_key: str = "",
        fleet_tls: str = "",
        deadline_s: float = 10.0,
        max_tries: int = 3,
    ) -> None:
        proof = Proof(api_key)
        if fleet_tls:
            proof = Proof(api_key, fleet_files(fleet_tls, OPERATOR).channel_credentials(), host_of(ROUTER))
        super().__init__(Calls(target, proof, deadline_s, max_tries))
        self._fleet = fleet_pb2_grpc.FleetStub(self._calls.channel)

    async def members(self, *, deadline_s: float | None = None) -> tuple[Member, ...]:
        request = fleet_pb2.ListMembersRequest()
        answer = await self._calls.unary(self._fleet.ListMembers, request, "list_members", deadline_s)
        return tuple(read.member(each) for each in answer.members)

    async def drain(self, member: str, *, leave: bool = False, deadline_s: float | None = None) -> None:
        """The member finishes what it has and takes nothing new; with `leave` its process then ends."""
        request = fleet_pb2.DrainRequest(member=member, leave=leave)
        await self._calls.unary(self._fleet.Drain, request, "drain", deadline_s)

    async def resume(self, member: str, *, deadline_s: float | None = None) -> None:
        request = fleet_pb2.ResumeRequest(member=member)
        await self._calls.unary(self._fleet.Resume, request, "resume", deadline_s)
