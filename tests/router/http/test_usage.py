"""The last words' arithmetic: counts add up over prompts, times are the slowest's, hidden tokens are nobody's."""

import itertools
import json

import pytest

from router.http.ending import Ending
from router.http.frames import Frames
from router.http.usage import timings_of, usage_of
from router.timeline import Summary, Timings


def summary(prompt: int, cached: int, output: int, *times: float) -> Summary:
    return Summary(prompt, cached, output, Timings(*(times or (0.0,) * 6)), 1, ())


def test_counts_add_up_over_prompts() -> None:
    usage = usage_of([summary(3, 2, 5), summary(4, 0, 1)], num_reasoning_tokens=2)
    assert usage == {
        "prompt_tokens": 7,
        "completion_tokens": 6,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


@pytest.mark.parametrize(("hidden", "shown"), [(0, 6), (2, 4), (6, 0), (9, 0)])
def test_hidden_tokens_are_not_charged_and_never_below_nothing(hidden: int, shown: int) -> None:
    usage = usage_of([summary(3, 0, 6)], num_hidden_tokens=hidden)
    assert (usage["completion_tokens"], usage["total_tokens"]) == (shown, 3 + shown)


def test_times_are_those_of_the_slowest_and_short() -> None:
    first, second = summary(1, 0, 1, 1, 2, 3, 4, 5.00049, 15), summary(1, 0, 1, 9, 1, 1, 1, 12, 12)
    assert timings_of([first, second]) == {
        "queue_ms": 9,
        "prefill_ms": 2,
        "handoff_ms": 3,
        "decode_ms": 4,
        "ttft_ms": 12,
        "total_ms": 15,
    }
    assert timings_of([first])["ttft_ms"] == 5.0


@pytest.mark.parametrize("with_usage", [False, True])
@pytest.mark.parametrize("late", [False, True], ids=["counts at once", "counts at last"])
def test_the_last_end_waits_for_the_last_count_in_any_order(with_usage: bool, late: bool) -> None:
    """Two prompts of two choices each: choices before their prompt's count, prompts interleaved at will."""
    ends = [(0, 0), (0, 1), (1, 0), (1, 1)]
    for order in itertools.permutations(ends):
        ending = Ending(2, 2, with_usage=with_usage)
        frames = Frames({"id": "x"}, with_usage=with_usage, before="", after="")
        written: list[str] = []
        left = {0: 2, 1: 2}
        for prompt, choice in order:
            written.append(ending.finished({"index": 2 * prompt + choice}, frames))
            left[prompt] -= 1
            if not left[prompt] and not late:
                written.append(ending.summed(summary(3, 1, 4), frames))
        if late:
            written += [ending.summed(summary(3, 1, 4), frames) for _ in range(2)]
        chunks = [json.loads(line.removeprefix("data: ")) for line in "".join(written).split("\n\n") if line]
        finished = [chunk["choices"][0]["index"] for chunk in chunks if chunk["choices"]]
        assert finished == [2 * prompt + choice for prompt, choice in order]
        timed = [place for place, chunk in enumerate(chunks) if "timings" in chunk]
        assert timed == [len(chunks) - 1]
        counted = [chunk["usage"]["completion_tokens"] for chunk in chunks if chunk.get("usage")]
        assert counted == ([8] if with_usage else [])
