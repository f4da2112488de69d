"""Steps of the same decode rows one after the other, said of all of them at once: what most steps are.

Nothing is done sequence by sequence but what a full block asks for, which is once in so many steps. Meanwhile sequences
lag behind: each hears what it got when a block of its own is full, and all of them when the stretch ends. Pure.

After a step nothing is in a cache, and the way to numpy's loops is long: what one number or a set can tell is not
asked of an array.
"""

from math import isfinite

import numpy as np

from common.engine.limits import Limits
from common.engine.messages import MoreTokens
from common.engine.plan import Best, Further
from common.engine.sequence import Sequence
from common.engine.tables import BlockTables

_STEPS = 64  # that may go by before all sequences hear of them


class Stretch:
    """From the step after one in which each of these sequences got a plain token and none ended."""

    def __init__(self, sequences: list[Sequence], tables: BlockTables, limits: Limits) -> None:
        self.sequences = sequences
        self._tables = tables
        self._size = tables.block_tokens
        self._ids = tuple([sequence.attempt.id for sequence in sequences])
        self._choices = tuple([sequence.choice or 0 for sequence in sequences])
        self._indices = tuple([sequence.num_output for sequence in sequences])  # of the first step's tokens
        self._stops = frozenset[int]().union(*[sequence.attempt.sampling.stop_token_ids for sequence in sequences])
        self._num_left = min([_num_left(sequence, limits.max_model_tokens) for sequence in sequences])
        self._num_steps = 0
        self._rows_at: list[list[int]] = [[] for _ in range(self._size)]  # that begin a block then, by steps
        for row, sequence in enumerate(sequences):
            self._rows_at[-sequence.num_computed % self._size].append(row)
        self._token_ids = np.array([sequence.tokens[-1] for sequence in sequences])
        self._drawn = np.zeros((len(sequences), _STEPS), dtype=np.int64)
        self._num_drawn = 0
        self._num_told = [0] * len(sequences)
        self._entries: list[tuple[int, int, int]] = []

    def plan(self) -> Further | None:
        """The next step; None where it takes more than a free block, and the sequences know all again."""
        for row in self._rows_at[self._num_steps % self._size]:
            sequence = self._tell(row)
            place, end = len(sequence.blocks), sequence.num_computed + 1
            if place * self._size != sequence.num_computed or not self._tables.make_room(sequence, end).fits:
                self.end()
                return None
            self._entries.append((row, place, sequence.blocks[place]))
        entries, self._entries = tuple(self._entries), []
        return Further(self._token_ids, entries)

    def commit(self, best: Best) -> MoreTokens | None:
        """None where a row may end or has nothing to choose: the sequences know all but this step's tokens then."""
        token_ids = best.token_ids.tolist()
        ends = self._num_left <= self._num_steps or not self._stops.isdisjoint(token_ids)
        if ends or not isfinite(sum(best.peaks.tolist())):
            self.end()
            return None
        if self._num_drawn == _STEPS:
            self.end()
        self._drawn[:, self._num_drawn] = self._token_ids = best.token_ids
        self._num_drawn += 1
        more = MoreTokens(self._ids, self._choices, self._indices, self._num_steps, token_ids)
        self._num_steps += 1
        for row in self._rows_at[self._num_steps % self._size]:
            self._publish(row)
        return more

    def end(self) -> None:
        """Every sequence hears of all it has got."""
        for row in range(len(self.sequences)):
            self._tell(row)
        self._num_drawn, self._num_told = 0, [0] * len(self.sequences)

    def _tell(self, row: int) -> Sequence:
        sequence, told = self.sequences[row], self._num_told[row]
        if told < self._num_drawn:
            sequence.tokens += self._drawn[row, told : self._num_drawn].tolist()
            sequence.num_computed += self._num_drawn - told
            self._num_told[row] = self._num_drawn
        return sequence

    def _publish(self, row: int) -> None:
        """A block of this row is full; where its text is known already, the table names the other one from now on."""
        sequence = self._tell(row)
        first, key = sequence.num_published, sequence.key
        self._tables.publish(sequence, merge=True)
        if sequence.key != key:
            places = range(first, sequence.num_published)
            self._entries += [(row, place, sequence.blocks[place]) for place in places]


def _num_left(sequence: Sequence, max_model_tokens: int) -> int:
    """Steps that cannot bring its last token by number."""
    attempt = sequence.attempt
    return min(attempt.sampling.max_tokens, max_model_tokens - attempt.num_prompt_tokens) - 1 - sequence.num_output
