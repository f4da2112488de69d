"""Root-mean-square norm of each row, with or without the residual sum before it."""

import torch
import triton
import triton.language as tl

from common.kernels.launch import options, power_of_two


@triton.jit
def rms_norm_kernel(
    x: tl.tensor,
    residual: tl.tensor,
    weight: tl.tensor,
    out: tl.tensor,
    num_columns: tl.tensor,
    x_stride: tl.tensor,
    residual_stride: tl.tensor,
    out_stride: tl.tensor,
    eps: tl.tensor,
    COLUMNS: tl.constexpr,
    ADD: tl.constexpr,
) -> None:
    """One program per row. With ADD the sum is rounded and stored before it is normed, as the reference does."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, COLUMNS)
    inside = columns < num_columns
    values = tl.load(x + row * x_stride + columns, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        place = residual + row * residual_stride + columns
        total = (values + tl.load(place, mask=inside, other=0.0).to(tl.float32)).to(residual.dtype.element_ty)
        tl.store(place, total, mask=inside)
        values = total.to(tl.float32)
    scale = 1.0 / tl.sqrt_rn(tl.sum(values * values, axis=0) / num_columns + eps)
    weights = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    normed = (values * scale * weights).to(out.dtype.element_ty)
    tl.store(out + row * out_stride + columns, normed, mask=inside)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """`[..., N]`, `[N] -> [..., N]`; the mean is taken in float32 whatever the dtype."""
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    launch_rms_norm(x.reshape(-1, x.shape[-1]), None, weight, out.view(-1, x.shape[-1]), eps)
    return out


def launch_rms_norm(
    x: torch.Tensor, residual: torch.Tensor | None, weight: torch.Tensor, out: torch.Tensor, eps: float
) -> None:
    """Rows at any stride; the elements of a row lie side by side."""
    num_rows, num_columns = x.shape
    columns = power_of_two(num_columns)
    other = x if residual is None else residual
    if x.stride(1) != 1 or other.stride(1) != 1 or weight.stride(0) != 1:
        raise ValueError("the elements of a row must lie side by side")
    if num_rows:
        rms_norm_kernel[(num_rows,)](
            *(x, other, weight, out, num_columns, x.stride(0), other.stride(0), out.stride(0), eps),
            COLUMNS=columns,
            ADD=residual is not None,
            **options(num_warps_for(columns)),
        )


def num_warps_for(columns: int) -> int:
    """Sixteen elements a thread, within what a program can have."""
    return min(max(columns // 512, 1), 16)
