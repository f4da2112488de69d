"""Which implementation chooses tokens on a device; the reference where Triton is not installed."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import torch

from common.kernels.reference import choose_tokens as reference
from common.kernels.reference.choose_tokens import DeviceDraws

__all__ = ["DeviceDraws", "chooser"]

Choose = Callable[[torch.Tensor, torch.Tensor, DeviceDraws], torch.Tensor]


@cache
def chooser(device: torch.device) -> Choose:
    if device.type != "cuda" or find_spec("triton") is None:
        return reference.choose_tokens
    from common.kernels.choose_tokens import choose_tokens

    return choose_tokens
