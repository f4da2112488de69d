"""The last words about a request: token counts and where the time went, over all of its prompts."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from router.timeline import Summary


def usage_of(
    summaries: Sequence[Summary], *, num_hidden_tokens: int = 0, num_reasoning_tokens: int = 0
) -> dict[str, Any]:
    """Hidden tokens were computed for nobody: those of an answer of length 0."""
    num_prompt = sum(summary.num_prompt_tokens for summary in summaries)
    num_output = max(0, sum(summary.num_output_tokens for summary in summaries) - num_hidden_tokens)
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_output,
        "total_tokens": num_prompt + num_output,
        "prompt_tokens_details": {"cached_tokens": sum(summary.num_cached_tokens for summary in summaries)},
        "completion_tokens_details": {"reasoning_tokens": num_reasoning_tokens},
    }


def timings_of(summaries: Sequence[Summary]) -> dict[str, float]:
    """Milliseconds. Prompts of one request run side by side: the slowest of each is what the client waited for."""
    each = [asdict(summary.timings) for summary in summaries]
    return {name: round(max(timings[name] for timings in each), 3) for name in each[0]}
