"""Plain completions, models and errors through the official client."""

import asyncio
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.served import Served
from tests.tiny import reference_greedy, reference_tokenizer

openai = pytest.importorskip("openai")
TEXT = "A relay race is four runners"
GREEDY: dict[str, Any] = {"model": "tiny", "temperature": 0, "max_tokens": 8}


@pytest.fixture
def client(fleet: Served) -> Iterator[Any]:
    with openai.OpenAI(base_url=fleet.v1, api_key="none", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def ids(fleet: Served) -> list[int]:
    tokens: list[int] = reference_tokenizer(fleet.folder)(TEXT)["input_ids"]
    return tokens


def test_an_answer_is_what_transformers_generates(client: Any, fleet: Served, ids: list[int]) -> None:
    expected = reference_tokenizer(fleet.folder).decode([*ids, *reference_greedy(fleet.folder, ids, 8)])
    for prompt in (TEXT, ids):
        asked = {**GREEDY, "prompt": prompt, "extra_body": {"ignore_eos": True}}
        assert TEXT + client.completions.create(**asked).choices[0].text == expected
        streamed = client.completions.create(**asked, stream=True)
        assert TEXT + "".join(chunk.choices[0].text for chunk in streamed) == expected


def test_several_prompts_of_both_kinds(client: Any, ids: list[int]) -> None:
    alone = client.completions.create(**GREEDY, prompt=TEXT).choices[0].text
    other = client.completions.create(**GREEDY, prompt="Nobody wins").choices[0].text
    texts = client.completions.create(**GREEDY, prompt=[TEXT, "Nobody wins"]).choices
    assert [choice.text for choice in texts] == [alone, other]
    assert [choice.text for choice in client.completions.create(**GREEDY, prompt=[ids, ids]).choices] == [alone] * 2


def test_echo_with_logprobs(client: Any) -> None:
    choice = client.completions.create(**GREEDY, prompt=TEXT, echo=True, logprobs=2).choices[0]
    assert choice.text.startswith(TEXT)
    assert "".join(choice.logprobs.tokens).startswith(TEXT)
    assert choice.logprobs.token_logprobs[0] is None
    assert all(value <= 0 for value in choice.logprobs.token_logprobs[1:])
    assert choice.logprobs.text_offset[0] == 0


def test_models(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").object == "model"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1 << 20}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"suffix": "x"}, "suffix"),
        ({"extra_body": {"temprature": 1}}, "temprature"),
        ({"extra_body": {"guided_regex": "["}}, "guided_regex"),
        ({"logit_bias": {"99999999": 1}}, "logit_bias"),
    ],
)
def test_bad_values_name_their_field(client: Any, asked: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**{"model": "tiny", "prompt": TEXT, **asked})
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id


def test_an_unknown_model_is_not_found(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="other", prompt=TEXT)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def comes_to_rest(fleet: Served) -> bool:
    """Whether soon nothing is computed any more: long before an answer of thousands of tokens would be done."""
    for _ in range(300):
        with urllib.request.urlopen(f"{fleet.url}/metrics", timeout=10) as reply:
            if re.search(r"^baton_requests_running 0(\.0)?$", reply.read().decode(), re.MULTILINE):
                return True
    return False


def test_a_client_s_time_out_frees_what_it_asked_for(client: Any, fleet: Served) -> None:
    asked = {"model": "tiny", "prompt": TEXT, "max_tokens": 3000, "extra_body": {"ignore_eos": True}}
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).completions.create(**asked)
    assert comes_to_rest(fleet)
    assert client.completions.create(**GREEDY, prompt=TEXT).choices[0].text


def test_a_stream_may_be_left_early(client: Any, fleet: Served) -> None:
    asked = {"model": "tiny", "prompt": TEXT, "max_tokens": 3000, "extra_body": {"ignore_eos": True}}
    with client.completions.create(**asked, stream=True) as stream:
        assert next(iter(stream)).choices
    assert comes_to_rest(fleet)
    assert client.completions.create(**GREEDY, prompt=TEXT).choices[0].text


async def test_many_at_once(fleet: Served) -> None:
    async with openai.AsyncOpenAI(base_url=fleet.v1, api_key="none", max_retries=0, timeout=60) as client:

        async def one(number: int) -> str:
            answer = await client.completions.create(**GREEDY, prompt=f"{TEXT} {number}")
            text: str = answer.choices[0].text
            return text

        together = await asyncio.gather(*(one(number) for number in range(12)))
        assert together == [await one(number) for number in range(12)]
