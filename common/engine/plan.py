"""One forward pass as data: what a scheduler wants computed, and what came of it. Knows neither tensors nor clocks.

`plan -> run -> commit` happen in that order on one thread with nothing in between, so a plan may point at the
scheduler's own lists (tokens, block tables) instead of copying them: read them during the step, keep nothing of them.
"""

from collections import abc
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from common.engine.messages import Event
from common.types.ids import AttemptId
from common.types.sampling import Sampling, TokenLogprobs


class Work(NamedTuple):
    """The tokens of one sequence that one step computes. A tuple like the next two: a step makes one per sequence.

    They take positions `start`, `start + 1`, ...; the KV of position p is written to block `blocks[p // block_tokens]`,
    and each token attends to all positions up to its own. `blocks` may reach further than this step needs. While `key`
    stays the same the table has only grown at its end; any other change brings a new key.

    `score_ids[i]`, where there is one, is the token that follows `token_ids[i]` in the prompt and whose log probability
    (with `num_alternatives` others) is wanted.
    """

    key: int
    token_ids: tuple[int, ...]
    start: int
    blocks: abc.Sequence[int]
    score_ids: tuple[int, ...] = ()
    num_alternatives: int = 0

    @property
    def kv_len(self) -> int:
        """Positions the last token attends to, its own included."""
        return self.start + len(self.token_ids)


class SampleRow(NamedTuple):
    """One token to sample from the logits of a work's last token.

    `tokens` is everything before the sampled token; from `num_prompt_tokens` on it is output.
    """

    work: int
    id: AttemptId
    choice: int
    index: int  # type: ignore[assignment]  # hides a method of tuples that nobody calls
    sampling: Sampling
    tokens: abc.Sequence[int]
    num_prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Further:
    """The plan before once more, each of its works a token further: what most decode steps are, and no word of any
    sequence.

    Work i computes `token_ids[i]`, behind what it computed last; `entries` are (work, place, block) of tables that have
    grown or changed since. Each row draws the next token of its answer, and all of them are plain.
    """

    token_ids: npt.NDArray[np.int64]
    entries: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What one step does, in this order: `copies`, the forward pass over `works`, one sample per row, checksums.

    The first `num_decode` works have exactly one token. Rows are in the order of their works; a work has one row for
    each choice that starts from it, or none. `copies` are (source, target) blocks; no block is a target twice, nor a
    source and a target. `final_blocks` never change again after this step and want a checksum. `events` are due before
    the step runs. One that goes `further` than the plan before has nothing else but its `num_decode`.
    """

    works: tuple[Work, ...]
    rows: tuple[SampleRow, ...]
    num_decode: int
    copies: tuple[tuple[int, int], ...] = ()
    final_blocks: tuple[int, ...] = ()
    events: tuple[Event, ...] = ()
    further: Further | None = None

    @property
    def num_tokens(self) -> int:
        if self.num_decode == len(self.works) or self.further is not None:
            return self.num_decode
        return sum(len(work.token_ids) for work in self.works)


class Sampled(NamedTuple):
    """What a row yielded; `ended` says that it ends what the row's constraint allows."""

    token_id: int
    logprobs: TokenLogprobs | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Best:
    """The best token of each row and its logit, which is not finite where there is nothing to choose.

    The runner's own memory: good until it runs the next step's model.
    """

    token_ids: npt.NDArray[np.int64]
    peaks: npt.NDArray[np.float32]

    @property
    def sampled(self) -> "tuple[Sampled | None, ...]":
        """One by one."""
        pairs = zip(self.token_ids.tolist(), self.peaks.tolist(), strict=True)
        return tuple([Sampled(token_id) if isfinite(peak) else None for token_id, peak in pairs])


@dataclass(frozen=True, slots=True)
class StepResult:
    """One sample per row and one checksum per final block, both in plan order.

    A row whose logits leave nothing to choose (not a number, or every token excluded) yields None: its attempt fails.
    So does one whose constraint can no longer be enforced.
    `scores[i]` answers `works[i].score_ids`; the whole tuple may be empty when no work asked. Of `seconds`, `kernel_s`
    went by in kernels: while the model ran, and on a device while tokens were chosen. `exhausted` are works for which
    the device had no memory left even alone: their attempts fail, the others' results stand. A plan that goes further
    gets the `best` of its rows instead of samples.
    """

    sampled: tuple[Sampled | None, ...]
    seconds: float
    scores: tuple[tuple[TokenLogprobs, ...], ...] = ()
    checksums: tuple[int, ...] = ()
    kernel_s: float = 0.0
    exhausted: frozenset[int] = frozenset()
    best: Best | None = None

    @property
    def num_sampled(self) -> int:
        return len(self.sampled) if self.best is None else len(self.best.token_ids)
