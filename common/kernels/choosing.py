"""Which implementations change logits and choose tokens on a device; the references where Triton is not installed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import torch

from common.kernels.reference import adjust_logits, choose_tokens, device_logprobs, token_mask
from common.kernels.reference.adjust_logits import SeenTokens
from common.kernels.reference.choose_tokens import DeviceDraws
from common.kernels.reference.device_logprobs import DeviceLogprobs

__all__ = ["Choosing", "DeviceDraws", "DeviceLogprobs", "SeenTokens", "choosing"]

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Choosing:
    """One function per op; what each computes is said where its reference stands."""

    token_mask: Callable[[Tensor, Tensor, Tensor], None]
    add_bias: Callable[[Tensor, Tensor, Tensor, Tensor], None]
    penalise: Callable[[Tensor, SeenTokens], None]
    exclude: Callable[[Tensor, Tensor, Tensor], None]
    choose_tokens: Callable[[Tensor, Tensor, DeviceDraws], Tensor]
    logprobs: Callable[[Tensor, Tensor, int], DeviceLogprobs]


REFERENCE = Choosing(
    token_mask.token_mask,
    adjust_logits.add_bias,
    adjust_logits.penalise,
    adjust_logits.exclude,
    choose_tokens.choose_tokens,
    device_logprobs.logprobs,
)


@cache
def choosing(device: torch.device) -> Choosing:
    if device.type != "cuda" or find_spec("triton") is None:
        return REFERENCE
    return triton_choosing()


def triton_choosing() -> Choosing:
    from common.kernels import adjust_logits, choose_tokens, logprobs, token_mask

    return Choosing(
        token_mask.token_mask,
        adjust_logits.add_bias,
        adjust_logits.penalise,
        adjust_logits.exclude,
        choose_tokens.choose_tokens,
        logprobs.logprobs,
    )
