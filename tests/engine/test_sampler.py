"""The sampler: rows of every kind in one step, each treated as if it were alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.engine.plan import Sampled, SampleRow
from common.engine.sampler import Sampler
from common.kernels.logits import Logits
from common.types.ids import AttemptId
from common.types.sampling import Sampling

VOCABULARY = 211
GREEDY = Sampling(temperature=0.0)


def row(sampling: Sampling, tokens: tuple[int, ...] = (1, 2, 3), num_prompt: int = 3, name: str = "a") -> SampleRow:
    index = len(tokens) - num_prompt
    return SampleRow(0, AttemptId(name, 0), 0, index, sampling, tokens, num_prompt)


def logits_of(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 2


def choose(logits: torch.Tensor, *rows: SampleRow) -> list[Sampled | None]:
    """One row of logits for each row."""
    return list(Sampler().choose(Logits.of(logits), range(len(rows)), rows))


def tokens_of(sampled: list[Sampled | None]) -> list[int | None]:
    return [one.token_id if one else None for one in sampled]


def test_greedy_rows_take_the_best_token_and_the_lowest_id_among_equals() -> None:
    logits = logits_of(4)
    logits[2, 17] = logits[2, 90] = 50
    assert tokens_of(choose(logits, *[row(GREEDY)] * 4)) == logits.argmax(1).tolist()
    assert tokens_of(choose(logits, *[row(GREEDY)] * 4))[2] == 17


def test_choices_of_one_work_share_its_logits() -> None:
    logits = logits_of(2)
    rows = [row(Sampling(seed=5))._replace(choice=choice) for choice in range(3)] + [row(Sampling(seed=9))]
    sampled = Sampler().choose(Logits.of(logits), (0, 0, 0, 1), rows)
    alone = [choose(logits[source : source + 1], one)[0] for source, one in zip((0, 0, 0, 1), rows, strict=True)]
    assert list(sampled) == alone
    many = Sampler().choose(Logits.of(logits[:1]), (0,) * 40, [rows[0]._replace(choice=c) for c in range(40)])
    assert len({one.token_id for one in many if one}) > 5


def test_seed_choice_and_index_each_enter_a_draw() -> None:
    logits, first = torch.zeros(1, VOCABULARY), row(Sampling(seed=5))
    others = [first._replace(choice=1), first._replace(index=1), first._replace(sampling=Sampling(seed=6))]
    drawn = Sampler().choose(Logits.of(logits), (0,) * 4, [first, *others])
    assert len(set(tokens_of(list(drawn)))) == 4


def test_logits_are_left_untouched() -> None:
    logits = logits_of(3)
    before = logits.clone()
    choose(logits, row(GREEDY), row(Sampling(logit_bias=((3, 9.0),), logprobs=2)), row(Sampling(repetition_penalty=2)))
    assert torch.equal(logits, before)


def test_logprobs_are_those_of_untouched_logits() -> None:
    logits = logits_of(4)
    expected = torch.log_softmax(logits.double(), 1)
    odd = Sampling(temperature=0.3, top_k=4, logit_bias=((8, 6.0),), frequency_penalty=1.0, seed=3)
    sampled = choose(
        logits,
        row(replace(odd, logprobs=3)),
        row(replace(odd, logprobs=0)),
        row(GREEDY),
        row(replace(GREEDY, logprobs=20)),
    )
    assert sampled[2] is not None
    assert sampled[2].logprobs is None
    for index, num_top in ((0, 3), (1, 0), (3, 20)):
        one = sampled[index]
        assert one is not None
        assert one.logprobs is not None
        assert one.logprobs.token_id == one.token_id
        assert one.logprobs.logprob == pytest.approx(float(expected[index, one.token_id]), abs=1e-5)
        values, ids = expected[index].topk(num_top)
        assert [token for token, _ in one.logprobs.top] == ids.tolist()
        assert [score for _, score in one.logprobs.top] == pytest.approx(values.tolist(), abs=1e-5)


def test_asking_for_logprobs_does_not_change_the_token() -> None:
    logits = logits_of(1)
    plain = Sampling(seed=11, top_p=0.9)
    assert tokens_of(choose(logits, row(plain))) == tokens_of(choose(logits, row(replace(plain, logprobs=5))))


def test_alternatives_of_equal_probability_come_in_order_of_id() -> None:
    sampled = choose(torch.zeros(1, 6), row(replace(GREEDY, logprobs=6)))
    assert sampled[0] is not None
    assert sampled[0].logprobs is not None
    assert [token for token, _ in sampled[0].logprobs.top] == list(range(6))


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_poisoned_row_yields_nothing_and_spares_the_others(poison: float) -> None:
    logits = logits_of(5)
    logits[1, 7] = poison
    logits[3] = -math.inf
    kinds = [
        GREEDY,
        Sampling(seed=1),
        Sampling(seed=2, top_k=5),
        Sampling(top_p=0.5, logprobs=3),
        replace(GREEDY, logprobs=1),
    ]
    for sampling in kinds:
        sampled = choose(logits, *[row(sampling)] * 5)
        assert [one is None for one in sampled] == [False, True, False, True, False]
        assert [sampled[place] for place in (0, 2, 4)] == choose(logits[[0, 2, 4]], *[row(sampling)] * 3)


def test_a_row_whose_every_token_is_excluded_yields_nothing() -> None:
    sampling = Sampling(min_tokens=5, stop_token_ids=tuple(range(VOCABULARY)))
    assert choose(logits_of(2), row(sampling), row(GREEDY))[0] is None
    assert choose(logits_of(1), row(replace(sampling, temperature=0.0))) == [None]


def test_stop_tokens_are_excluded_until_min_tokens() -> None:
    logits = logits_of(1)
    best = int(logits.argmax())
    early = Sampling(temperature=0.0, min_tokens=2, stop_token_ids=(best, VOCABULARY + 5, -1))
    second = int(logits[0].topk(2).indices[1])
    for num_output, expected in ((0, second), (1, second), (2, best)):
        tokens = (1, 2, 3, *[9] * num_output)
        assert tokens_of(choose(logits, row(early, tokens))) == [expected]


def test_bias_lifts_and_bans_and_ignores_ids_beyond_the_vocabulary() -> None:
    logits = logits_of(2)
    lifted = Sampling(temperature=0.0, logit_bias=((30, 60.0), (30, 40.0), (VOCABULARY, 100.0), (-1, 100.0)))
    banned = Sampling(temperature=0.0, logit_bias=tuple((token, -100.0) for token in range(VOCABULARY) if token != 77))
    assert tokens_of(choose(logits, row(lifted), row(banned))) == [30, 77]


KINDS = [
    GREEDY,
    replace(GREEDY, logprobs=2),
    replace(GREEDY, frequency_penalty=0.7),
    Sampling(seed=1),
    Sampling(seed=2, temperature=0.7, top_k=20),
    Sampling(seed=3, top_p=0.8, logprobs=0),
    Sampling(seed=4, min_p=0.05, presence_penalty=1.0),
    Sampling(seed=5, repetition_penalty=1.3, logit_bias=((4, 3.0),)),
    Sampling(seed=-6, min_tokens=9, stop_token_ids=(1, 2, 3)),
]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(range(len(KINDS))), min_size=1, max_size=12), st.integers(0, 1000))
def test_a_row_is_chosen_alike_alone_and_in_any_company(kinds: list[int], seed: int) -> None:
    logits = logits_of(len(kinds), seed)
    generator = np.random.default_rng(seed)
    rows = [
        row(KINDS[kind], tuple(generator.integers(0, VOCABULARY, 6 + place).tolist()), 5, name=str(place))
        for place, kind in enumerate(kinds)
    ]
    together = choose(logits, *rows)
    for place, one in enumerate(rows):
        alone = choose(logits[place : place + 1], one)[0]
        assert tokens_of([alone]) == tokens_of([together[place]])
