"""Every limit on a request, every default, and one violation for every field that is wrong."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types.config import RouterConfig
from common.types.errors import InvalidRequest
from router.ask import Ask
from router.validate import MAX_LOGIT_BIAS, MAX_STOP_TOKEN_IDS, Limits, Request, validate

PROMPT = (1, 2, 3)
LIMITS = Limits.of(RouterConfig(model="x"), vocab_size=100, max_model_tokens=64, end_token_ids=(98, 99))


def accepted(prompt: tuple[int, ...] = PROMPT, limits: Limits = LIMITS, **asked: Any) -> Request:
    return validate(Ask(prompt=prompt, **asked), prompt, limits, id="r-1", seed=42)


def wrong_fields(prompt: tuple[int, ...] = PROMPT, limits: Limits = LIMITS, **asked: Any) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        accepted(prompt, limits, **asked)
    return [violation.field for violation in caught.value.violations]


def test_everything_has_a_default() -> None:
    request = accepted()
    sampling = request.sampling
    assert (request.id, request.token_ids, request.num_choices, request.stop) == ("r-1", PROMPT, 1, ())
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p) == (1.0, 0, 1.0, 0.0)
    assert (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty) == (1.0, 0.0, 0.0)
    assert (sampling.seed, sampling.max_tokens, sampling.min_tokens) == (42, 61, 0)
    assert (sampling.stop_token_ids, sampling.logprobs, sampling.prompt_logprobs) == ((98, 99), None, None)


def test_what_is_asked_is_kept() -> None:
    request = accepted(
        temperature=0.0,
        top_k=5,
        top_p=0.5,
        min_p=0.1,
        repetition_penalty=1.5,
        presence_penalty=-1.0,
        frequency_penalty=1.0,
        logit_bias={7: 1.0, 3: -2.0},
        seed=0,
        num_choices=2,
        max_tokens=10,
        min_tokens=10,
        stop=("a", "b"),
        stop_token_ids=(5, 99),
        logprobs=0,
        prompt_logprobs=20,
        explain=True,
    )
    sampling = request.sampling
    assert (sampling.seed, sampling.temperature, sampling.logit_bias) == (0, 0.0, ((3, -2.0), (7, 1.0)))
    assert (sampling.max_tokens, sampling.min_tokens, sampling.logprobs, sampling.prompt_logprobs) == (10, 10, 0, 20)
    assert sampling.stop_token_ids == (5, 99, 98)
    assert (request.num_choices, request.stop, request.explain) == (2, ("a", "b"), True)


def test_the_end_token_can_be_ignored_but_not_the_callers_own() -> None:
    assert accepted(ignore_eos=True).sampling.stop_token_ids == ()
    assert accepted(ignore_eos=True, stop_token_ids=(99,)).sampling.stop_token_ids == (99,)


def test_the_default_length_is_what_context_and_server_leave() -> None:
    assert accepted().sampling.max_tokens == 61
    assert accepted(limits=replace(LIMITS, max_output_tokens=16)).sampling.max_tokens == 16
    assert accepted(prompt=(1,) * 63).sampling.max_tokens == 1


NOT_A_NUMBER, INFINITE, HUGE = math.nan, math.inf, 10**30


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("temperature", [-0.1, NOT_A_NUMBER, INFINITE, -INFINITE, 101.0]),
        ("top_k", [-1, HUGE]),
        ("top_p", [0.0, -1.0, 1.01, NOT_A_NUMBER, INFINITE]),
        ("min_p", [-0.1, 1.1, NOT_A_NUMBER]),
        ("repetition_penalty", [0.0, -1.0, 101.0, NOT_A_NUMBER, INFINITE]),
        ("presence_penalty", [-101.0, 101.0, NOT_A_NUMBER]),
        ("frequency_penalty", [-101.0, 101.0, NOT_A_NUMBER]),
        ("seed", [-1, 1 << 64]),
    ],
)
def test_sampling_parameters_out_of_bounds(field: str, bad: list[float]) -> None:
    for value in bad:
        asked: dict[str, Any] = {field: value}
        assert wrong_fields(**asked) == [f"sampling.{field}"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"num_choices": 0}, "n"),
        ({"num_choices": -3}, "n"),
        ({"num_choices": 9}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 62}, "max_tokens"),
        ({"max_tokens": HUGE}, "max_tokens"),
        ({"min_tokens": 5, "max_tokens": 4}, "min_tokens"),
        ({"min_tokens": -1}, "min_tokens"),
        ({"min_tokens": 62}, "min_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": -1}, "logprobs"),
        ({"prompt_logprobs": 21}, "prompt_logprobs"),
        ({"stop": ("x",) * 17}, "stop"),
        ({"stop": ("",)}, "stop"),
        ({"stop": ("x" * 257,)}, "stop"),
        ({"stop_token_ids": (1,) * (MAX_STOP_TOKEN_IDS + 1)}, "stop_token_ids"),
        ({"stop_token_ids": (100,)}, "stop_token_ids"),
        ({"stop_token_ids": (-1,)}, "stop_token_ids"),
        ({"logit_bias": {100: 1.0}}, "sampling.logit_bias"),
        ({"logit_bias": {1: NOT_A_NUMBER}}, "sampling.logit_bias"),
        ({"logit_bias": {1: INFINITE}}, "sampling.logit_bias"),
        ({"logit_bias": dict.fromkeys(range(MAX_LOGIT_BIAS + 1), 0.0)}, "sampling.logit_bias"),
        ({"prompt": ()}, "prompt"),
        ({"prompt": (1,) * 64}, "prompt"),
        ({"prompt": (1, 100)}, "tokens"),
        ({"prompt": (1, -1)}, "tokens"),
    ],
)
def test_each_wrong_field_is_named(asked: dict[str, Any], field: str) -> None:
    assert wrong_fields(**asked) == [field]


def test_all_wrong_fields_are_named_at_once() -> None:
    wrong = wrong_fields(temperature=-1.0, num_choices=0, stop=("",), logprobs=99, max_tokens=0)
    assert sorted(wrong) == ["logprobs", "max_tokens", "n", "sampling.temperature", "stop"]


def test_the_operators_limits_count() -> None:
    tight = replace(LIMITS, max_prompt_tokens=2, max_output_tokens=5, max_choices=1, max_logprobs=0)
    assert wrong_fields(limits=tight) == ["prompt"]
    assert wrong_fields(prompt=(1,), limits=tight, max_tokens=6) == ["max_tokens"]
    assert wrong_fields(prompt=(1,), limits=tight, num_choices=2) == ["n"]
    assert wrong_fields(prompt=(1,), limits=tight, logprobs=1) == ["logprobs"]


def test_descriptions_give_the_numbers() -> None:
    with pytest.raises(InvalidRequest, match="the prompt's 3 tokens leave 61 of 64, not 62"):
        accepted(max_tokens=62)
    with pytest.raises(InvalidRequest, match="token id 100 is outside the vocabulary of 100"):
        accepted(stop_token_ids=(1, 100))


@given(
    st.integers(0, 80),
    st.one_of(st.none(), st.integers(-2, 80)),
    st.one_of(st.none(), st.integers(-2, 80)),
    st.integers(-2, 12),
)
def test_what_is_accepted_always_fits(prompt: int, max_tokens: int | None, min_tokens: int | None, n: int) -> None:
    try:
        request = accepted((1,) * prompt, max_tokens=max_tokens, min_tokens=min_tokens, num_choices=n)
    except InvalidRequest:
        return
    assert 1 <= len(request.token_ids) < 64
    assert len(request.token_ids) + request.sampling.max_tokens <= 64
    assert 0 <= request.sampling.min_tokens <= request.sampling.max_tokens
    assert 1 <= request.num_choices <= 8
