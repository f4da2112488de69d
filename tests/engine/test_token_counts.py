"""Counts kept step by step equal counts made at once."""

import numpy as np

from common.engine.token_counts import TokenCounts


def as_dict(counts: TokenCounts) -> dict[int, float]:
    return dict(zip(counts.ids.tolist(), counts.num_output.tolist(), strict=True))


def test_prompt_tokens_are_seen_but_not_counted_as_output() -> None:
    counts = TokenCounts([5, 6, 5, 7, 6], 3)
    assert as_dict(counts) == {5: 0, 6: 1, 7: 1}
    assert counts.num_tokens == 5


def test_growing_equals_counting_afresh() -> None:
    tokens = np.random.default_rng(0).integers(0, 400, 900).tolist()
    grown = TokenCounts(tokens[:20], 12)
    for length in (20, 21, 22, 90, 500, 900):
        grown.extend(tokens[:length])
        afresh = TokenCounts(tokens[:length], 12)
        assert as_dict(grown) == as_dict(afresh)
        assert grown.ids.tolist() == afresh.ids.tolist()


def test_an_empty_prompt() -> None:
    counts = TokenCounts([], 0)
    assert as_dict(counts) == {}
    counts.extend([3, 3])
    assert as_dict(counts) == {3: 2}
