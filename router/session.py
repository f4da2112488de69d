"""`Decode.Session` streams: one per decode member, shared by every attempt on it.

Owns the streams, their credits and the short names of attempts on them. What arrives goes to each attempt's own sink; a
stream's end ends all that came over it. Knows nothing of requests; how messages travel: `session_ways.py`.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import grpc

from baton.v1 import decode_pb2, decode_pb2_grpc
from common.net.background import Background
from common.net.convert import attempt_to_proto
from common.net.convert_step import step_rows_from_proto
from common.net.deadlines import to_ms
from common.types.attempt import Attempt
from common.types.errors import PeerLost
from common.types.handoff import FailureKind
from common.types.ids import Role
from common.types.member import Hello
from common.types.sampling import SampledToken
from router.events import DecodeJoined, LegFailed, Sink, Tokens
from router.links import Links, Peer
from router.session_ways import CallWay, NearWay, Way

WINDOW_FRAMES = 64
"""Frames a worker may send ahead; half of them used up grants as many again."""
FAILURE_KINDS: Mapping[int, FailureKind] = {
    decode_pb2.FAILURE_KIND_SOURCE_LOST: FailureKind.SOURCE_LOST,
    decode_pb2.FAILURE_KIND_TOO_LARGE: FailureKind.TOO_LARGE,
    decode_pb2.FAILURE_KIND_DEADLINE: FailureKind.DEADLINE,
    decode_pb2.FAILURE_KIND_STALE: FailureKind.STALE,
    decode_pb2.FAILURE_KIND_DRAINING: FailureKind.DRAINING,
    decode_pb2.FAILURE_KIND_TIMEOUT: FailureKind.TIMEOUT,
    decode_pb2.FAILURE_KIND_INTERNAL: FailureKind.INTERNAL,
    decode_pb2.FAILURE_KIND_CONSTRAINT: FailureKind.CONSTRAINT,
}
_log = logging.getLogger("baton.router.session")
_tokens: Callable[[tuple[tuple[SampledToken, ...]]], Tokens] = partial(tuple.__new__, Tokens)
"""Without the named tuple's own constructor, which is a function of Python's: this runs for each token."""


@dataclass(slots=True)
class _Entry:
    """An attempt on the stream, and which of its choices still run there."""

    sink: Sink
    choices: set[int]


class Session:
    """One stream to one process of a decode member."""

    def __init__(
        self, member: Hello, router_epoch: int, on_lost: Callable[[Hello], None] = lambda member: None
    ) -> None:
        self.member = member
        self._on_lost = on_lost
        self.ended = False
        self._router_epoch = router_epoch
        self._outgoing: asyncio.Queue[decode_pb2.SessionRequest] = asyncio.Queue()
        self._entries: dict[int, _Entry] = {}
        self._streams = itertools.count(1)
        self._num_used_frames = 0

    def attach(self, attempt: Attempt, remaining_s: float, source: Hello | None, sink: Sink) -> int:
        """Returns the attempt's short name here; its events go to the sink until it is cancelled or failed."""
        stream = next(self._streams)
        self._entries[stream] = _Entry(sink, {choice.index for choice in attempt.choices})
        attach = decode_pb2.Attach(
            stream=stream, attempt=attempt_to_proto(attempt), remaining_ms=to_ms(remaining_s), source=_source(source)
        )
        self._outgoing.put_nowait(decode_pb2.SessionRequest(attach=attach))
        return stream

    def meet(self, sources: tuple[Hello, ...]) -> None:
        """These may lend soon: the first hand-off should not have to wait for a connection."""
        meet = decode_pb2.Meet(sources=[each for each in map(_source, sources) if each is not None])
        self._outgoing.put_nowait(decode_pb2.SessionRequest(meet=meet))

    def cancel(self, stream: int, choices: tuple[int, ...] = ()) -> None:
        """All of it when no choices are named: nothing more arrives from then on. What ended already is left alone."""
        entry = self._entries.get(stream)
        if entry is None:
            return
        self._close(stream, choices or tuple(entry.choices))
        cancel = decode_pb2.Cancel(stream=stream, choices=choices)
        self._outgoing.put_nowait(decode_pb2.SessionRequest(cancel=cancel))

    async def run(self, channel: grpc.aio.Channel) -> None:
        """Carries messages both ways until the session ends; then every attempt on it hears why.

        Where a near stream stands the call stays open and says nothing: the end of either is the other's.
        """
        name = self.member.member
        call = CallWay(decode_pb2_grpc.DecodeStub(channel).Session(), name, self._receive)
        ways: list[Way] = [call]
        detail = "its session was closed"
        try:
            opened = await self._open(call)
            near = NearWay(name, self._receive)
            if opened.HasField("near") and await near.open(opened.near):
                ways.append(near)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write(ways[-1]))
                tasks.create_task(ways[-1].follow())
        except* PeerLost as lost:
            detail = _first(lost).detail
        finally:
            for way in ways:
                way.end()
            self._end(PeerLost("decode", name, detail))

    async def _open(self, call: CallWay) -> decode_pb2.SessionOpened:
        opening = decode_pb2.SessionOpen(
            router_epoch=self._router_epoch, epoch=self.member.epoch, num_frames=WINDOW_FRAMES
        )
        await call.write(decode_pb2.SessionRequest(open=opening))
        response = await call.read()
        if response.WhichOneof("event") != "opened" or response.opened.epoch != self.member.epoch:
            raise PeerLost("decode", self.member.member, "it did not open the session")
        return response.opened

    async def _write(self, way: Way) -> NoReturn:
        while True:
            await way.write(await self._outgoing.get())

    def _receive(self, response: decode_pb2.SessionResponse) -> None:
        match response.WhichOneof("event"):
            case "step":
                self._deal(step_rows_from_proto(response.step))
            case "joined" if (entry := self._entries.get(response.joined.stream)) is not None:
                entry.sink(_joined(response.joined))
            case "failed" if (entry := self._entries.pop(response.failed.stream, None)) is not None:
                entry.sink(LegFailed(Role.DECODE, FAILURE_KINDS.get(response.failed.kind, FailureKind.INTERNAL)))
        self._grant()

    def _deal(self, rows: tuple[tuple[int, SampledToken], ...]) -> None:
        """Every attempt's rows of one step in one event. Rows of cancelled attempts are still on their way: dropped."""
        if len(dict(rows)) == len(rows):  # one token each: the common step is dealt without a collection
            for stream, token in rows:
                if (entry := self._entries.get(stream)) is not None:
                    if token.finish is not None:
                        self._close(stream, (token.choice,))
                    entry.sink(_tokens(((token,),)))
            return
        by_stream: dict[int, list[SampledToken]] = {}
        for stream, token in rows:
            by_stream.setdefault(stream, []).append(token)
        for stream, tokens in by_stream.items():
            if (entry := self._entries.get(stream)) is not None:
                self._close(stream, [token.choice for token in tokens if token.finish is not None])
                entry.sink(Tokens(tuple(tokens)))

    def _close(self, stream: int, choices: Iterable[int]) -> None:
        entry = self._entries[stream]
        entry.choices.difference_update(choices)
        if not entry.choices:
            del self._entries[stream]

    def _grant(self) -> None:
        self._num_used_frames += 1
        if self._num_used_frames >= WINDOW_FRAMES // 2:
            credit = decode_pb2.Credit(num_frames=self._num_used_frames)
            self._outgoing.put_nowait(decode_pb2.SessionRequest(credit=credit))
            self._num_used_frames = 0

    def _end(self, cause: PeerLost) -> None:
        self.ended = True
        entries, self._entries = self._entries, {}
        self._on_lost(self.member)
        if entries:
            _log.warning(
                "session lost",
                extra={"member": self.member.member, "reason": cause.detail, "attempts": len(entries)},
            )
        for entry in entries.values():
            entry.sink(LegFailed(Role.DECODE, cause))


class Sessions:
    """The session to each decode process, opened with the first attempt and again after it ended."""

    def __init__(self, links: Links, router_epoch: int, on_lost: Callable[[Hello], None]) -> None:
        self._links = links
        self._router_epoch = router_epoch
        self._on_lost = on_lost
        self._sessions: dict[Peer, tuple[Session, asyncio.Task[None]]] = {}
        self._running = Background()

    def to(self, member: Hello) -> Session:
        peer = (member.address, member.epoch)
        open_one = self._sessions.get(peer)
        if open_one is not None and not open_one[0].ended:
            return open_one[0]
        session = Session(member, self._router_epoch, self._on_lost)
        self._sessions[peer] = (session, self._running.spawn(session.run(self._links.to(member))))
        return session

    def keep(self, alive: frozenset[Peer]) -> None:
        """Ends every session with a process that is not among these."""
        for gone in self._sessions.keys() - alive:
            self._sessions.pop(gone)[1].cancel()

    async def close(self) -> None:
        await self._running.close()


def _source(lender: Hello | None) -> decode_pb2.Source | None:
    if lender is None:
        return None
    return decode_pb2.Source(address=lender.address, epoch=lender.epoch, member=lender.member)


def _joined(joined: decode_pb2.Joined) -> DecodeJoined:
    return DecodeJoined(
        num_cached_tokens=joined.num_cached_tokens,
        num_bytes=joined.num_bytes,
        transport=joined.transport,
        exposed_ms=joined.exposed_ms,
        copy_ms=joined.copy_ms,
    )


def _first(group: BaseExceptionGroup[PeerLost]) -> PeerLost:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
