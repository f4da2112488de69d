"""A client that takes tokens as they come: what it is handed, and what is left to the reader."""

import asyncio

import pytest

from common.text.tokenizer import Tokenizer
from common.types.sampling import SampledToken
from router.answer import Delta
from router.relay import MAX_DELTA_TOKENS, Outgoing, Relay
from tests.router.folder import model_folder
from tests.router.test_relay import answer, tokens


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(model_folder(tmp_path_factory.mktemp("outlet") / "tiny"))


class Outlet:
    """A client that takes at once what it is ready for."""

    def __init__(self) -> None:
        self.ready = True
        self.pushed: list[tuple[Outgoing, ...]] = []

    def push(self, messages: tuple[Outgoing, ...]) -> None:
        self.pushed.append(messages)

    @property
    def texts(self) -> list[str]:
        return ["".join(each.text for each in messages if isinstance(each, Delta)) for messages in self.pushed]


async def outlet_and_reader(tokenizer: Tokenizer) -> tuple[Relay, Outlet, "asyncio.Task[tuple[Outgoing, ...]]"]:
    outlet = Outlet()
    one = Relay({choice: answer(tokenizer) for choice in range(2)}, outlet)
    reader = asyncio.create_task(one.next())
    await asyncio.sleep(0)
    return one, outlet, reader


async def test_an_outlet_takes_each_step_and_the_reader_sleeps(tokenizer: Tokenizer) -> None:
    one, outlet, reader = await outlet_and_reader(tokenizer)
    for token in tokens(tokenizer, "abc", finish=None):
        one.deliver(token)
        one.flush()
    one.flush()
    assert (outlet.texts, reader.done()) == (["a", "b", "c"], False)
    one.close()
    assert await reader == ()


async def test_choices_of_one_step_go_together(tokenizer: Tokenizer) -> None:
    one, outlet, reader = await outlet_and_reader(tokenizer)
    for choice in (1, 0):
        one.deliver(tokens(tokenizer, "ab", choice=choice, finish=None)[0])
    one.flush()
    (messages,) = outlet.pushed
    assert [each.choice for each in messages if isinstance(each, Delta)] == [0, 1]
    reader.cancel()


async def test_what_an_outlet_cannot_take_is_the_readers(tokenizer: Tokenizer) -> None:
    """And what comes before the reader is back goes the same way, so that all stays in order."""
    one, outlet, reader = await outlet_and_reader(tokenizer)
    first, second, third = tokens(tokenizer, "abc", finish=None)
    outlet.ready = False
    one.deliver(first)
    one.flush()
    outlet.ready = True
    one.deliver(second)
    one.flush()
    assert outlet.pushed == []
    (delta,) = await reader
    assert isinstance(delta, Delta)
    assert delta.text == "ab"
    one.deliver(third)
    one.flush()
    assert outlet.pushed == [], "nobody reads: what was read last may still be on its way"
    assert len(await one.next()) == 1


async def test_a_reader_that_was_cancelled_is_sent_nothing(tokenizer: Tokenizer) -> None:
    one, outlet, reader = await outlet_and_reader(tokenizer)
    reader.cancel()
    await asyncio.wait([reader])
    one.deliver(tokens(tokenizer, "ab", finish=None)[0])
    one.flush()
    assert outlet.pushed == []


async def test_more_than_a_message_holds_goes_in_two(tokenizer: Tokenizer) -> None:
    one, outlet, reader = await outlet_and_reader(tokenizer)
    for place in range(MAX_DELTA_TOKENS + 1):
        one.deliver(SampledToken(0, place, 64))
    one.flush()
    rest = await reader
    sizes = [[len(each.token_ids) for each in m if isinstance(each, Delta)] for m in (*outlet.pushed, rest)]
    assert sizes == [[MAX_DELTA_TOKENS], [1]]
