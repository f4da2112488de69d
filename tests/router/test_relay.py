"""Text per choice, held back where it must be, and a buffer that coalesces and is bounded."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.detokenize import detokenizer
from common.text.tokenizer import Tokenizer
from common.types.errors import Cancelled
from common.types.sampling import FinishReason, SampledToken, TokenLogprobs
from router.answer import Answer, Delta
from router.relay import MAX_DELTA_TOKENS, MAX_PENDING_TOKENS, MAX_SCORES, Relay, Scores
from tests.router.folder import model_folder

STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(model_folder(tmp_path_factory.mktemp("relay") / "tiny"))


def answer(tokenizer: Tokenizer, *stop: str, min_tokens: int = 0) -> Answer:
    return Answer(detokenizer(tokenizer), stop, min_tokens)


def tokens(
    tokenizer: Tokenizer, text: str, finish: FinishReason | None = LENGTH, choice: int = 0
) -> list[SampledToken]:
    """One per byte of the text; the last one ends it."""
    ids = tokenizer.encode(text)
    last = len(ids) - 1
    return [SampledToken(choice, place, id, finish=finish if place == last else None) for place, id in enumerate(ids)]


def told(one: Answer, given: list[SampledToken]) -> tuple[str, FinishReason | None]:
    """The text and the finish, up to the first finish."""
    text = ""
    for token in given:
        piece = one.add(token)
        text += piece.text
        if piece.finish is not None:
            return text, piece.finish
    return text, None


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("hello", (), ("hello", LENGTH)),
        ("hello", ("l",), ("he", STOP)),
        ("hello", ("lo",), ("hel", STOP)),
        ("hello", ("lox",), ("hello", LENGTH)),
        ("hello", ("xyz", "ell"), ("h", STOP)),
        ("aaab", ("aab",), ("a", STOP)),
        ("naïve 😀!", ("😀",), ("naïve ", STOP)),
        ("naïve", ("ï",), ("na", STOP)),
    ],
)
def test_text_ends_before_the_stop_string(
    tokenizer: Tokenizer, text: str, stop: tuple[str, ...], expected: object
) -> None:
    assert told(answer(tokenizer, *stop), tokens(tokenizer, text)) == expected


def test_a_character_is_never_cut_in_two(tokenizer: Tokenizer) -> None:
    one = answer(tokenizer)
    texts = [one.add(token).text for token in tokens(tokenizer, "é😀", finish=None)]
    assert texts == ["", "é", "", "", "", "😀"]


def test_the_end_gives_out_what_was_held_back(tokenizer: Tokenizer) -> None:
    half = tokens(tokenizer, "a😀", finish=None)[:3]
    one = answer(tokenizer)
    for token in half[:-1]:
        one.add(token)
    last = SampledToken(0, 2, half[-1].token_id, finish=LENGTH)
    assert one.add(last).text == "\ufffd"


def test_a_stop_token_is_no_text_but_frees_what_was_held(tokenizer: Tokenizer) -> None:
    given = [*tokens(tokenizer, "abc", finish=None), SampledToken(0, 3, 70, finish=STOP)]
    assert told(answer(tokenizer, "cd"), given) == ("abc", STOP)


def test_text_before_min_tokens_cannot_stop(tokenizer: Tokenizer) -> None:
    assert told(answer(tokenizer, "b", min_tokens=2), tokens(tokenizer, "abcb")) == ("abc", STOP)
    assert told(answer(tokenizer, "b", min_tokens=9), tokens(tokenizer, "abcb")) == ("abcb", LENGTH)


TEXTS = st.text(alphabet="abé😀 ", min_size=1, max_size=12)
STOPS = st.text(alphabet="abé😀", min_size=1, max_size=3)


@settings(max_examples=60)
@given(
    st.text(alphabet="abé😀 ", min_size=1, max_size=12),
    st.lists(st.text(alphabet="abé😀", min_size=1, max_size=3), max_size=3),
)
def test_streamed_text_is_the_whole_text_cut_at_the_first_stop(
    tokenizer: Tokenizer, text: str, stop: list[str]
) -> None:
    """Cut where a stop string is first complete; the longest that is complete there."""
    expected, finish = text, LENGTH
    for end in range(1, len(text) + 1):
        complete = [each for each in stop if text[:end].endswith(each)]
        if complete:
            expected, finish = text[: end - max(map(len, complete))], STOP
            break
    got = told(answer(tokenizer, *stop), tokens(tokenizer, text))
    assert got == (expected, finish)


def relay(tokenizer: Tokenizer, *stop: str, choices: int = 2) -> Relay:
    return Relay({choice: answer(tokenizer, *stop) for choice in range(choices)})


async def test_what_waits_comes_in_one_delta_per_choice(tokenizer: Tokenizer) -> None:
    one = relay(tokenizer)
    for first, second in zip(tokens(tokenizer, "abc", choice=0), tokens(tokenizer, "xyz", choice=1), strict=True):
        assert not one.deliver(second)
        assert not one.deliver(first)
    one.close()
    deltas = await one.next()
    assert [(delta.choice, delta.text, delta.finish) for delta in deltas if isinstance(delta, Delta)] == [
        (0, "abc", LENGTH),
        (1, "xyz", LENGTH),
    ]
    assert await one.next() == ()
    assert await one.next() == ()


async def test_a_reader_that_waits_gets_each_token_as_it_comes(tokenizer: Tokenizer) -> None:
    one = relay(tokenizer)
    got = []
    for token in tokens(tokenizer, "abc"):
        waiting = asyncio.create_task(one.next())
        await asyncio.sleep(0)
        one.deliver(token)
        one.flush()
        (delta,) = await waiting
        assert isinstance(delta, Delta)
        got.append(delta.text)
    assert got == ["a", "b", "c"]


async def test_only_a_stop_string_is_news_to_the_worker(tokenizer: Tokenizer) -> None:
    one = relay(tokenizer, "b", choices=1)
    first, second = tokens(tokenizer, "ab")[:1], tokens(tokenizer, "ab", finish=None)[1:]
    assert not one.deliver(first[0])
    assert one.deliver(second[0])
    one = relay(tokenizer, "b", choices=1)
    assert [one.deliver(token) for token in tokens(tokenizer, "ab", finish=LENGTH)] == [False, False]


async def test_long_gulps_come_in_bounded_messages(tokenizer: Tokenizer) -> None:
    one = relay(tokenizer, choices=1)
    for place in range(MAX_DELTA_TOKENS + 1):
        one.deliver(SampledToken(0, place, 64, TokenLogprobs(64, -1.0)))
    one.score((TokenLogprobs(1, -1.0),) * (MAX_SCORES + 1))
    one.close()
    sizes = []
    while outgoing := await one.next():
        sizes.append([len(each.tokens if isinstance(each, Scores) else each.token_ids) for each in outgoing])
    assert sizes == [[MAX_SCORES, MAX_DELTA_TOKENS], [1, 1]]


async def test_too_much_unread_is_noticed(tokenizer: Tokenizer) -> None:
    one = relay(tokenizer, choices=1)
    full = []
    for place in range(MAX_PENDING_TOKENS + 1):
        one.deliver(SampledToken(0, place, 64))
        full.append(one.flush())
    await one.next()
    assert (any(full[:-1]), full[-1], one.flush()) == (False, True, False)


async def test_an_error_comes_after_what_was_delivered_and_the_first_one_stays(tokenizer: Tokenizer) -> None:
    one = relay(tokenizer, choices=1)
    one.deliver(tokens(tokenizer, "a")[0])
    one.fail(Cancelled("first"))
    one.fail(Cancelled("second"))
    one.close()
    assert len(await one.next()) == 1
    with pytest.raises(Cancelled, match="first"):
        await one.next()


async def test_nothing_can_fail_after_the_end(tokenizer: Tokenizer) -> None:
    one = relay(tokenizer)
    one.close()
    one.fail(Cancelled("late"))
    assert await one.next() == ()
