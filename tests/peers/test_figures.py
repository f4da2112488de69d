"""Figures of a server from a bench's results, counted by hand."""

from typing import Any

import pytest

from loadtest.peers.figures import arrivals, decode_tokens_per_s, good_share, itl_ms, prefill_tokens_per_s


def found(*requests: tuple[float, float, list[float], int], failed: int = 0) -> dict[str, Any]:
    """Requests as (start, time to first, pauses, tokens)."""
    return {
        "failed": failed,
        "start_times": [start for start, _, _, _ in requests],
        "ttfts": [ttft for _, ttft, _, _ in requests],
        "itls": [pauses for _, _, pauses, _ in requests],
        "output_lens": [tokens for _, _, _, tokens in requests],
        "input_lens": [100 for _ in requests],
        "errors": ["" for _ in requests],
    }


def test_arrivals() -> None:
    (times,) = arrivals(found((1.0, 0.5, [0.25, 0.25], 3)))
    assert times == pytest.approx([1.5, 1.75, 2.0])


def test_decoding_counts_only_while_all_decode() -> None:
    early = (0.0, 1.0, [0.5] * 8, 9)
    late = (0.0, 3.0, [0.5] * 8, 9)
    assert decode_tokens_per_s(found(early, late)) == pytest.approx(4.0)
    assert decode_tokens_per_s(found(early)) == pytest.approx(2.0)


def test_several_tokens_in_a_message_all_count() -> None:
    assert decode_tokens_per_s(found((0.0, 1.0, [0.5] * 4, 9))) == pytest.approx(4.0)


@pytest.mark.parametrize(
    "results",
    [
        found((0.0, 1.0, [0.1], 2), (5.0, 1.0, [0.1], 2)),
        found((0.0, 1.0, [], 1)),
        found(),
        found((0.0, 1.0, [0.1], 2), failed=1),
    ],
)
def test_what_says_nothing_of_decoding_is_refused(results: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="request"):
        decode_tokens_per_s(results)


def test_prefilling_is_tokens_over_the_median_time() -> None:
    assert prefill_tokens_per_s(found((0, 0.1, [], 1), (1, 0.2, [], 1), (2, 0.9, [], 1))) == pytest.approx(500)
    with pytest.raises(ValueError, match="failed"):
        prefill_tokens_per_s(found((0, 0.1, [], 1), failed=1))


def test_pauses() -> None:
    results = found((0, 1, [0.01] * 98, 99), (0, 1, [0.02, 0.05], 3))
    assert itl_ms(results, 50) == pytest.approx(10)
    assert itl_ms(results, 100) == pytest.approx(50)
    with pytest.raises(ValueError, match="failed"):
        itl_ms(found((0, 1, [], 1)), 50)


def test_a_share_is_of_all_requests_and_of_none_it_is_none() -> None:
    assert good_share({"good_requests": 9, "num_prompts": 12}) == 0.75
    assert good_share({"good_requests": 0, "num_prompts": 0}) == 0.0
