"""Log probabilities of a stretch of a prompt, from the hidden rows of one work."""

import numpy as np
import torch

from common.engine.plan import Work
from common.engine.sampler import token_logprobs
from common.kernels.reference.logprobs import logprobs
from common.models.decoder import Decoder
from common.types.sampling import TokenLogprobs

_ENTRIES = 1 << 22  # logits held at once: 16 MiB in float32


def score(decoder: Decoder, work: Work, hidden: torch.Tensor) -> tuple[TokenLogprobs, ...]:
    """`hidden` holds one row per token of the work; logits are made a slice of rows at a time."""
    wanted = np.array(work.score_ids, dtype=np.int64)
    step = max(1, _ENTRIES // decoder.config.vocab_size)
    scores: list[TokenLogprobs] = []
    for start in range(0, len(wanted), step):
        tokens = wanted[start : start + step]
        logits = decoder.logits(hidden[start : start + len(tokens)])
        num_top = [work.num_alternatives] * len(tokens)
        scores += token_logprobs(tokens, num_top, logprobs(logits, tokens, work.num_alternatives))
    return tuple(scores)
