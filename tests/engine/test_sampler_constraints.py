"""Constrained rows in the sampler: the mask comes before everything that could pick, and log probabilities stay raw."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from common.engine.compose import drawn_tokens, make_plan, nothing_to_choose
from common.engine.masks import Masks
from common.engine.plan import Sampled, SampleRow, StepResult
from common.engine.sampler import Sampler
from common.engine.sequence import Sequence
from common.kernels.logits import Logits
from common.types.constraint import Constraint
from common.types.errors import ConstraintFailed, InvalidRequest
from common.types.sampling import FinishReason, Sampling
from tests.constrained import END, WIDTH, compiler, row, tokenizer, tokens_of
from tests.engine.attempts import attempt

WORD = Constraint.regex("[abc]{2}d?")


def logits_of(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed)) * 3


def choose(logits: torch.Tensor, *rows: SampleRow, masks: Masks | None = None) -> list[Sampled | None]:
    sampler = Sampler(masks or Masks(compiler()))
    sampler.begin(rows)
    return list(sampler.choose(Logits.of(logits), range(len(rows)), rows))


def letters(sampled: list[Sampled | None]) -> str:
    return "".join("-" if one is None else "$" if one.ended else tokenizer().decode([one.token_id]) for one in sampled)


def test_the_best_of_what_is_allowed() -> None:
    logits = logits_of(1)
    best = max(tokens_of("abc"), key=lambda token: float(logits[0, token]))
    assert choose(logits, row(WORD)) == [Sampled(best)]
    assert int(logits.argmax()) not in tokens_of("abc")


EVERY_WAY: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 1.0},
    {"temperature": 5.0, "top_k": 3},
    {"temperature": 1.0, "top_p": 0.1},
    {"temperature": 1.0, "top_p": 0.99, "top_k": 200, "min_p": 0.3},
    {"temperature": 1.0, "logit_bias": ((7, 100.0), (END, 100.0))},
    {"temperature": 0.0, "repetition_penalty": 2.0, "presence_penalty": 5.0, "frequency_penalty": -5.0},
]


@pytest.mark.parametrize("way", EVERY_WAY, ids=str)
def test_nothing_lifts_a_mask(way: dict[str, Any]) -> None:
    for seed in range(8):
        drawn = choose(logits_of(3, seed), row(WORD, **way, seed=seed), row(WORD, "b", **way), row(WORD, "cad", **way))
        first, second, last = list(letters(drawn))
        assert first in "abc"
        assert second in "abc"
        assert last == "$"


def test_penalties_and_bias_choose_among_what_is_left() -> None:
    logits = torch.zeros(1, WIDTH)
    (a, b, c) = tokens_of("abc")
    assert letters(choose(logits, row(WORD, logit_bias=((b, 1.0),)))) == "b"
    assert letters(choose(logits, row(WORD, "a", presence_penalty=1.0, logit_bias=((b, 0.5), (c, 0.6))))) == "c"
    assert letters(choose(logits, row(WORD, "a", presence_penalty=0.0, logit_bias=((a, 0.7), (c, 0.6))))) == "a"


def test_log_probabilities_are_those_of_the_free_model() -> None:
    logits = logits_of(1)
    (sampled,) = choose(logits, row(WORD, logprobs=2))
    assert sampled is not None
    assert sampled.logprobs is not None
    raw = torch.log_softmax(logits.double(), 1)[0]
    assert math.isclose(sampled.logprobs.logprob, float(raw[sampled.token_id]), rel_tol=1e-5)
    assert [token for token, _ in sampled.logprobs.top] == raw.topk(2).indices.tolist()


def test_free_rows_beside_constrained_ones_are_what_they_are_alone() -> None:
    logits = logits_of(4)
    free = [row(None, temperature=1.0, seed=3), row(None, repetition_penalty=1.3)]
    bound = [row(WORD, temperature=1.0, seed=3, name="x"), row(WORD, "ab", temperature=1.0, seed=4, name="y")]
    together = choose(logits, bound[0], free[0], bound[1], free[1])
    alone = [
        choose(logits[place : place + 1], one)[0] for place, one in enumerate((bound[0], free[0], bound[1], free[1]))
    ]
    assert together == alone


def test_the_end_is_marked_whether_it_is_a_stop_token_or_not() -> None:
    logits = torch.zeros(2, WIDTH)
    done = choose(logits, row(WORD, "abd", stop_token_ids=(), min_tokens=9), row(None, logit_bias=((END, 9.0),)))
    assert done == [Sampled(END, None, ended=True), Sampled(END)]


def test_a_row_that_cannot_be_enforced_has_nothing_to_choose() -> None:
    logits = logits_of(3)
    sampled = choose(logits, row(WORD, "?", name="bad"), row(WORD, name="good"), row(None, name="free"))
    assert sampled[0] is None
    assert None not in sampled[1:]
    logits[1] = math.nan
    assert letters(choose(logits, row(WORD), row(WORD, name="b"), row(None)))[1] == "-"
    assert choose(logits[:1], row(WORD), masks=None) != [None]
    assert list(Sampler().choose(Logits.of(logits[:1]), [0], [row(WORD)])) == [None]


def test_a_bias_can_leave_an_answer_only_its_mask() -> None:
    """Biases are finite, so what the mask leaves can always be chosen."""
    only = row(Constraint.regex("a"), logit_bias=((tokens_of("a")[0], -100.0),))
    assert letters(choose(torch.zeros(1, WIDTH), only)) == "a"


def test_the_end_of_a_constraint_ends_the_choice_and_a_failure_says_why() -> None:
    bound = Sampling(constraint=WORD, min_tokens=9, max_tokens=99)
    of = attempt("a", range(6), sampling=bound)
    plan, _ = make_plan({Sequence(of, None, list(of.token_ids), b"", 1, 7, [3, 4], 0): 6})
    [[token]] = [drawn or [] for drawn in drawn_tokens(plan, StepResult((Sampled(END, ended=True),), 0.1), 100)]
    assert token.finish is FinishReason.STOP
    assert isinstance(nothing_to_choose(bound), ConstraintFailed)
    assert not isinstance(nothing_to_choose(Sampling()), ConstraintFailed)
    assert isinstance(nothing_to_choose(Sampling()), InvalidRequest)


def test_logits_wait_for_masks_only_in_steps_with_a_constrained_row() -> None:
    free, bound = row(None, name="free"), row(WORD)
    sampler = Sampler(Masks(compiler()))
    waits = []
    for rows in ([free], [free, bound], [bound], [free]):
        sampler.begin(rows)
        waits.append(sampler.awaits_masks)
        sampler.choose(Logits.of(logits_of(len(rows))), range(len(rows)), rows)
    assert waits == [False, True, True, False]
    without = Sampler()
    without.begin([bound])
    assert not without.awaits_masks


def test_words_of_a_mask_cover_the_logits() -> None:
    masks = Masks(compiler())
    masks.begin([row(WORD)])
    found = masks.collect()
    assert found.words.shape == (1, -(-WIDTH // 32))
    assert found.words.dtype == np.int32
