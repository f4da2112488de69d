"""Log probabilities against transformers: of what was chosen, of the best alternatives, and of the prompt."""

import pytest
import torch

from common.types.sampling import Sampling, TokenLogprobs
from tests.engine.attempts import attempt
from tests.engine.legs import Pair, decoder
from tests.models.loop import random_prompts
from tests.tiny import reference_logits, tiny_model

TOLERANCE = 1e-4


def reference(name: str, tokens: list[int]) -> torch.Tensor:
    """Row i: log probabilities of the token after token i."""
    return torch.log_softmax(reference_logits(tiny_model(name), tokens).double(), dim=1)


def assert_scored(scored: TokenLogprobs | None, token: int, expected: torch.Tensor, num_top: int) -> None:
    assert scored is not None
    assert scored.token_id == token
    assert scored.logprob == pytest.approx(float(expected[token]), abs=TOLERANCE)
    assert [score for _, score in scored.top] == pytest.approx(expected.topk(num_top).values.tolist(), abs=TOLERANCE)
    for candidate, score in scored.top:
        assert score == pytest.approx(float(expected[candidate]), abs=TOLERANCE)


@pytest.mark.parametrize("name", ["llama-yarn", "mistral-window", "qwen2", "qwen3-8to1"])
def test_answers(name: str) -> None:
    kinds = [
        Sampling(temperature=0.0, logprobs=0, max_tokens=6),
        Sampling(seed=3, temperature=0.8, top_k=50, logprobs=4, max_tokens=9),
        Sampling(seed=4, repetition_penalty=1.5, logit_bias=((9, 5.0),), logprobs=20, max_tokens=6),
    ]
    prompts = random_prompts(decoder(name).config.vocab_size, (14, 31, 8), seed=1)
    asked = [attempt(f"r{place}", prompt, sampling=kinds[place]) for place, prompt in enumerate(prompts)]
    for local in ([], [one.id for one in asked]):
        for place, answer in enumerate(Pair(name, block_tokens=8).serve(*asked, local=local)):
            expected = reference(name, [*prompts[place], *answer.tokens()])
            num_top = kinds[place].logprobs
            assert num_top is not None
            for index, token in enumerate(answer.choices[0]):
                row = expected[len(prompts[place]) + index - 1]
                assert_scored(token.logprobs, token.token_id, row, num_top)


@pytest.mark.parametrize("token_budget", [5, 16, 512])
@pytest.mark.parametrize("local", [False, True])
def test_prompts(token_budget: int, local: bool) -> None:
    name = "llama-3to1"
    prompts = random_prompts(decoder(name).config.vocab_size, (45, 1, 20), seed=2)
    sampling = Sampling(temperature=0.0, prompt_logprobs=3, max_tokens=3)
    pair = Pair(name, block_tokens=4, token_budget=token_budget)
    for round in range(2):  # the second round finds the prompts cached, and scores them all the same
        asked = [attempt(f"{round}.{place}", prompt, sampling=sampling) for place, prompt in enumerate(prompts)]
        for place, answer in enumerate(pair.serve(*asked, local=[one.id for one in asked] if local else [])):
            expected = reference(name, prompts[place])
            assert len(answer.prompt_scores) == len(prompts[place]) - 1
            for position, scored in enumerate(answer.prompt_scores, 1):
                assert_scored(scored, prompts[place][position], expected[position - 1], 3)


def test_a_prompt_is_scored_in_slices_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    [prompt] = random_prompts(decoder("llama").config.vocab_size, (30,), seed=5)
    sampling = Sampling(temperature=0.0, prompt_logprobs=0, max_tokens=1)
    [whole] = Pair("llama").serve(attempt("a", prompt, sampling=sampling))
    monkeypatch.setattr("common.engine.score._ENTRIES", 7 * 509)
    [sliced] = Pair("llama").serve(attempt("a", prompt, sampling=sampling))
    assert [one.token_id for one in sliced.prompt_scores] == prompt[1:]
    for one, other in zip(sliced.prompt_scores, whole.prompt_scores, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-5)
        assert one.top == other.top == ()


def test_pre_emption_reports_each_prompt_token_once() -> None:
    name = "llama-3to1"
    prompts = random_prompts(decoder(name).config.vocab_size, (24, 22, 26), seed=6)
    sampling = Sampling(temperature=0.0, prompt_logprobs=1, max_tokens=12)
    asked = [attempt(f"r{place}", prompt, sampling=sampling) for place, prompt in enumerate(prompts)]
    tiny = Pair(name, block_tokens=4, token_budget=8, decode_blocks=12)
    for place, answer in enumerate(tiny.serve(*asked, local=[one.id for one in asked])):
        assert [one.token_id for one in answer.prompt_scores] == prompts[place][1:]
