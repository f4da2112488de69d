"""Attention of whole prompts by each of torch's kernels: how fast, and what the first prompt of a new length costs.

It decides the order in `common/kernels/dense_attention.py`: a kernel that is planned for every length anew stalls the
whole engine for whoever brings one.
"""

import time
from collections.abc import Callable, Iterator

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from loadtest.gpu.ceilings import seconds
from loadtest.gpu.rows import Row

HEADS, KV_HEADS, HEAD_DIM = 32, 8, 128
TOKENS = 2048
NUM_NEW = 5
KERNELS = {"flash": SDPBackend.FLASH_ATTENTION, "cuDNN": SDPBackend.CUDNN_ATTENTION}


def dense_rows(device: torch.device) -> Iterator[Row]:
    what = f"attention of a prompt of {TOKENS} tokens in one layer of 8B"
    for name, backend in KERNELS.items():
        try:
            with sdpa_kernel(backend), torch.inference_mode():
                usual = _prompt(TOKENS, device)
                usual()
                new = min(_first(_prompt(TOKENS - 17 * number, device), device) for number in range(1, NUM_NEW + 1))
                again = seconds(usual)
        except RuntimeError as error:
            yield Row("-", f"{what}, {name}", f"not here: {(str(error).splitlines() or [''])[0][:80]}")
        else:
            yield Row("-", f"{what}, {name}", f"{again * 1e6:.0f} us; the first of a new length {new * 1e3:.1f} ms")


def _first(prompt: Callable[[], object], device: torch.device) -> float:
    """On the host's clock, the device being idle before."""
    _settle(device)
    began = time.perf_counter()
    prompt()
    _settle(device)
    return time.perf_counter() - began


def _prompt(tokens: int, device: torch.device) -> Callable[[], object]:
    """As the projection leaves it: queries, keys and values of a token side by side."""
    shape = tokens, HEADS + 2 * KV_HEADS, HEAD_DIM
    qkv = torch.randn(shape, dtype=torch.bfloat16, device=device).transpose(0, 1)[None]
    query, key, value = qkv[:, :HEADS], qkv[:, HEADS:-KV_HEADS], qkv[:, -KV_HEADS:]
    return lambda: scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
