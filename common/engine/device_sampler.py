"""Chooses the next token of every row of a step on the device, and says how likely it was: `sampler.py` for devices.

The results are that one's. Owns the same order: masks of constraints, bias, penalties, excluded tokens, then the best
entry for greedy rows and a draw for the others; log probabilities are those of untouched logits. Tokens and what is
told of them come down together, whenever somebody asks for them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from common.engine import device_adjust
from common.engine.adjust import Adjuster, is_adjusted
from common.engine.draw import draw
from common.engine.plan import Sampled, SampleRow
from common.engine.sampler import token_logprobs
from common.engine.stage import Array, Stage
from common.kernels.choosing import Choosing, choosing
from common.kernels.reference.logprobs import Logprobs
from common.types.sampling import TokenLogprobs

if TYPE_CHECKING:  # what constrains needs packages that choosing does without
    from common.engine.masks import Masks

NUM_TOP = (0, 5, 20)
"""So many alternatives are looked for at once: a kernel is compiled for each number."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """`tokens` [R] int64 on the device, -1 where a row has nothing to choose; `read` waits for them and the rest."""

    tokens: torch.Tensor
    read: Callable[[], tuple[Sampled | None, ...]]


class DeviceSampler:
    """Keeps token counts of penalised rows between steps and nothing else.

    Without `masks` a row with a constraint has nothing to choose.
    """

    def __init__(self, stage: Stage, masks: "Masks | None" = None, kernels: Choosing | None = None) -> None:
        self._stage = stage
        self._masks = masks
        self._kernels = kernels or choosing(stage.device)
        self._adjuster = Adjuster()

    def begin(self, rows: Sequence[SampleRow]) -> None:
        """Called before the forward pass of a step with constrained rows: what needs no logits starts now."""
        if self._masks is not None:
            self._masks.begin(rows)

    def warm_up(self, num_entries: int) -> None:
        """Launches once what no step of the warm-up does."""
        logits = torch.zeros(1, num_entries, device=self._stage.device)
        token = torch.zeros(1, dtype=torch.int64, device=self._stage.device)
        for num_top in NUM_TOP:
            self._kernels.logprobs(logits, token, num_top)
        device_adjust.close(self._kernels, self._stage, logits, [0], np.zeros((1, 1), dtype=np.int32))

    def choose(
        self,
        logits: torch.Tensor,
        rows: Sequence[SampleRow],
        places: Sequence[int] | None = None,
        last: torch.Tensor | None = None,
    ) -> Chosen:
        """Row i is chosen from `logits[places[i]]`, or from its own. Logits are left untouched.

        With `last` [R] int64 it is the token after the one that a row asks for: this one is its entry there, known to
        nobody but the device. No row may have a constraint then.
        """
        special = [number for number, row in enumerate(rows) if not row.sampling.plain]
        changed = [number for number in special if is_adjusted(rows[number])]
        asked = {number: num for number in special if (num := rows[number].sampling.logprobs) is not None}
        bound = {number for number in special if rows[number].sampling.constraint is not None}
        if not changed:
            self._adjuster.forget()
            tokens = draw(self._kernels, logits, rows, self._stage, places, int(last is not None))
        else:
            tokens = self._draw_changed(logits, rows, changed, places, last)
        scores = self._score(logits, tokens, places, asked) if asked else None
        return Chosen(tokens, self._reader(tokens, scores, asked, bound))

    def _draw_changed(
        self,
        logits: torch.Tensor,
        rows: Sequence[SampleRow],
        changed: list[int],
        places: Sequence[int] | None,
        last: torch.Tensor | None,
    ) -> torch.Tensor:
        """Rows whose logits change are drawn from a copy, the others from the logits as they are."""
        ahead, sources = int(last is not None), range(len(rows)) if places is None else places
        taken = self._stage.upload(np.array([[sources[number] for number in changed], changed]))
        copied = logits.index_select(0, taken[0])
        sound = torch.isfinite(copied.amax(dim=1))
        wanted = [rows[number] for number in changed]
        self._close(copied, wanted)
        changes = self._adjuster.changes(wanted, copied.shape[1], ahead)
        known = None if last is None else last.index_select(0, taken[1])
        device_adjust.apply(self._kernels, self._stage, copied, changes, known)
        drawn = draw(self._kernels, copied, wanted, self._stage, None, ahead)
        drawn = torch.where(sound, drawn, -1)
        kept = sorted({*range(len(rows))} - {*changed})
        if not kept:
            return drawn
        others = [rows[number] for number in kept]
        plain = draw(self._kernels, logits, others, self._stage, [sources[number] for number in kept], ahead)
        return torch.cat([drawn, plain]).index_select(0, self._stage.upload(np.argsort([*changed, *kept])))

    def _close(self, logits: torch.Tensor, rows: Sequence[SampleRow]) -> None:
        """The masks of the constrained rows; one whose mask could not be made is closed altogether."""
        masked = [place for place, row in enumerate(rows) if row.sampling.constraint is not None]
        words: npt.NDArray[np.int32] = np.zeros((len(masked), 1), dtype=np.int32)
        if masked and self._masks is not None:
            found = self._masks.collect()
            words = np.where(found.failed[:, None], np.int32(0), found.words)
        device_adjust.close(self._kernels, self._stage, logits, masked, words)

    def _score(
        self, logits: torch.Tensor, tokens: torch.Tensor, places: Sequence[int] | None, asked: dict[int, int]
    ) -> Callable[[], Array]:
        """One line for each row that asked: its token's log probability, those of the alternatives, and their ids."""
        most = max(asked.values())
        num_top = next((number for number in NUM_TOP if number >= most), most)
        if places is not None or len(asked) < len(tokens):
            sources = range(len(tokens)) if places is None else places
            taken = self._stage.upload(np.array([[sources[number] for number in asked], [*asked]]))
            logits, tokens = logits.index_select(0, taken[0]), tokens.index_select(0, taken[1])
        scored = self._kernels.logprobs(logits, tokens.clamp(min=0), num_top)
        # float64 holds ids and log probabilities exactly: one tensor, one copy
        parts = scored.chosen[:, None].double(), scored.top.double(), scored.top_ids.double()
        return self._stage.download(torch.cat(parts, dim=1))

    def _reader(
        self, tokens: torch.Tensor, scores: Callable[[], Array] | None, asked: dict[int, int], bound: set[int]
    ) -> Callable[[], tuple[Sampled | None, ...]]:
        """`bound` are the constrained rows. Of the rows themselves nothing is kept."""
        read = self._stage.download(tokens)
        end_ids: frozenset[int] = frozenset() if self._masks is None else self._masks.end_ids

        def wait() -> tuple[Sampled | None, ...]:
            found = read()
            if scores is None and not bound:
                return tuple([Sampled(token) if token >= 0 else None for token in found.tolist()])
            told = {} if scores is None else _told(found, scores(), asked)
            return tuple(
                Sampled(token, told.get(number), number in bound and token in end_ids) if token >= 0 else None
                for number, token in enumerate(found.tolist())
            )

        return wait


def _told(tokens: Array, scores: Array, asked: dict[int, int]) -> dict[int, TokenLogprobs]:
    num_top = (scores.shape[1] - 1) // 2
    numbers = scores.astype(np.float32)
    found = Logprobs(numbers[:, 0], scores[:, 1 + num_top :].astype(np.int64), numbers[:, 1 : 1 + num_top])
    return dict(zip(asked, token_logprobs(tokens[list(asked)], list(asked.values()), found), strict=True))
