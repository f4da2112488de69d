"""Generations: typed events, retries only before anything was accepted, cancellation by closing."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from baton import Client
from baton.client import Accepted, Chat, Delta, Done, Message, ServerFailed
from common.types.errors import Cancelled, DeadlinePassed, InvalidRequest, Overloaded, Unavailable, invalid
from common.types.sampling import FinishReason
from tests.client.router import ScriptedFleet, ScriptedInference, accepted, delta, done, serving


async def never(context: Any) -> None:
    await asyncio.Event().wait()


async def cancelled_by_server(context: Any) -> None:
    raise Cancelled("the reader was too slow")


async def test_events_arrive_typed_and_in_order() -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), delta("He"), delta("llo", finish=FinishReason.STOP), done()]]
    async with serving(inference) as target, Client(target) as client:
        events = [event async for event in client.generate("hi", max_tokens=4, temperature=0)]
    assert events[0] == Accepted("r-1", "m", 3)
    assert events[1:3] == [Delta(0, "He", (2,)), Delta(0, "llo", (3,), finish=FinishReason.STOP)]
    assert isinstance(events[3], Done)
    assert events[3].usage.num_cached_tokens == 1
    assert events[3].explanations[0].chosen == "prefill-0"
    assert inference.requests[0].text == "hi"
    assert inference.requests[0].sampling.HasField("temperature")


async def test_complete_joins_the_deltas_of_each_answer() -> None:
    inference = ScriptedInference()
    deltas = [
        delta("a"),
        delta("x", choice=1),
        delta("b", finish=FinishReason.LENGTH),
        delta("y", choice=1, finish=FinishReason.STOP),
    ]
    inference.scripts = [[accepted(), *deltas, done(4)]]
    async with serving(inference) as target, Client(target) as client:
        completion = await client.complete([1, 2, 3], n=2)
    assert [answer.text for answer in completion.answers] == ["ab", "xy"]
    assert completion.text == "ab"
    assert [answer.finish for answer in completion.answers] == [FinishReason.LENGTH, FinishReason.STOP]
    assert completion.done.usage.num_output_tokens == 4


async def test_chat_takes_messages_and_mappings() -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), delta("yes", finish=FinishReason.STOP), done()]]
    async with serving(inference) as target, Client(target) as client:
        completion = await client.chat([Message("system", "be brief"), {"role": "user", "content": "well?"}])
    assert completion.text == "yes"
    assert [(turn.role, turn.content) for turn in inference.requests[0].chat.messages] == [
        ("system", "be brief"),
        ("user", "well?"),
    ]


async def test_a_stream_without_an_end_is_no_completion() -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), delta("cut")]]
    async with serving(inference) as target, Client(target) as client:
        with pytest.raises(Unavailable, match="before its last event"):
            await client.complete("hi")


async def test_refused_is_tried_again_until_accepted() -> None:
    inference = ScriptedInference()
    inference.scripts = [[Overloaded("full", 1)], [Unavailable("no decode member", "route", 1)], [accepted(), done()]]
    async with serving(inference) as target, Client(target) as client:
        completion = await client.complete("hi")
    assert completion.accepted.request_id == "r-1"
    assert len(inference.requests) == 3


async def test_tries_are_counted() -> None:
    inference = ScriptedInference()
    inference.scripts = [[Overloaded("full", 1)], [Overloaded("full", 1)], [accepted(), done()]]
    async with serving(inference) as target, Client(target, max_tries=2) as client:
        with pytest.raises(Overloaded, match="full"):
            await client.complete("hi")
    assert len(inference.requests) == 2


async def test_a_wait_longer_than_the_deadline_is_not_begun() -> None:
    inference = ScriptedInference()
    inference.scripts = [[Overloaded("full", 3_600_000)], [accepted(), done()]]
    async with serving(inference) as target, Client(target) as client:
        with pytest.raises(Overloaded):
            await client.complete("hi", deadline_s=60)
    assert len(inference.requests) == 1


async def test_nothing_is_tried_again_once_accepted() -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), Unavailable("every attempt was lost", "decode", 1)], [accepted(), done()]]
    async with serving(inference) as target, Client(target) as client:
        with pytest.raises(Unavailable, match="every attempt was lost") as caught:
            await client.complete("hi")
    assert caught.value.leg == "decode"
    assert len(inference.requests) == 1


async def test_a_wrong_request_is_not_tried_again() -> None:
    inference = ScriptedInference()
    inference.scripts = [[invalid("top_p", "must be at most 1")]]
    async with serving(inference) as target, Client(target) as client:
        with pytest.raises(InvalidRequest) as caught:
            await client.complete("hi", top_p=2)
    assert caught.value.violations[0].field == "top_p"


async def test_a_bug_of_the_server_has_an_id_and_no_text(caplog: pytest.LogCaptureFixture) -> None:
    inference = ScriptedInference()
    inference.scripts = [[ValueError("a secret path")]]
    async with serving(inference) as target, Client(target) as client:
        with pytest.raises(ServerFailed, match="error id") as caught:
            await client.complete("hi")
    assert "secret" not in str(caught.value)


async def test_the_deadline_passes() -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), never]]
    async with serving(inference) as target, Client(target) as client:
        with pytest.raises(DeadlinePassed):
            await client.complete("hi", deadline_s=2.0)
        await inference.ended.wait()


async def test_closing_the_iterator_cancels_on_the_server() -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), delta("x"), never]]
    async with serving(inference) as target, Client(target) as client:
        async with aclosing(client.generate("hi")) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        await inference.ended.wait()


async def test_cancelling_the_task_cancels_on_the_server() -> None:
    inference = ScriptedInference()
    begun = asyncio.Event()

    async def wait(context: Any) -> None:
        begun.set()
        await never(context)

    inference.scripts = [[accepted(), wait]]
    async with serving(inference) as target, Client(target) as client:
        task = asyncio.create_task(client.complete("hi"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await inference.ended.wait()


async def test_cancelled_by_the_server_is_an_answer() -> None:
    inference = ScriptedInference()
    inference.scripts = [[accepted(), cancelled_by_server]]
    async with serving(inference) as target, Client(target) as client:
        with pytest.raises(Cancelled, match="too slow"):
            await client.complete("hi")


async def test_nobody_listens() -> None:
    async with serving(ScriptedInference()) as target:
        pass
    async with Client(target, max_tries=1) as client:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await client.complete(Chat((Message("user", "hi"),)))


async def test_the_wrong_one_of_a_routers_addresses_is_told() -> None:
    async with serving(fleet=ScriptedFleet()) as target, Client(target) as client:
        with pytest.raises(ServerFailed, match="does not know this call: clients use a router's --grpc address"):
            await client.complete("hello")
