"""A model without numbers: KV is a chain of hashes, a token is a hash of all KV before it, read through block tables.

A wrong table, a missing copy, an unwritten slot or a stale block changes the chain, and with it every later token.
Only numbers are hashed: a string, or None, has another hash in every process, and a failing seed would not return.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from common.engine.compose import finish_reason
from common.engine.plan import Best, Further, Sampled, SampleRow, StepPlan, StepResult, Work
from common.types.attempt import Attempt
from common.types.sampling import SampledToken, Sampling, TokenLogprobs

VOCAB = 50


def kv(before: int, token_id: int, position: int) -> int:
    return hash((before, token_id, position))


def draw(chain: Sequence[int], sampling: Sampling, choice: int, index: int) -> int:
    seed = -1 if sampling.seed is None else sampling.seed
    return hash((*chain, seed, choice, index)) % VOCAB


def score(chain: Sequence[int], token_id: int) -> TokenLogprobs:
    return TokenLogprobs(token_id, -float(hash((*chain, token_id)) % 997))


def chain_of(token_ids: Sequence[int]) -> list[int]:
    chain: list[int] = []
    for position, token_id in enumerate(token_ids):
        chain.append(kv(chain[-1] if chain else 0, token_id, position))
    return chain


def answer(attempt: Attempt, choice: int, max_model_tokens: int) -> list[SampledToken]:
    """What this choice must yield from here on, by whatever way it is computed."""
    [tail] = [one.tail for one in attempt.choices if one.index == choice]
    tokens, rows = [*attempt.token_ids, *tail], []
    while True:
        index = len(tokens) - attempt.num_prompt_tokens
        token_id = draw(chain_of(tokens), attempt.sampling, choice, index)
        tokens.append(token_id)
        finish = finish_reason(attempt.sampling, token_id, index, len(tokens), max_model_tokens)
        rows.append(SampledToken(choice, index, token_id, finish=finish))
        if finish is not None:
            return rows


def prompt_scores(attempt: Attempt) -> tuple[TokenLogprobs, ...]:
    prompt = attempt.token_ids[: attempt.num_prompt_tokens]
    chain = chain_of(prompt)
    return tuple(score(chain[:place], prompt[place]) for place in range(1, len(prompt)))


@dataclass
class Line:
    """What a runner remembers of a decode row, should the next plan only go further."""

    row: SampleRow
    table: list[int]
    num_computed: int
    index: int


class FakeRunner:
    """Runs plans over slots that hold one number each; complains about whatever a real model would get wrong."""

    def __init__(self, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self.slots: dict[tuple[int, int], int] = {}
        self.tables: dict[int, list[int]] = {}
        self.fails: set[str] = set()  # request ids whose logits leave nothing to choose
        self.num_steps = self.num_further = 0
        self._lines: list[Line] = []

    def run(self, plan: StepPlan) -> StepResult:
        self.num_steps += 1
        if plan.further is not None:
            assert (plan.works, plan.rows, plan.copies, plan.final_blocks) == ((), (), (), ())
            assert plan.num_tokens == plan.num_decode == len(plan.further.token_ids)
            return self._go_on(plan.further)
        self._check(plan)
        for source, target in plan.copies:
            for offset in range(self.block_tokens):
                self.slots[target, offset] = self.slots.get((source, offset), 0)
        scores = []
        for work in plan.works:
            self._forward(work)
            chain = self.read(work.blocks, work.kv_len)
            ends = range(work.start + 1, work.start + 1 + len(work.score_ids))
            scores.append(tuple(score(chain[:end], id) for end, id in zip(ends, work.score_ids, strict=True)))
        sampled = []
        for row in plan.rows:
            work = plan.works[row.work]
            assert work.kv_len == len(row.tokens) == row.index + row.num_prompt_tokens
            token_id = draw(self.read(work.blocks, work.kv_len), row.sampling, row.choice, row.index)
            sampled.append(None if row.id.request_id in self.fails else Sampled(token_id))
        checksums = tuple(self.checksum(block) for block in plan.final_blocks)
        self._lines = []
        if plan.num_decode == len(plan.works) == len(plan.rows):
            pairs = zip(plan.rows, plan.works, strict=True)
            self._lines = [Line(row, list(work.blocks), work.kv_len, row.index) for row, work in pairs]
        return StepResult(tuple(sampled), 0.01, tuple(scores), checksums)

    def _go_on(self, further: Further) -> StepResult:
        self.num_further += 1
        for at, place, block in further.entries:
            self._lines[at].table[place : place + 1] = [block]
        token_ids, peaks, written = [], [], set()
        for token_id, line in zip(further.token_ids.tolist(), self._lines, strict=True):
            assert line.row.sampling.plain
            work = Work(0, (token_id,), line.num_computed, line.table)
            written.add((line.table[work.start // self.block_tokens], work.start % self.block_tokens))
            self._forward(work)
            line.num_computed += 1
            line.index += 1
            chain = self.read(line.table, work.kv_len)
            token_ids.append(draw(chain, line.row.sampling, line.row.choice, line.index))
            peaks.append(inf if line.row.id.request_id in self.fails else 1.0)
        assert len(written) == len(self._lines), "two sequences write one slot"
        return StepResult((), 0.01, best=Best(np.array(token_ids), np.array(peaks, dtype=np.float32)))

    def read(self, blocks: Sequence[int], num: int) -> list[int]:
        """The KV of the first `num` positions of a table."""
        return [self.slots[blocks[at // self.block_tokens], at % self.block_tokens] for at in range(num)]

    def checksum(self, block: int) -> int:
        return hash(tuple(self.slots.get((block, offset), 0) for offset in range(self.block_tokens)))

    def spoil(self, blocks: Sequence[int]) -> None:
        """Somebody else's bytes: what a fetch in flight leaves, or a freed block's next owner."""
        for block in blocks:
            for offset in range(self.block_tokens):
                self.slots[block, offset] = -7

    def fill(self, blocks: Sequence[int], token_ids: Sequence[int]) -> None:
        """What a fetch brings."""
        for position, value in enumerate(chain_of(token_ids)):
            self.slots[blocks[position // self.block_tokens], position % self.block_tokens] = value

    def _forward(self, work: Work) -> None:
        for position, token_id in enumerate(work.token_ids, work.start):
            before = self.read(work.blocks, position)[-1] if position else 0
            block, offset = work.blocks[position // self.block_tokens], position % self.block_tokens
            self.slots[block, offset] = kv(before, token_id, position)

    def _check(self, plan: StepPlan) -> None:
        sources, targets = [s for s, _ in plan.copies], [t for _, t in plan.copies]
        assert len(set(targets)) == len(targets)
        assert not set(sources) & set(targets)
        assert all(len(work.token_ids) == 1 for work in plan.works[: plan.num_decode])
        assert all(len(work.token_ids) > 1 for work in plan.works[plan.num_decode :])
        assert [row.work for row in plan.rows] == sorted(row.work for row in plan.rows)
        written: set[tuple[int, int]] = set()
        for work in plan.works:
            known = self.tables.get(work.key, [])
            assert list(work.blocks[: len(known)]) == known, "a table changed and kept its key"
            self.tables[work.key] = list(work.blocks)
            for position in range(work.start, work.kv_len):
                slot = (work.blocks[position // self.block_tokens], position % self.block_tokens)
                assert slot not in written, "two sequences write one slot"
                written.add(slot)
