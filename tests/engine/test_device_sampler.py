"""The device's sampler against the host's: the same tokens, log probabilities within 1e-4, for rows of every kind."""

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.engine.device_sampler import DeviceSampler
from common.engine.masks import Masks
from common.engine.plan import Sampled, SampleRow
from common.engine.sampler import Sampler
from common.kernels.logits import Logits
from common.types.constraint import Constraint
from common.types.sampling import Sampling
from tests.constrained import END, WIDTH, compiler
from tests.constrained import row as constrained_row
from tests.engine.fake_stage import FakeStage
from tests.engine.test_sampler import GREEDY, VOCABULARY, logits_of, row

KINDS = [
    GREEDY,
    replace(GREEDY, logprobs=2),
    replace(GREEDY, logprobs=20, frequency_penalty=0.7),
    replace(GREEDY, logit_bias=((7, 4.0), (9, -100.0), (VOCABULARY, 100.0), (-1, 9.0))),
    Sampling(seed=1),
    Sampling(seed=2, temperature=0.7, top_k=20, logprobs=5),
    Sampling(seed=3, top_p=0.8, logprobs=0),
    Sampling(seed=4, min_p=0.05, presence_penalty=1.0, frequency_penalty=-0.5),
    Sampling(seed=5, repetition_penalty=1.3, logit_bias=((4, 3.0),)),
    Sampling(seed=-6, min_tokens=9, stop_token_ids=(1, 2, 3, VOCABULARY + 4)),
    Sampling(seed=8, repetition_penalty=0.6, presence_penalty=-1.0, min_tokens=2, stop_token_ids=(5,), logprobs=7),
]


def close(found: Sequence[Sampled | None], expected: Sequence[Sampled | None]) -> None:
    """The same tokens and ends, the same alternatives, log probabilities that differ by rounding."""
    assert [one and (one.token_id, one.ended) for one in found] == [
        one and (one.token_id, one.ended) for one in expected
    ]
    for one, other in zip(found, expected, strict=True):
        if one is None or other is None or one.logprobs is None or other.logprobs is None:
            assert (one and one.logprobs) == (other and other.logprobs)
            continue
        assert one.logprobs.token_id == other.logprobs.token_id
        assert [token for token, _ in one.logprobs.top] == [token for token, _ in other.logprobs.top]
        values = (one.logprobs.logprob, *(value for _, value in one.logprobs.top))
        assert values == pytest.approx((other.logprobs.logprob, *(value for _, value in other.logprobs.top)), abs=1e-4)


def check(logits: torch.Tensor, rows: Sequence[SampleRow], places: Sequence[int] | None = None) -> None:
    before = logits.clone()
    found = DeviceSampler(FakeStage()).choose(logits, rows, places).read()
    close(found, Sampler().choose(Logits.of(logits), places or range(len(rows)), rows))
    assert torch.equal(logits.nan_to_num(), before.nan_to_num())


def some_row(kind: int, place: int, seed: int) -> SampleRow:
    tokens = np.random.default_rng(seed + place).integers(0, VOCABULARY, 6 + place).tolist()
    return row(KINDS[kind], tuple(tokens), 5, name=str(place))


@settings(max_examples=60)
@given(st.lists(st.sampled_from(range(len(KINDS))), min_size=1, max_size=12), st.integers(0, 1000))
def test_any_company_is_chosen_as_on_the_host(kinds: list[int], seed: int) -> None:
    check(logits_of(len(kinds), seed), [some_row(kind, place, seed) for place, kind in enumerate(kinds)])


def test_choices_of_one_work_share_its_logits() -> None:
    rows = [some_row(kind, place, 3)._replace(choice=place) for place, kind in enumerate((4, 8, 4, 6, 2, 4))]
    check(logits_of(3, 3), rows, (0, 0, 0, 1, 2, 2))


@settings(max_examples=60)
@given(st.lists(st.sampled_from(range(len(KINDS))), min_size=1, max_size=8), st.integers(0, 1000))
def test_a_token_ahead_is_the_one_the_host_would_choose_next(kinds: list[int], seed: int) -> None:
    """The device knows a token that the host does not: counts and least numbers of tokens go by it all the same."""
    logits, random = logits_of(len(kinds), seed), Random(seed)
    rows = [some_row(kind, place, seed) for place, kind in enumerate(kinds)]
    last = [random.choice((*row.tokens[-2:], random.randrange(VOCABULARY))) for row in rows]
    found = DeviceSampler(FakeStage()).choose(logits, rows, last=torch.tensor(last)).read()
    later = [
        row._replace(index=row.index + 1, tokens=(*row.tokens, token)) for row, token in zip(rows, last, strict=True)
    ]
    close(found, Sampler().choose(Logits.of(logits), range(len(later)), later))


def test_counts_are_kept_while_a_sequence_goes_on() -> None:
    host, device = Sampler(), DeviceSampler(FakeStage())
    sampling = Sampling(seed=3, repetition_penalty=1.4, frequency_penalty=0.3, logprobs=1)
    tokens = [4, 5, 6]
    for step in range(12):
        logits = logits_of(2, step)
        rows = [row(sampling, tuple(tokens), 3), row(replace(sampling, seed=step), (9, 9, 9), 2, "b")]
        expected = host.choose(Logits.of(logits), range(2), rows)
        close(device.choose(logits, rows).read(), expected)
        assert expected[0] is not None
        tokens.append(expected[0].token_id)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_a_poisoned_row_yields_nothing_and_spares_the_others(kind: int, poison: float) -> None:
    logits = logits_of(5)
    logits[1, 7] = poison
    logits[3] = -math.inf
    rows = [some_row(kind, place, 0) for place in range(5)]
    found = DeviceSampler(FakeStage()).choose(logits, rows).read()
    assert [one is None for one in found] == [False, True, False, True, False]
    check(logits, rows)


def test_a_row_whose_every_token_is_excluded_yields_nothing() -> None:
    sampling = Sampling(min_tokens=5, stop_token_ids=tuple(range(VOCABULARY)), logprobs=3)
    check(logits_of(3), [row(sampling), row(GREEDY), row(replace(sampling, temperature=0.0))])


WORD = Constraint.regex("[abc]{2}d?")


def bound_rows() -> list[SampleRow]:
    return [
        constrained_row(WORD, logprobs=3),
        constrained_row(WORD, "ab", name="b", temperature=1.0, seed=4),
        constrained_row(None, name="c", temperature=1.0, repetition_penalty=1.2),
        constrained_row(WORD, "?", name="d"),
        constrained_row(WORD, "cad", name="e", stop_token_ids=(), min_tokens=9),
        constrained_row(WORD, "a", name="f", presence_penalty=2.0, logit_bias=((END, 100.0), (98, 1.0)), logprobs=0),
        constrained_row(None, name="g"),
    ]


@pytest.mark.parametrize("seed", range(6))
def test_constraints_close_what_they_close_on_the_host(seed: int) -> None:
    rows = bound_rows()
    logits = torch.randn(len(rows), WIDTH, generator=torch.Generator().manual_seed(seed)) * 3
    logits[-1, 3] = math.nan
    host, device = Sampler(Masks(compiler())), DeviceSampler(FakeStage(), Masks(compiler()))
    host.begin(rows)
    device.begin(rows)
    found = device.choose(logits, rows).read()
    close(found, host.choose(Logits.of(logits), range(len(rows)), rows))
    assert [place for place, one in enumerate(found) if one is None] == [3, 6]
    assert found[4] is not None
    assert found[4].ended


def test_a_constrained_row_whose_logits_are_not_numbers_yields_nothing() -> None:
    """Not even where its mask would hide them."""
    rows = [constrained_row(WORD), constrained_row(WORD, name="b")]
    logits = torch.zeros(2, WIDTH)
    logits[0, 3] = math.nan
    device = DeviceSampler(FakeStage(), Masks(compiler()))
    device.begin(rows)
    assert [one is None for one in device.choose(logits, rows).read()] == [True, False]


def test_without_masks_a_constrained_row_has_nothing_to_choose() -> None:
    rows = [constrained_row(WORD), constrained_row(None)]
    found = DeviceSampler(FakeStage()).choose(torch.zeros(2, WIDTH), rows).read()
    assert [one is None for one in found] == [True, False]


def test_logits_stay_where_they_are() -> None:
    """Tokens come down, and one line for each row that asked for log probabilities."""
    stage = FakeStage()
    rows = [some_row(kind, place, 1) for place, kind in enumerate(range(len(KINDS)))]
    chosen = DeviceSampler(stage).choose(logits_of(len(rows)), rows)
    assert (stage.num_downloads, stage.num_waits) == (2, 0)
    chosen.read()
    assert stage.num_waits == 2


def test_more_alternatives_than_are_usual_are_told_too() -> None:
    check(logits_of(1), [row(replace(GREEDY, logprobs=33))])


def test_warming_up_launches_what_constraints_and_alternatives_need() -> None:
    DeviceSampler(FakeStage()).warm_up(300)
