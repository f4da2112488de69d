"""Changes a step's logits on the device as requests ask: masks of constraints, bias, penalties, excluded tokens.

Numbers of tokens travel up, logits never come down. Knows nothing of drawing.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from common.engine.adjust import Changes
from common.engine.plan import SampleRow
from common.engine.stage import Stage
from common.kernels.choosing import Choosing, SeenTokens
from common.kernels.reference.penalties import Penalties

Words = npt.NDArray[np.int32]


def close(choosing: Choosing, stage: Stage, logits: torch.Tensor, masked: Sequence[int], words: Words) -> None:
    """Rows `masked` of `logits` keep what their `words` leave open."""
    if masked:
        choosing.token_mask(logits, stage.upload(np.array(masked, dtype=np.int64)), stage.upload(words))


def apply(
    choosing: Choosing,
    stage: Stage,
    logits: torch.Tensor,
    rows: Sequence[SampleRow],
    changes: Changes,
    last: torch.Tensor | None = None,
) -> None:
    """Changes `logits` [R, V] float32 in place; row i is that of `rows[i]`.

    With `last` [R] int64 each row's history ends with one more token, its entry there, which only the device knows.
    """
    if changes.bias is not None:
        places, ids = stage.upload(np.stack([changes.bias.rows, changes.bias.ids]))
        choosing.add_bias(logits, places, ids, stage.upload(changes.bias.values))
    if changes.penalties is not None:
        seen = _upload(stage, changes.penalties)
        if last is None:
            choosing.penalise(logits, seen)
        else:
            known, unknown = _count_last(seen, last, stage.upload(_penalties_of(rows)))
            choosing.penalise(logits, known)
            choosing.penalise(logits, unknown)
    if changes.excluded is not None:
        places, ids = stage.upload(np.stack([changes.excluded.rows, changes.excluded.ids]))
        choosing.exclude(logits, places, ids)


def _upload(stage: Stage, penalties: Penalties) -> SeenTokens:
    places, ids = stage.upload(np.stack([penalties.rows, penalties.ids]))
    parts = penalties.num_output, penalties.repetition, penalties.presence, penalties.frequency
    return SeenTokens(places, ids, *stage.upload(np.stack(parts)))


def _penalties_of(rows: Sequence[SampleRow]) -> npt.NDArray[np.float32]:
    sampling = [row.sampling for row in rows]
    values = [(s.repetition_penalty, s.presence_penalty, s.frequency_penalty) for s in sampling]
    return np.array(values, dtype=np.float32).T.copy()


def _count_last(seen: SeenTokens, last: torch.Tensor, penalties: torch.Tensor) -> tuple[SeenTokens, SeenTokens]:
    """One more of each row's last token: counted where it had been seen, and an entry of its own where it had not.

    A place must not be named twice at once, so the new entries come in a second turn; those of tokens that had been
    seen change nothing there.
    """
    again = (seen.ids == last[seen.rows]).float()
    met = torch.zeros_like(penalties[0]).index_add_(0, seen.rows, again) > 0
    repetition, presence, frequency = penalties
    new = SeenTokens(
        rows=torch.arange(len(last), device=last.device),
        ids=last,
        num_output=torch.ones_like(repetition),
        repetition=torch.where(met, 1.0, repetition),
        presence=torch.where(met, 0.0, presence),
        frequency=torch.where(met, 0.0, frequency),
    )
    return replace(seen, num_output=seen.num_output + again), new
