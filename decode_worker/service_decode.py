"""`Decode.Session`: one long stream per router. Turns commands into calls and outgoing messages into proto.

A router of this host may have the messages go over a near stream instead, both ways; the call stays, and says nothing.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc

from baton.v1 import decode_pb2, decode_pb2_grpc
from common.net import convert, convert_step
from common.net.background import Background
from common.net.near_entry import NearEntry
from common.types.errors import InvalidRequest, StaleAttempt, invalid
from common.types.frame import Frame
from common.types.handoff import FailureKind
from common.types.timeouts import Timeouts
from decode_worker.decoding import Decoding
from decode_worker.lenders import LoanSource
from decode_worker.near_session import NearSession
from decode_worker.session import AttemptLost, JoinedBatch, Outgoing, RouterSession

Requests = AsyncIterator[decode_pb2.SessionRequest]

MAX_SOURCES = 1024
CLOSED = "the router closed the session"
Context = grpc.aio.ServicerContext[Any, Any]
FAILURE_KINDS = {
    FailureKind.SOURCE_LOST: decode_pb2.FAILURE_KIND_SOURCE_LOST,
    FailureKind.TOO_LARGE: decode_pb2.FAILURE_KIND_TOO_LARGE,
    FailureKind.DEADLINE: decode_pb2.FAILURE_KIND_DEADLINE,
    FailureKind.STALE: decode_pb2.FAILURE_KIND_STALE,
    FailureKind.DRAINING: decode_pb2.FAILURE_KIND_DRAINING,
    FailureKind.TIMEOUT: decode_pb2.FAILURE_KIND_TIMEOUT,
    FailureKind.INTERNAL: decode_pb2.FAILURE_KIND_INTERNAL,
    FailureKind.CONSTRAINT: decode_pb2.FAILURE_KIND_CONSTRAINT,
}


class DecodeService(decode_pb2_grpc.DecodeServicer):
    """Sessions of all routers."""

    def __init__(self, decoding: Decoding, epoch: int, timeouts: Timeouts, entry: NearEntry | None = None) -> None:
        self._decoding = decoding
        self._epoch = epoch
        self._timeouts = timeouts
        self._entry = entry

    async def Session(self, request_iterator: Requests, context: Context) -> AsyncIterator[decode_pb2.SessionResponse]:
        requests = aiter(request_iterator)
        session = self._open(await anext(requests, None))
        reader, near = Background(), self._near(session)
        try:
            yield decode_pb2.SessionResponse(opened=decode_pb2.SessionOpened(epoch=self._epoch, near=near.offer()))
            reader.spawn(self._read(session, requests))
            while True:
                response = _response(await session.next())
                if not await near.write(response):
                    yield response
        finally:
            reader.cancel()
            near.close()
            self._decoding.close(session)

    def _open(self, first: decode_pb2.SessionRequest | None) -> RouterSession:
        if first is None or first.WhichOneof("command") != "open":
            raise invalid("command", "the first message of a session must be open")
        if first.open.epoch != self._epoch:
            raise StaleAttempt("this worker was restarted since the router last heard from it")
        session = RouterSession(first.open.router_epoch, first.open.num_frames, self._timeouts.stalled_reader_s)
        self._decoding.open(session)
        return session

    def _near(self, session: RouterSession) -> NearSession:
        ended = partial(session.close, CLOSED)
        return NearSession(self._entry, self._timeouts.stalled_reader_s, partial(self._command, session), ended)

    async def _read(self, session: RouterSession, requests: Requests) -> None:
        """Commands until the router half-closes or is gone; a malformed one ends the session, not the worker."""
        try:
            async for request in requests:
                self._command(session, request)
        except InvalidRequest:
            session.close("a command of the session was malformed")
        else:
            session.close(CLOSED)

    def _command(self, session: RouterSession, request: decode_pb2.SessionRequest) -> None:
        match request.WhichOneof("command"):
            case "attach":
                attach = request.attach
                source = _source(attach.source) if attach.HasField("source") else None
                attempt = convert.attempt_from_proto(attach.attempt)
                self._decoding.attach(session, attach.stream, attempt, source, attach.remaining_ms / 1000)
            case "cancel":
                id = session.streams.get(request.cancel.stream)
                if id is not None:
                    self._decoding.cancel(id, tuple(request.cancel.choices))
            case "credit":
                session.add_credit(request.credit.num_frames)
            case "meet":
                self._decoding.meet(tuple(_source(source) for source in request.meet.sources[:MAX_SOURCES]))
            case _:
                raise invalid("command", "a session takes attach, cancel, credit and meet after open")


def _source(message: decode_pb2.Source) -> LoanSource:
    return LoanSource(message.address, message.epoch, message.member)


def _response(message: Outgoing) -> decode_pb2.SessionResponse:
    match message:
        case Frame():
            return decode_pb2.SessionResponse(step=convert_step.step_frame_to_proto(message))
        case JoinedBatch():
            joined = decode_pb2.Joined(
                stream=message.stream,
                num_cached_tokens=message.num_cached_tokens,
                num_bytes=message.num_bytes,
                transport=message.transport,
                exposed_ms=message.exposed_s * 1000,
                copy_ms=message.copy_s * 1000,
            )
            return decode_pb2.SessionResponse(joined=joined)
        case AttemptLost(stream, kind, detail):
            failed = decode_pb2.AttemptFailed(stream=stream, kind=FAILURE_KINDS[kind], detail=detail)
            return decode_pb2.SessionResponse(failed=failed)
