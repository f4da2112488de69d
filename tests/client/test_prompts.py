"""What a user asks, as wire messages: absent stays absent, and wrong values are named."""

from typing import Any

import pytest

from baton.client.chats import Chat, Message
from baton.client.prompts import SAMPLING, Asking, generate_request, tokenize_request
from baton.v1 import inference_pb2
from common.types.errors import InvalidRequest


def test_every_field_of_the_wire_can_be_asked_for() -> None:
    outside = set(inference_pb2.GenerateRequest.DESCRIPTOR.fields_by_name) - {"text", "tokens", "chat", "sampling"}
    assert set(Asking.__annotations__) == SAMPLING | outside


def test_what_is_left_out_is_absent() -> None:
    request = generate_request("hi", {})
    assert [field.name for field, _ in request.ListFields()] == ["text"]


def test_each_value_finds_its_place() -> None:
    asking: Asking = {
        "temperature": 0.0,
        "seed": 2**63,
        "logit_bias": {5: -1.0},
        "n": 2,
        "stop": ("a", "b"),
        "stop_token_ids": [7],
        "explain": True,
        "logprobs": 0,
    }
    request = generate_request((1, 2), asking)
    assert list(request.tokens.ids) == [1, 2]
    assert request.sampling.HasField("temperature")
    assert request.sampling.seed == 2**63
    assert dict(request.sampling.logit_bias) == {5: -1.0}
    assert (request.n, list(request.stop), list(request.stop_token_ids)) == (2, ["a", "b"], [7])
    assert request.HasField("logprobs")
    assert request.explain


def test_no_tokens_are_still_tokens() -> None:
    assert generate_request((), {}).WhichOneof("prompt") == "tokens"


@pytest.mark.parametrize(
    ("asking", "field"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"seed": 2**64}, "seed"),
        ({"stop_token_ids": [-5]}, "stop_token_ids"),
        ({"logit_bias": {-1: 0.0}}, "logit_bias"),
    ],
)
def test_wrong_values_are_named(asking: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        generate_request("hi", asking)
    assert caught.value.violations[0].field == field


def test_wrong_tokens_are_named() -> None:
    with pytest.raises(InvalidRequest):
        generate_request([-1], {})


def test_unknown_arguments_are_refused() -> None:
    wrong: Any = {"temprature": 1.0}
    with pytest.raises(TypeError, match="temprature"):
        generate_request("hi", wrong)


def test_tokenize_leaves_the_default_to_the_router() -> None:
    assert not tokenize_request("a", None, None).HasField("add_special_tokens")
    request = tokenize_request(Chat((Message("user", "a"),), add_generation_prompt=False), "m", False)
    assert request.HasField("add_special_tokens")
    assert request.chat.HasField("add_generation_prompt")
