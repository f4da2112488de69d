"""The running batch and those who wait for room in it: who computes how much in a step, who must give way. Pure.

Knows nothing of hand-offs and events: a sequence is in the batch with its blocks, or waits without any.
"""

from bisect import insort
from collections.abc import Callable

from common.engine.limits import Limits
from common.engine.sequence import Sequence
from common.engine.tables import BlockTables
from decode_worker.ration import Ration
from decode_worker.resident import num_rows

_HEADROOM_SHARE = 32  # at most one in so many blocks is kept for those already running


class Batch:
    """Both lists hold sequences of any attempt; `waiting` is in order of arrival, pre-empted ones included."""

    def __init__(self, limits: Limits, tables: BlockTables, ration: Ration) -> None:
        self.running: dict[Sequence, None] = {}
        self.waiting: list[Sequence] = []
        self.num_preempted = 0
        self._limits = limits
        self._tables = tables
        self._ration = ration

    @property
    def num_rows(self) -> int:
        """Rows taken by those running, counting the choices a common part will fork into."""
        return sum(map(num_rows, self.running))

    def open(self, sequence: Sequence, num_hit_tokens: int, num_busy_rows: int) -> bool:
        """Blocks for a sequence that waits, unless its rows or its blocks find no room beside the busy ones.

        Some blocks are left over, lest the newcomer's first steps pre-empt somebody; none when it would be alone.
        """
        rows = num_rows(sequence)
        if num_busy_rows + rows > self._limits.max_sequences:
            return False
        num_spare = 0
        if num_busy_rows:
            num_copies = max(0, rows - 1) if len(sequence.tokens) % self._tables.block_tokens else 0
            num_spare = num_copies + min(num_busy_rows + rows, self._tables.pool.num_blocks // _HEADROOM_SHARE)
        if not self._tables.open(sequence, num_hit_tokens, num_spare):
            return False
        self.waiting.remove(sequence)
        return True

    def remove(self, sequence: Sequence) -> None:
        """Wherever it is, it holds nothing afterwards."""
        if sequence in self.running:
            del self.running[sequence]
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._tables.free(sequence)

    def choose(self, num_promised: Callable[[], int]) -> tuple[dict[Sequence, int], dict[Sequence, tuple[int, int]]]:
        """How many tokens of each sequence the next step computes, and the copies that must come first.

        Every decode row is in every step; prompts get what the ration leaves beside these rows and the promised ones,
        one prompt after the other.
        """
        takes: dict[Sequence, int] = {}
        copies: dict[Sequence, tuple[int, int]] = {}
        chunks: list[Sequence] = []
        for sequence in tuple(self.running):
            if sequence.num_remaining > 1:
                chunks.append(sequence)
            else:
                self._take(sequence, 1, takes, copies)
        if not chunks:
            return takes, copies
        left = min(self._limits.token_budget - len(takes), self._ration.tokens(len(takes) + num_promised()))
        for sequence in sorted(chunks, key=lambda chunk: chunk.arrival):
            if left and self._take(sequence, min(sequence.num_remaining, left), takes, copies):
                left -= takes[sequence]
        return takes, copies

    def _take(
        self, sequence: Sequence, num: int, takes: dict[Sequence, int], copies: dict[Sequence, tuple[int, int]]
    ) -> bool:
        """Has the next `num` tokens of a sequence computed, pre-empting as many as it must, in the end itself."""
        while sequence in self.running:
            end = sequence.num_computed + num
            ahead = min(end + self._limits.num_ahead, self._limits.max_model_tokens)
            room = self._tables.make_room(sequence, ahead)
            if not room.fits and ahead > end:  # nobody gives way for what is only a guess
                room = self._tables.make_room(sequence, end)
            if room.fits:
                takes[sequence] = num
                if room.copy is not None:
                    copies[sequence] = room.copy
                return True
            victim = min(self.running, key=lambda seq: (seq.num_output, -seq.arrival, -(seq.choice or 0)))
            takes.pop(victim, None)
            copies.pop(victim, None)
            self.remove(victim)
            self.num_preempted += 1
            insort(self.waiting, victim, key=lambda seq: seq.arrival)
        return False
