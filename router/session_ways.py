"""How a session's messages travel: in its call, or over a near stream where the worker is a process of this host.

The same messages in the same order either way, and what is broken is a `PeerLost`. Knows nothing of what they say.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn, Protocol

import grpc
from google.protobuf.message import DecodeError

from baton.v1 import decode_pb2
from common.net.near_entry import call_near
from common.net.near_stream import NearStream, NearStreamEnded
from common.net.unix import NotReached
from common.types.errors import InvalidRequest, PeerLost, invalid

NEAR_S = 1.0
"""How long a worker of this host may take to let its router in."""
Call = grpc.aio.StreamStreamCall[decode_pb2.SessionRequest, decode_pb2.SessionResponse]
Take = Callable[[decode_pb2.SessionResponse], None]
"""Raises InvalidRequest for a message that no worker sends."""
_log = logging.getLogger("baton.router.session")


class Way(Protocol):
    """Both directions; each raises PeerLost once nothing can come or go any more."""

    async def write(self, request: decode_pb2.SessionRequest) -> None:
        """Returns when there is room for the next one."""
        ...

    async def follow(self) -> NoReturn:
        """Hands over what comes."""
        ...

    def end(self) -> None:
        """What has not left is lost."""
        ...


class CallWay:
    """gRPC's."""

    def __init__(self, call: Call, member: str, take: Take) -> None:
        self._call, self._member, self._take = call, member, take

    async def write(self, request: decode_pb2.SessionRequest) -> None:
        try:
            await self._call.write(request)
        except grpc.aio.AioRpcError as error:
            raise self._lost(f"its session ended with {error.code().name}") from error
        except asyncio.InvalidStateError as error:
            raise self._lost("its session was over when it was written to") from error

    async def read(self) -> decode_pb2.SessionResponse:
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self._lost(f"its session ended with {error.code().name}") from error
        if not isinstance(response, decode_pb2.SessionResponse):
            raise self._lost("it ended its session")
        return response

    async def follow(self) -> NoReturn:
        while True:
            response = await self.read()
            try:
                self._take(response)
            except InvalidRequest:
                raise self._lost("it sent a malformed message") from None

    def end(self) -> None:
        self._call.cancel()

    def _lost(self, detail: str) -> PeerLost:
        return PeerLost("decode", self._member, detail)


class NearWay:
    """A unix socket. What comes is taken where the loop reads it: no task is woken for it."""

    def __init__(self, member: str, take: Take) -> None:
        self._member, self._take = member, take
        self._stream: NearStream

    async def open(self, offer: decode_pb2.NearOffer) -> bool:
        """Whether it stands. The worker may be elsewhere, or somebody else's: then the call serves."""
        try:
            self._stream = await call_near(offer.endpoint, offer.ticket, self._receive, NEAR_S)
        except NotReached as failure:
            _log.info("no near stream", extra={"member": self._member, "reason": str(failure)})
            return False
        return True

    async def write(self, request: decode_pb2.SessionRequest) -> None:
        try:
            await self._stream.write(request.SerializeToString())
        except NearStreamEnded as error:
            raise self._lost(str(error)) from error

    async def follow(self) -> NoReturn:
        raise self._lost(await self._stream.ended)

    def end(self) -> None:
        self._stream.cut("the session was closed")

    def _receive(self, message: bytes) -> None:
        try:
            response = decode_pb2.SessionResponse.FromString(message)
        except DecodeError:
            raise invalid("response", "is no message of a session") from None
        self._take(response)

    def _lost(self, reason: str) -> PeerLost:
        return PeerLost("decode", self._member, f"its near stream ended: {reason}")
