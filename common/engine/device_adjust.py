"""Changes a step's logits on the device as requests ask: masks of constraints, bias, penalties, excluded tokens.

Numbers of tokens travel up, logits never come down. Knows nothing of drawing.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from common.engine.adjust import Changes, Histories
from common.engine.stage import Stage
from common.kernels.choosing import Choosing, SeenTokens

Words = npt.NDArray[np.int32]


def close(choosing: Choosing, stage: Stage, logits: torch.Tensor, masked: Sequence[int], words: Words) -> None:
    """Rows `masked` of `logits` keep what their `words` leave open."""
    if masked:
        choosing.token_mask(logits, stage.upload(np.array(masked, dtype=np.int64)), stage.upload(words))


def apply(
    choosing: Choosing, stage: Stage, logits: torch.Tensor, changes: Changes, last: torch.Tensor | None = None
) -> None:
    """Changes `logits` [R, V] float32 in place.

    With `last` [R] int64 each row's history ends with one more token, its entry there, which only the device knows.
    """
    if changes.bias is not None:
        places, ids = stage.upload(np.stack([changes.bias.rows, changes.bias.ids]))
        choosing.add_bias(logits, places, ids, stage.upload(changes.bias.values))
    if changes.penalised is not None:
        _penalise(choosing, stage, logits, changes.penalised, last)
    if changes.excluded is not None:
        places, ids = stage.upload(np.stack([changes.excluded.rows, changes.excluded.ids]))
        choosing.exclude(logits, places, ids)


def _penalise(
    choosing: Choosing, stage: Stage, logits: torch.Tensor, histories: Histories, last: torch.Tensor | None
) -> None:
    """What is the same for all tokens of a row is spread out on the device: a token costs its id and its count."""
    places, sizes = stage.upload(np.stack([histories.places, histories.sizes]))
    ids, num_output = stage.upload(histories.ids), stage.upload(histories.num_output)
    weights = stage.upload(histories.weights)
    owners = torch.repeat_interleave(sizes, output_size=len(histories.ids))
    seen = SeenTokens(places.index_select(0, owners), ids, num_output, *weights.index_select(1, owners))
    if last is None:
        choosing.penalise(logits, seen)
        return
    # a place must not be named twice at once: what has not been seen before the last token gets a turn of its own,
    # in which those that have been change nothing
    told = last.index_select(0, places)
    again = (ids == told.index_select(0, owners)).float()
    met = torch.zeros_like(weights[0]).index_add_(0, owners, again) > 0
    repetition, others = torch.where(met, 1.0, weights[0]), torch.where(met, 0.0, weights[1:])
    choosing.penalise(logits, replace(seen, num_output=num_output + again))
    choosing.penalise(logits, SeenTokens(places, told, torch.ones_like(repetition), repetition, *others))
