"""Chooses one token per row of logits from arguments that lie on the logits' device: `sample.py` for devices."""

from dataclasses import dataclass

import numpy as np
import torch

from common.kernels.logits import Logits
from common.kernels.reference.sample import Draws, draw_tokens


@dataclass(frozen=True, slots=True)
class DeviceDraws:
    """How each row is chosen: tensors of one entry per token to choose. A temperature of 0 takes the best entry."""

    temperature: torch.Tensor  # float32
    top_k: torch.Tensor  # int32, 0: off
    top_p: torch.Tensor  # float32, 1: off
    min_p: torch.Tensor  # float32, 0: off
    keys: torch.Tensor  # [R, 2] int32: the bits of `draw_keys`

    @property
    def num_rows(self) -> int:
        return len(self.temperature)


def choose_tokens(logits: torch.Tensor, sources: torch.Tensor, draws: DeviceDraws) -> torch.Tensor:
    """[R] int64: the token of each draw, or -1 where the logits hold nothing to choose.

    `sources` [R] int64 names the row of `logits` `[L, V]` that each token is drawn from.
    """
    rows = logits.float().cpu()
    places = sources.cpu().numpy()
    ranked = Logits.of(rows)
    tokens = ranked.best[places]
    usable = np.isfinite(ranked.peaks[places])
    drawn = np.flatnonzero(usable & (draws.temperature.cpu().numpy() > 0))
    if len(drawn):
        own = Draws(
            temperature=draws.temperature.cpu().numpy()[drawn],
            top_k=draws.top_k.cpu().numpy()[drawn].astype(np.int64),
            top_p=draws.top_p.cpu().numpy()[drawn],
            min_p=draws.min_p.cpu().numpy()[drawn],
            keys=draws.keys.cpu().numpy()[drawn].view(np.uint32),
        )
        tokens[drawn] = draw_tokens(rows, places[drawn], own)
    return torch.from_numpy(np.where(usable, tokens, -1)).to(logits.device)
