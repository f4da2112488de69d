"""The gate of a gated feed-forward block."""

import torch
import triton
import triton.language as tl

from common.kernels.launch import launch_of


@triton.jit
def silu_mul_kernel(
    gate_up: tl.tensor,
    out: tl.tensor,
    num_columns: tl.tensor,
    gate_up_stride: tl.tensor,
    TILE: tl.constexpr,
) -> None:
    """A program takes a tile of one row; a row of `out` follows the one before it."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = columns < num_columns
    place = gate_up + row * gate_up_stride + columns
    gate = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(place + num_columns, mask=inside, other=0.0).to(tl.float32)
    gated = gate / (1.0 + tl.exp(-gate)) * up
    tl.store(out + row * num_columns + columns, gated.to(out.dtype.element_ty), mask=inside)


def silu_mul(gate_up: torch.Tensor) -> torch.Tensor:
    """`[T, 2 N] -> [T, N]`: the first half, through silu, times the second."""
    num_rows, num_columns = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty(num_rows, num_columns, dtype=gate_up.dtype, device=gate_up.device)
    launch = launch_of("silu_mul", gate_up.device)
    if gate_up.stride(1) != 1:
        raise ValueError("the elements of a row must lie side by side")
    if num_rows:
        silu_mul_kernel[(num_rows, triton.cdiv(num_columns, launch.tile))](
            *(gate_up, out, num_columns, gate_up.stride(0)), TILE=launch.tile, **launch.options
        )
    return out
