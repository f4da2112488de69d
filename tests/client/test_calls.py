"""Calls with one answer, and the operator's."""

import pytest

from baton import Client, Fleet
from baton.client import Chat, Message
from common.types.errors import NotFound, Overloaded
from tests.client.router import HELLO, ScriptedFleet, ScriptedInference, serving


async def test_tokens_there_and_back() -> None:
    inference = ScriptedInference()
    async with serving(inference) as target, Client(target) as client:
        tokens = await client.tokenize("abc", model="m")
        assert tokens.token_ids == (97, 98, 99)
        assert tokens.max_model_tokens == 256
        assert await client.detokenize(tokens.token_ids) == "abc"
        assert (await client.tokenize(Chat((Message("user", "a"),)))).token_ids == (97,)
    assert inference.requests[0].model == "m"
    assert not inference.requests[0].HasField("add_special_tokens")


async def test_models_are_listed() -> None:
    async with serving(ScriptedInference()) as target, Client(target) as client:
        (model,) = await client.list_models()
    assert (model.id, model.ready, model.architecture) == ("m", True, "Llama")


async def test_calls_that_change_nothing_are_tried_again() -> None:
    inference = ScriptedInference()
    inference.scripts = [[Overloaded("full", 1)], []]
    async with serving(inference) as target, Client(target) as client:
        await client.tokenize("abc")
    assert len(inference.requests) == 2


async def test_members_are_listed() -> None:
    async with serving(fleet=ScriptedFleet()) as target, Fleet(target) as fleet:
        (member,) = await fleet.members()
    assert member.hello == HELLO
    assert member.load.num_running == 2
    assert (member.num_attempts, member.silence_ms, member.draining) == (2, 12, False)


async def test_members_are_steered() -> None:
    scripted = ScriptedFleet()
    async with serving(fleet=scripted) as target, Fleet(target) as fleet:
        await fleet.drain("decode-0", leave=True)
        await fleet.resume("decode-0")
        with pytest.raises(NotFound) as caught:
            await fleet.drain("decode-9")
    assert scripted.asked == [("drain", "decode-0", True), ("resume", "decode-0", False)]
    assert caught.value.known == ("decode-0",)


def test_a_client_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        Client("127.0.0.1:1")
