"""The worker without a model, and the bare servers: what they send is what the real ones would."""

import json

from common.types.attempt import Attempt, Choice
from common.types.frame import Frame
from common.types.ids import AttemptId
from common.types.sampling import FinishReason, Sampling
from decode_worker.session import JoinedBatch, RouterSession
from loadtest.bench.openai_stream import said
from loadtest.micro._bare import MESSAGES, events
from loadtest.micro._feeder import FIRST_LETTER, Feeding
from loadtest.micro.frames import Singly, Stretching
from loadtest.micro.schedulers import _round


def attempt(name: str, max_tokens: int) -> Attempt:
    return Attempt(AttemptId(name, 1), (1, 2), 2, (Choice(0),), Sampling(max_tokens=max_tokens))


def feed(feeding: Feeding, *lengths: int) -> RouterSession:
    session = RouterSession(1, 64, 10.0)
    for place, length in enumerate(lengths):
        feeding.attach(session, place + 1, attempt(f"r{place}", length), None, 60.0)
    return session


async def test_a_beat_is_one_frame_with_a_token_for_each() -> None:
    feeding = Feeding()
    session = feed(feeding, 2, 9)
    assert [type(await session.next()) for _ in range(2)] == [JoinedBatch, JoinedBatch]
    feeding.beat()
    frame = await session.next()
    assert isinstance(frame, Frame)
    assert frame == Frame([1, 2], [0, 0], [0, 0], [FIRST_LETTER, FIRST_LETTER])
    feeding.beat()
    last = await session.next()
    assert isinstance(last, Frame)
    assert last.finishes == [(0, FinishReason.LENGTH)]
    assert len(feeding) == 1


async def test_the_other_way_is_a_frame_for_each_token() -> None:
    feeding = Singly()
    session = feed(feeding, 9, 9)
    feeding.beat()
    sent = [await session.next() for _ in range(4)]
    assert [len(frame) for frame in sent if isinstance(frame, Frame)] == [1, 1]


async def test_a_session_that_ends_takes_its_streams_along() -> None:
    feeding = Feeding()
    feeding.close(feed(feeding, 5, 5))
    assert len(feeding) == 0


def test_bare_messages_bring_one_token_each() -> None:
    assert [len(message.delta.token_ids) for message in MESSAGES] == [1] * 26
    parsed = [said(event.removeprefix(b"data: ").strip()) for event in events()]
    assert all(each.brings_tokens for each in parsed)
    assert json.loads(events()[0].removeprefix(b"data: "))["choices"][0]["text"] == "a"


def test_a_scheduler_round_comes_to_an_end() -> None:
    assert isinstance(_round(2), float)


async def test_a_stretch_counts_its_steps() -> None:
    steps, session = Stretching(), RouterSession(1, 64, 10.0)
    for place in (1, 2):
        steps.attach(session, place, attempt(f"r{place}", 9), None, 60.0)
    steps.beat()
    assert [type(await session.next()) for _ in range(2)] == [JoinedBatch, JoinedBatch]
    assert await session.next() == Frame([1, 2], [0, 0], [0, 0], [FIRST_LETTER, FIRST_LETTER])
    steps.beat()
    assert await session.next() == Frame([1, 2], [0, 0], [1, 1], [FIRST_LETTER, FIRST_LETTER])
