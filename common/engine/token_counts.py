"""Which tokens a sequence holds, and how often each was generated: kept from step to step for penalties.

Adding a token costs the same however long the sequence is. Knows nothing of logits.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class TokenCounts:
    """Distinct tokens of one growing sequence, prompt tokens first, in order of first appearance."""

    def __init__(self, tokens: Sequence[int], num_prompt_tokens: int) -> None:
        self.num_tokens = num_prompt_tokens
        self._places = {token: place for place, token in enumerate(dict.fromkeys(tokens[:num_prompt_tokens]))}
        room = 2 * len(self._places) + 64
        self._ids = np.zeros(room, dtype=np.int64)
        self._ids[: len(self._places)] = list(self._places)
        self._num_output = np.zeros(room, dtype=np.float32)
        self.extend(tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        """Takes in what `tokens` holds beyond the first `num_tokens`, all of it output."""
        for token in tokens[self.num_tokens :]:
            place = self._places.setdefault(token, len(self._places))
            if place == len(self._ids):
                self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
                self._num_output = np.concatenate([self._num_output, np.zeros_like(self._num_output)])
            self._ids[place] = token
            self._num_output[place] += 1
        self.num_tokens = len(tokens)

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        return self._ids[: len(self._places)]

    @property
    def num_output(self) -> npt.NDArray[np.float32]:
        """For each of `ids`, how often it was generated."""
        return self._num_output[: len(self._places)]
