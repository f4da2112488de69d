"""Penalties against transformers and against the formula, growing with the sequence from step to step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from common.engine.adjust import Adjuster
from common.engine.plan import SampleRow
from common.types.ids import AttemptId
from common.types.sampling import Sampling

VOCABULARY = 97


def row(sampling: Sampling, tokens: list[int], num_prompt: int, name: str = "a", choice: int = 0) -> SampleRow:
    return SampleRow(0, AttemptId(name, 0), choice, len(tokens) - num_prompt, sampling, tokens, num_prompt)


def logits_of(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 3


def adjusted(logits: torch.Tensor, rows: list[SampleRow], adjuster: Adjuster | None = None) -> torch.Tensor:
    changed = logits.clone()
    (adjuster or Adjuster()).adjust(changed.numpy(), rows)
    return changed


def by_formula(logits: torch.Tensor, sampling: Sampling, tokens: list[int], num_prompt: int) -> torch.Tensor:
    """Word for word, one token at a time."""
    changed = logits.clone()
    for token in set(tokens):
        value = float(changed[token])
        value = value / sampling.repetition_penalty if value > 0 else value * sampling.repetition_penalty
        count = tokens[num_prompt:].count(token)
        value -= sampling.presence_penalty * (count > 0) + sampling.frequency_penalty * count
        changed[token] = value
    return changed


@pytest.mark.parametrize("penalty", [0.5, 1.2, 2.0])
def test_repetition_is_that_of_transformers(penalty: float) -> None:
    logits = logits_of(3)
    tokens = np.random.default_rng(1).integers(0, VOCABULARY, (3, 40))
    expected = transformers.RepetitionPenaltyLogitsProcessor(penalty)(torch.from_numpy(tokens), logits.clone())
    sampling = Sampling(repetition_penalty=penalty)
    changed = adjusted(logits, [row(sampling, tokens[i].tolist(), 25, name=str(i)) for i in range(3)])
    torch.testing.assert_close(changed, expected)


def test_bias_is_that_of_transformers() -> None:
    logits = logits_of(1)
    bias = ((3, 4.0), (50, -7.5))
    expected = transformers.SequenceBiasLogitsProcessor([[[token], value] for token, value in bias])(
        torch.zeros(1, 1, dtype=torch.int64), logits.clone()
    )
    torch.testing.assert_close(adjusted(logits, [row(Sampling(logit_bias=bias), [1], 1)]), expected)


def test_stop_tokens_are_excluded_as_in_transformers() -> None:
    logits = logits_of(1)
    referee = transformers.MinNewTokensLengthLogitsProcessor(4, 3, [5, 8], device="cpu")
    for num_output in range(5):
        tokens = [1, 2, 3, 4, *[9] * num_output]
        expected = referee(torch.tensor([tokens]), logits.clone())
        sampling = Sampling(min_tokens=3, stop_token_ids=(5, 8))
        torch.testing.assert_close(adjusted(logits, [row(sampling, tokens, 4)]), expected)


def test_penalties_follow_the_formula_in_every_step_of_a_growing_sequence() -> None:
    generator = np.random.default_rng(2)
    kinds = [
        Sampling(presence_penalty=0.8),
        Sampling(frequency_penalty=0.5),
        Sampling(repetition_penalty=1.4, presence_penalty=-0.5, frequency_penalty=1.5),
        Sampling(logit_bias=((1, 2.0),)),
        Sampling(repetition_penalty=0.7),
    ]
    adjuster = Adjuster()
    lines = [generator.integers(0, VOCABULARY, 3 + 5 * place).tolist() for place in range(len(kinds))]
    num_prompt = [len(line) for line in lines]
    for step in range(60):
        logits = logits_of(len(kinds), step)
        # a sequence that sits out some steps is counted afresh when it comes back
        present = [place for place in range(len(kinds)) if not (place == 2 and step % 7 == 3)]
        rows = [row(kinds[place], lines[place], num_prompt[place], name=str(place)) for place in present]
        changed = adjusted(logits[present], rows, adjuster)
        for index, place in enumerate(present):
            start = logits[place].clone()
            for token, value in kinds[place].logit_bias:
                start[token] += value
            expected = by_formula(start, kinds[place], lines[place], num_prompt[place])
            torch.testing.assert_close(changed[index], expected)
        for line in lines:
            line.append(int(generator.integers(0, 12)))


def test_choices_of_one_attempt_count_their_own_output() -> None:
    sampling = Sampling(frequency_penalty=1.0)
    adjuster = Adjuster()
    for length in range(1, 5):
        rows = [row(sampling, [7, *[20 + choice] * length], 1, choice=choice) for choice in range(3)]
        changed = adjusted(torch.zeros(3, VOCABULARY), rows, adjuster)
        for choice in range(3):
            assert changed[choice].nonzero()[:, 0].tolist() == [20 + choice]
            assert float(changed[choice, 20 + choice]) == -length


def test_order_is_bias_then_penalties_then_excluded_tokens() -> None:
    sampling = Sampling(
        logit_bias=((4, 10.0), (5, 50.0)),
        repetition_penalty=2.0,
        min_tokens=3,
        stop_token_ids=(5,),
        frequency_penalty=1.0,
    )
    changed = adjusted(torch.full((1, VOCABULARY), -2.0), [row(sampling, [4, 5, 4], 1)])
    assert float(changed[0, 4]) == (-2.0 + 10.0) / 2 - 1.0
    assert float(changed[0, 5]) == -torch.inf
    assert float(changed[0, 6]) == -2.0


def test_a_retried_sequence_of_fewer_tokens_is_counted_afresh() -> None:
    sampling = Sampling(frequency_penalty=1.0)
    adjuster = Adjuster()
    adjusted(torch.zeros(1, VOCABULARY), [row(sampling, [1, 2, 2, 2], 1)], adjuster)
    changed = adjusted(torch.zeros(1, VOCABULARY), [row(sampling, [1, 3], 1)], adjuster)
    assert changed[0].nonzero()[:, 0].tolist() == [3]
    again = adjusted(torch.zeros(1, VOCABULARY), [row(replace(sampling, presence_penalty=1.0), [1, 3], 1)], adjuster)
    assert float(again[0, 3]) == -2
