"""Small products beside torch's own, weight by weight of an 8B model: what decides where each is used.

Every product reads another weight than the one before it, more of them than the cache holds.
"""

from collections.abc import Iterator

import torch
from torch.nn.functional import linear

from common.kernels.small_linear import SmallLinear
from loadtest.gpu.ceilings import graphed, random_bytes, seconds
from loadtest.gpu.rows import Row

WEIGHTS = {"qkv": (6144, 4096), "o": (4096, 4096), "gate_up": (28672, 4096), "down": (4096, 14336)}
ROWS = (1, 16, 32, 64)
_SPREAD_BYTES = 512 << 20


def product_rows(device: torch.device) -> Iterator[Row]:
    """The ratio is torch's time over ours; what is to be met stands in G1 and G2."""
    small = SmallLinear(device)
    for name, (columns, depth) in WEIGHTS.items():
        copies = max(2, _SPREAD_BYTES // (2 * columns * depth))
        weights = [random_bytes(2 * columns * depth, device).view(columns, depth) for _ in range(copies)]
        for rows in ROWS:
            x = random_bytes(2 * rows * depth, device).view(rows, depth)

            def ours(x: torch.Tensor = x, weights: list[torch.Tensor] = weights) -> None:
                for weight in weights:
                    small(x, weight)

            def torchs(x: torch.Tensor = x, weights: list[torch.Tensor] = weights) -> None:
                for weight in weights:
                    linear(x, weight)

            own, other = (seconds(graphed(side)) / copies for side in (ours, torchs))
            rate = 2 * columns * depth / own / 1e12
            text = f"{own * 1e6:.1f} us, {rate:.2f} TB/s; torch {other * 1e6:.1f} us"
            yield Row("-", f"{name} of 8B, {rows} rows: small_linear, torch's time over it", text, other / own)
