"""The next attempt of a request: the same work, continued after what was already delivered."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from common.types.attempt import Attempt, Choice


def continue_attempt(attempt: Attempt, outputs: Mapping[int, Sequence[int]]) -> Attempt:
    """`outputs` holds what each unfinished choice has delivered, at least one choice.

    What they share becomes part of the common part, which any member can prefill; what differs becomes their tails.
    """
    num_shared = 0
    for column in zip(*outputs.values(), strict=False):
        if len(set(column)) > 1:
            break
        num_shared += 1
    shared = tuple(next(iter(outputs.values()))[:num_shared])
    return replace(
        attempt,
        id=attempt.id.next(),
        token_ids=attempt.token_ids[: attempt.num_prompt_tokens] + shared,
        choices=tuple(Choice(choice, tuple(outputs[choice][num_shared:])) for choice in sorted(outputs)),
    )
