"""Decode workers that break the session's protocol, and routers that lose interest: nobody else is harmed."""

import asyncio
from pathlib import Path

import pytest

from baton.v1 import decode_pb2
from common.net.channel import open_channel
from common.types.attempt import Attempt, Choice
from common.types.errors import PeerLost
from common.types.handoff import FailureKind
from common.types.ids import AttemptId, Role
from common.types.sampling import FinishReason, SampledToken, Sampling
from router.events import LegEvent, LegFailed, Tokens
from router.session import FAILURE_KINDS, Session
from tests.router.fake_workers import A
from tests.router.rig import read, rig
from tests.router.samples import hello

Response = decode_pb2.SessionResponse
OPENED = Response(opened=decode_pb2.SessionOpened(epoch=1))


def frame(**columns: list[int]) -> decode_pb2.SessionResponse:
    return Response(step=decode_pb2.StepFrame(**columns))  # type: ignore[arg-type]


TOKEN = frame(streams=[1], choices=[0], indices=[0], token_ids=[A + 7])
BROKEN = {
    "no opening": [frame(), TOKEN],
    "wrong epoch": [Response(opened=decode_pb2.SessionOpened(epoch=2)), TOKEN],
    "ends at once": [],
    "ends after opening": [OPENED],
    "uneven columns": [OPENED, frame(streams=[1], choices=[0], indices=[0], token_ids=[])],
    "stream zero": [OPENED, frame(streams=[0], choices=[0], indices=[0], token_ids=[1])],
    "token id too large": [OPENED, frame(streams=[1], choices=[0], indices=[0], token_ids=[(1 << 32) - 1])],
    "a gap": [OPENED, frame(streams=[1], choices=[0], indices=[9], token_ids=[1])],
}


@pytest.mark.parametrize("lines", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_decode_worker_costs_an_attempt(tmp_path: Path, lines: list[Response]) -> None:
    async with rig(tmp_path) as fleet:
        bad, good = await fleet.decode("d0"), await fleet.decode("d1")
        bad.service.lines = lines
        reply = await fleet.reply(max_tokens=6)
        assert reply.texts == {0: "abcdef"}
        assert reply.done is not None
        assert reply.done.num_attempts == 2
        assert len(good.service.attaches) == 1


async def test_a_session_that_ended_is_opened_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode("d0")
        decode.service.lines = [OPENED]
        decode.script.hold("recited")
        call = fleet.generate(max_tokens=6)
        await decode.script.saw("recited")
        decode.service.lines = None
        decode.script.release("recited")
        assert (await read(call)).texts == {0: "abcdef"}
        assert decode.service.num_sessions == 2


def test_every_kind_of_failure_has_its_word() -> None:
    assert set(FAILURE_KINDS.values()) == set(FailureKind)
    assert len(FAILURE_KINDS) == len(decode_pb2.FailureKind.values()) - 1


ATTEMPT = Attempt(AttemptId("r-1", 1), (1, 2, 3), 3, (Choice(0), Choice(1)), Sampling())
Told = list[LegEvent]


def session() -> Session:
    return Session(hello("d0", Role.DECODE), router_epoch=9)


def sent(of: Session) -> list[decode_pb2.SessionRequest]:
    """What waits to be written."""
    requests = []
    while not of._outgoing.empty():
        requests.append(of._outgoing.get_nowait())
    return requests


async def test_names_are_never_used_twice_and_sources_are_optional() -> None:
    one = session()
    told: Told = []
    streams = [one.attach(ATTEMPT, 1.5, source, told.append) for source in (None, hello("p0"))]
    one.cancel(streams[0])
    streams.append(one.attach(ATTEMPT, 1.5, None, told.append))
    assert len(set(streams)) == 3
    attaches = [request.attach for request in sent(one) if request.HasField("attach")]
    assert [attach.HasField("source") for attach in attaches] == [False, True, False]
    assert attaches[1].source.member == "p0"
    assert attaches[0].remaining_ms == 1500


async def test_rows_go_to_their_attempt_in_one_event_per_step() -> None:
    one = session()
    first: Told = []
    second: Told = []
    a, b = one.attach(ATTEMPT, 1, None, first.append), one.attach(ATTEMPT, 1, None, second.append)
    one._deal(
        (
            (a, SampledToken(0, 0, 5)),
            (b, SampledToken(0, 0, 6)),
            (a, SampledToken(1, 0, 7)),
            (99, SampledToken(0, 0, 8)),
        )
    )
    assert first == [Tokens((SampledToken(0, 0, 5), SampledToken(1, 0, 7)))]
    assert second == [Tokens((SampledToken(0, 0, 6),))]


async def test_what_ended_by_itself_is_not_cancelled() -> None:
    one = session()
    told: Told = []
    stream = one.attach(ATTEMPT, 1, None, told.append)
    sent(one)
    one._deal(((stream, SampledToken(0, 0, 5, finish=FinishReason.STOP)),))
    one.cancel(stream, (1,))
    assert [list(request.cancel.choices) for request in sent(one)] == [[1]]
    one.cancel(stream)
    assert sent(one) == []
    one._deal(((stream, SampledToken(1, 0, 5)),))
    assert len(told) == 1


async def test_a_cancelled_attempt_hears_nothing_more_and_the_rest_hear_the_end() -> None:
    one = session()
    gone: Told = []
    left: Told = []
    stream = one.attach(ATTEMPT, 1, None, gone.append)
    one.attach(ATTEMPT, 1, None, left.append)
    one.cancel(stream)
    with pytest.raises(asyncio.CancelledError):
        await _cancelled_run(one)
    assert gone == []
    (event,) = left
    assert isinstance(event, LegFailed)
    assert event.leg is Role.DECODE
    assert one.ended


async def _cancelled_run(one: Session) -> None:
    """Runs against nobody until it is cancelled."""
    async with open_channel("127.0.0.1:1") as channel:
        running = asyncio.create_task(one.run(channel))
        await asyncio.sleep(0)
        running.cancel()
        await running


async def test_a_member_is_in_doubt_before_its_attempts_hear_that_the_session_broke() -> None:
    order: list[str] = []
    one = Session(hello("d0", Role.DECODE), 9, lambda member: order.append(member.member))
    one.attach(ATTEMPT, 1, None, lambda event: order.append(type(event).__name__))
    one._end(PeerLost("decode", "d0", "it broke"))
    assert order == ["d0", "LegFailed"]


async def test_a_broken_session_takes_its_member_out_of_work(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        worker = await fleet.decode()
        assert fleet.router.fleet.has_decode()
        fleet.router._reach.sessions.to(worker.member.hello)._end(PeerLost("decode", "d0", "it broke"))
        assert not fleet.router.fleet.has_decode()
        await fleet.until(fleet.router.fleet.has_decode)
