"""Products of a few rows with a large weight, whose whole cost is reading the weight once.

The weight's tiles form one line, which is cut into equal stretches for programs that stay resident: no width or depth
leaves a processor idle. An output tile that several programs share is put together by whichever of them comes last.
"""

import torch
import triton
import triton.language as tl
from torch.nn.functional import linear

from common.kernels.launch import Launch, launch_of, num_processors, options, power_of_two

# Above this many rows the product is bound by arithmetic, and torch's library is better at that.
MAX_ROWS = 64
_NARROW = 16
_MAX_TILES = 1 << 14


@triton.jit(do_not_specialize=["num_rows", "size"])
def small_linear_kernel(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    parts: tl.tensor,
    arrived: tl.tensor,
    num_rows: tl.tensor,
    num_columns: tl.tensor,
    depth: tl.tensor,
    x_stride: tl.tensor,
    weight_stride: tl.tensor,
    out_stride: tl.tensor,
    size: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    STAGES: tl.constexpr,
    EVEN: tl.constexpr,
    BIAS: tl.constexpr,
) -> None:
    """Outputs are kept turned, `[COLUMNS, ROWS]`: matrix units want the wide side first."""
    program = tl.program_id(0)
    steps = tl.cdiv(depth, DEPTH)
    at = program * size
    end = tl.minimum(at + size, tl.cdiv(num_columns, COLUMNS) * steps)
    row, offset, lane = tl.arange(0, ROWS), tl.arange(0, COLUMNS), tl.arange(0, DEPTH)
    own = row < num_rows
    place = offset[:, None] * ROWS + row[None, :]
    while at < end:
        tile = at // steps
        first_step = at - tile * steps
        count = tl.minimum(steps - first_step, end - at)
        column = tile * COLUMNS + offset
        weights_at = weight + column.to(tl.int64)[:, None] * weight_stride + lane[None, :]
        rows_at = x + row.to(tl.int64)[:, None] * x_stride + lane[None, :]
        total = tl.zeros([COLUMNS, ROWS], tl.float32)
        for step in tl.range(first_step, first_step + count, num_stages=STAGES):
            if EVEN:
                weights = tl.load(weights_at + step * DEPTH, eviction_policy="evict_first")
                rows = tl.load(rows_at + step * DEPTH, mask=own[:, None], other=0.0)
            else:
                inside = step * DEPTH + lane < depth
                known = (column < num_columns)[:, None] & inside[None, :]
                weights = tl.load(weights_at + step * DEPTH, mask=known, other=0.0)
                rows = tl.load(rows_at + step * DEPTH, mask=own[:, None] & inside[None, :], other=0.0)
            total = tl.dot(weights, tl.trans(rows), total, input_precision="ieee")

        whole = count == steps
        if not whole:
            slot = 2 * program + tl.where(at == program * size, 0, 1)
            tl.store(parts + slot * (COLUMNS * ROWS) + place, total)
            # every thread's part is stored before one of them says so, and read after one has heard of it
            tl.debug_barrier()
            first = tile * steps // size
            last = (tile * steps + steps - 1) // size
            whole = tl.atomic_add(arrived + tile, 1, sem="acq_rel") == last - first
            if whole:
                tl.debug_barrier()
                total = tl.zeros([COLUMNS, ROWS], tl.float32)
                for other in range(first, last + 1):
                    begun = tl.where((other == first) & (tile * steps % size != 0), 1, 0)
                    total += tl.load(parts + (2 * other + begun) * (COLUMNS * ROWS) + place, cache_modifier=".cg")
                tl.store(arrived + tile, 0)
        if whole:
            inside = column < num_columns
            if BIAS:
                total += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)[:, None]
            target = out + row.to(tl.int64)[None, :] * out_stride + column[:, None]
            tl.store(target, total.to(out.dtype.element_ty), mask=inside[:, None] & own[None, :])
        at += count


class SmallLinear:
    """Products on one device, one after the other: what it counts between its programs serves one launch at a time."""

    def __init__(self, device: torch.device, max_rows: int = MAX_ROWS) -> None:
        self._arrived = torch.zeros(_MAX_TILES, dtype=torch.int32, device=device)
        self._max_rows = max_rows

    def __call__(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """`[T, K]`, `[N, K]`, `[N] -> [T, N]`; summed in float32."""
        num_rows, num_columns = len(x), len(weight)
        launch = launch_of("small_linear" if num_rows <= _NARROW else "small_linear_wide", x.device)
        tiles = triton.cdiv(num_columns, launch.tile)
        plain = x.dim() == 2 and x.stride(1) == 1 and weight.stride(1) == 1 and tiles <= _MAX_TILES
        if not (plain and 0 < num_rows <= self._max_rows and (x.dtype != torch.float32 or x.device.type == "cpu")):
            return linear(x, weight, bias)
        return self._launch(x, weight, bias, launch)

    def _launch(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, launch: Launch) -> torch.Tensor:
        (num_rows, depth), num_columns = x.shape, len(weight)
        rows = power_of_two(num_rows, _NARROW)
        step = launch.depth
        num_units = triton.cdiv(num_columns, launch.tile) * triton.cdiv(depth, step)
        size = max(triton.cdiv(num_units, num_processors(x.device) * launch.resident), 1)
        programs = triton.cdiv(num_units, size)
        out = torch.empty(num_rows, num_columns, dtype=x.dtype, device=x.device)
        parts = torch.empty(programs, 2, launch.tile, rows, device=x.device)
        small_linear_kernel[(programs,)](
            *(x, weight, weight if bias is None else bias, out, parts, self._arrived, num_rows, num_columns, depth),
            *(x.stride(0), weight.stride(0), out.stride(0), size),
            ROWS=rows,
            COLUMNS=launch.tile,
            DEPTH=step,
            STAGES=launch.stages,
            EVEN=num_columns % launch.tile == 0 and depth % step == 0,
            BIAS=bias is not None,
            **options(launch.warps, launch.stages),
        )
        return out
