"""`Fleet`: one Join stream per worker, and what operators call. Listens apart from the clients' address.

Owns heartbeats and the silence after which a member is gone; what that means is the fleet view's business.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import grpc

from baton.v1 import fleet_pb2, fleet_pb2_grpc
from common.net.background import Background
from common.net.convert_fleet import hello_from_proto, hello_to_proto, load_from_proto, load_to_proto
from common.net.peers import roles_of
from common.types.errors import Forbidden, InvalidRequest, Unavailable, invalid
from common.types.timeouts import Timeouts
from router.fleet import FleetView
from router.membership import DrainCommand, Membership, ResumeCommand

_log = logging.getLogger("baton.router.fleet")
STREAM_ENDED = "its stream to the router ended"

Requests = AsyncIterator[fleet_pb2.JoinRequest]
Context = grpc.aio.ServicerContext[fleet_pb2.JoinRequest, fleet_pb2.JoinResponse]


class FleetService(fleet_pb2_grpc.FleetServicer):
    """Turns streams into members and members into messages."""

    def __init__(self, fleet: FleetView, epoch: int, timeouts: Timeouts) -> None:
        self._fleet = fleet
        self._epoch = epoch
        self._timeouts = timeouts
        self._partings = Background()

    async def Join(self, request_iterator: Requests, context: Context) -> None:
        requests = aiter(request_iterator)
        membership = await self._admit(requests, roles_of(context))
        try:
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(membership, requests))
                await self._write(membership, context)
                reader.cancel()
        finally:
            self._part(membership)
        raise Unavailable(f"the router let this worker go: {membership.lost}", "join")

    async def ListMembers(
        self, request: fleet_pb2.ListMembersRequest, context: Context
    ) -> fleet_pb2.ListMembersResponse:
        now = asyncio.get_running_loop().time()
        return fleet_pb2.ListMembersResponse(members=[_member(each, now) for each in self._fleet.members()])

    async def Drain(self, request: fleet_pb2.DrainRequest, context: Context) -> fleet_pb2.DrainResponse:
        self._fleet.drain(request.member, leave=request.leave)
        _log.info("draining", extra={"member": request.member, "leave": request.leave})
        return fleet_pb2.DrainResponse()

    async def Resume(self, request: fleet_pb2.ResumeRequest, context: Context) -> fleet_pb2.ResumeResponse:
        self._fleet.resume(request.member)
        _log.info("resumed", extra={"member": request.member})
        return fleet_pb2.ResumeResponse()

    async def _admit(self, requests: Requests, roles: frozenset[str]) -> Membership:
        try:
            async with asyncio.timeout(self._timeouts.dead_s):
                first = await anext(requests, None)
        except TimeoutError:
            raise invalid("report", "hello must come at once") from None
        if first is None or first.WhichOneof("report") != "hello":
            raise invalid("report", "the first message must be hello")
        hello = hello_from_proto(first.hello)
        if roles and hello.role.value not in roles:
            raise Forbidden("the certificate is of another role than the worker says to have")
        try:
            membership = self._fleet.join(hello, asyncio.get_running_loop().time())
        except InvalidRequest as error:
            _log.warning("refused a worker", extra={"member": hello.member, "reason": str(error)})
            raise
        _log.info("joined", extra={"member": hello.member, "role": hello.role.value, "blocks": hello.num_blocks})
        return membership

    async def _read(self, membership: Membership, requests: Requests) -> None:
        """Reports until the stream ends or falls silent; either way the member is gone."""
        dead_s = self._timeouts.dead_s
        try:
            while True:
                async with asyncio.timeout(dead_s):
                    request = await anext(requests, None)
                if request is None:
                    self._part(membership)
                    return
                if request.WhichOneof("report") != "load":
                    raise invalid("report", "only load may follow hello")
                self._fleet.report(membership, load_from_proto(request.load), asyncio.get_running_loop().time())
        except TimeoutError:
            detail = f"nothing was heard of it for {dead_s:g} s"
        except InvalidRequest:
            detail = "a report was malformed"
        self._leave(membership, detail)

    async def _write(self, membership: Membership, context: Context) -> None:
        """Welcome, then commands, and a heartbeat whenever there was none for a while; until the member is lost."""
        heartbeat_s = self._timeouts.heartbeat_s
        welcome = fleet_pb2.Welcome(router_epoch=self._epoch, heartbeat_ms=round(heartbeat_s * 1000))
        response = fleet_pb2.JoinResponse(welcome=welcome)
        while membership.lost is None:
            await context.write(response)
            try:
                async with asyncio.timeout(heartbeat_s):
                    response = _response(await membership.commands.get())
            except TimeoutError:
                response = _response(None)

    def _part(self, membership: Membership) -> None:
        """Its stream ended. What a draining member sent last may still be on its way over the other streams, which end
        by themselves.
        """
        if membership.draining and membership.placements:
            self._partings.spawn(self._leave_when_empty(membership))
        else:
            self._leave(membership, STREAM_ENDED)

    async def _leave_when_empty(self, membership: Membership) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeouts.dead_s):
                await membership.placements.emptied()
        self._leave(membership, STREAM_ENDED)

    def _leave(self, membership: Membership, detail: str) -> None:
        if membership.lost is None:
            num_attempts = len(membership.placements)
            self._fleet.leave(membership, detail)
            _log.warning("left", extra={"member": membership.hello.member, "reason": detail, "attempts": num_attempts})


def _response(command: DrainCommand | ResumeCommand | None) -> fleet_pb2.JoinResponse:
    match command:
        case DrainCommand(leave):
            return fleet_pb2.JoinResponse(drain=fleet_pb2.DrainCommand(leave=leave))
        case ResumeCommand():
            return fleet_pb2.JoinResponse(resume=fleet_pb2.ResumeCommand())
        case None:
            return fleet_pb2.JoinResponse(beat=fleet_pb2.Beat())


def _member(membership: Membership, now: float) -> fleet_pb2.Member:
    load = load_to_proto(membership.load)
    load.ClearField("added_hashes")
    load.ClearField("removed_hashes")
    return fleet_pb2.Member(
        hello=hello_to_proto(membership.hello),
        load=load,
        draining=membership.draining,
        silence_ms=round(max(0.0, now - membership.reported_at) * 1000),
        num_attempts=len(membership.placements),
        num_hashes=len(membership.hashes),
    )
