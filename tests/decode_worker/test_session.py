"""A session's outgoing messages: order, melting of rows, credit, and what a stalled router costs."""

import asyncio

import pytest

from baton.v1 import decode_pb2
from common.net.channel import CONTROL_BYTES
from common.net.convert_step import step_frame_to_proto, step_rows_from_proto
from common.net.wire import MAX_CHOICES, MAX_ROWS, MAX_TOKEN_ID, MAX_TOKENS, MAX_TOP_LOGPROBS
from common.types.errors import Cancelled
from common.types.frame import Frame, frame_of
from common.types.handoff import FailureKind
from common.types.sampling import FinishReason, SampledToken, TokenLogprobs
from decode_worker.session import AttemptLost, RouterSession


def token(index: int, choice: int = 0) -> SampledToken:
    return SampledToken(choice, index, 100 + index)


def session(num_frames: int = 8, stalled_s: float = 5.0) -> RouterSession:
    return RouterSession(1, num_frames, stalled_s)


async def test_rows_of_one_step_are_one_frame() -> None:
    s = session()
    s.send_row(1, token(0))
    s.send_row(2, token(0))
    s.flush()
    assert await s.next() == frame_of([(1, token(0)), (2, token(0))])


async def test_rows_melt_while_there_is_no_credit() -> None:
    s = session(num_frames=0)
    for index in range(3):
        s.send_row(1, token(index))
        s.flush()
    waiting = asyncio.create_task(s.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    s.add_credit(1)
    assert await waiting == frame_of([(1, token(index)) for index in range(3)])


async def test_other_messages_keep_their_place_between_rows() -> None:
    s = session()
    lost = AttemptLost(2, FailureKind.STALE, "late")
    s.send_row(1, token(0))
    s.send(lost)
    s.send_row(1, token(1))
    s.flush()
    assert [await s.next() for _ in range(3)] == [frame_of([(1, token(0))]), lost, frame_of([(1, token(1))])]


async def test_credit_is_spent_one_per_message() -> None:
    s = session(num_frames=1)
    s.send(AttemptLost(1, FailureKind.STALE, "late"))
    s.send(AttemptLost(2, FailureKind.STALE, "late"))
    assert isinstance(await s.next(), AttemptLost)
    waiting = asyncio.create_task(s.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    s.add_credit(1)
    assert isinstance(await waiting, AttemptLost)


async def test_a_router_that_stops_reading_is_cut() -> None:
    s = session(num_frames=0, stalled_s=0.01)
    s.send_row(1, token(0))
    with pytest.raises(Cancelled, match="stopped reading"):
        await s.next()


async def test_new_rows_do_not_put_the_cut_off() -> None:
    s = session(num_frames=0, stalled_s=0.05)
    waiting = asyncio.create_task(s.next())
    for index in range(100):
        s.send_row(1, token(index))
        s.flush()
        await asyncio.wait([waiting], timeout=0.01)
        if waiting.done():
            break
    with pytest.raises(Cancelled, match="stopped reading"):
        await waiting


async def test_an_idle_session_waits_without_a_limit() -> None:
    s = session(stalled_s=0.01)
    waiting = asyncio.create_task(s.next())
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    s.close("over")
    with pytest.raises(Cancelled, match="over"):
        await waiting


async def test_messages_sent_before_closing_are_not_delivered_after_it() -> None:
    s = session()
    s.send_row(1, token(0))
    s.close("the router is gone")
    with pytest.raises(Cancelled):
        await s.next()


async def test_a_worker_that_leaves_sends_what_waits_first() -> None:
    s = session(num_frames=1)
    s.send_row(1, token(0))
    s.finish("this worker is leaving")
    assert await s.next() == frame_of([(1, token(0))])
    s.send_row(1, token(1))
    waiting = asyncio.create_task(s.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    s.add_credit(1)
    assert await waiting == frame_of([(1, token(1))])
    with pytest.raises(Cancelled, match="leaving"):
        await s.next()


async def test_many_rows_at_once_are_as_many_single_ones() -> None:
    one, many = session(), session()
    for s in (one, many):
        s.send_row(7, token(4, choice=1))
    for stream, choice, index in ((1, 0, 3), (2, 1, 9)):
        one.send_row(stream, token(index, choice))
    many.send_rows((1, 2), (0, 1), (3, 9), (103, 109))
    assert await one.next() == await many.next()


async def test_rows_with_many_alternatives_that_wait_long_fit_into_messages() -> None:
    """Every number as long as it may be."""
    s, most = session(num_frames=0), TokenLogprobs(MAX_TOKEN_ID, -0.1, ((MAX_TOKEN_ID, -0.1),) * MAX_TOP_LOGPROBS)
    scored = SampledToken(MAX_CHOICES - 1, MAX_TOKENS, MAX_TOKEN_ID, most, FinishReason.LENGTH)
    plain = scored._replace(logprobs=None, finish=None)
    for _ in range(1000):
        s.send_row(1 << 28, scored)
        s.send_rows([1 << 28] * 60, [plain.choice] * 60, [plain.index] * 60, [plain.token_id] * 60)
    s.add_credit(100)
    rows: list[int] = []
    while s._outgoing:
        frame = await s.next()
        assert isinstance(frame, Frame)
        response = decode_pb2.SessionResponse(step=step_frame_to_proto(frame))
        assert response.ByteSize() < CONTROL_BYTES
        rows.append(len(step_rows_from_proto(response.step)))
    assert (len(rows) > 3, sum(rows)) == (True, 61_000)


@pytest.mark.parametrize("num_rows", [1, 3])
async def test_what_waits_long_is_in_frames_that_a_router_takes(num_rows: int) -> None:
    s, zeros = session(num_frames=0), [0] * num_rows
    for index in range(MAX_ROWS // num_rows + 2):
        s.send_rows([1] * num_rows, zeros, [index] * num_rows, zeros)
    s.add_credit(2)
    first, second = await s.next(), await s.next()
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert MAX_ROWS - num_rows < len(first) <= MAX_ROWS
    assert [*dict.fromkeys(first.indices + second.indices)] == [*range(MAX_ROWS // num_rows + 2)]
