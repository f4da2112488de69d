"""Each native op on its own, over tensors: what tests check against the reference and micro-benchmarks measure.

A step does not come this way: `stack.py` runs all of it in one call.
"""

import ctypes

import torch

from common.kernels.batch import Batch
from common.kernels.logits import RowMasks
from common.kernels.native.packed import DTYPES, PackedWeights, Unpacked
from common.kernels.native.structs import Heads, Pool, Step
from common.kernels.native.team import Team

Tensor = torch.Tensor


def step_of(batch: Batch) -> Step:
    """Points into the batch's tensors; valid as long as they live."""
    tables = batch.block_tables
    if tables.stride(1) != 1:
        raise ValueError("a sequence's blocks must lie one after the other")
    fields = (batch.token_ids, batch.positions, batch.slot_blocks, batch.slot_offsets, batch.query_starts)
    pointers = [tensor.data_ptr() for tensor in (*fields, batch.kv_lens, tables)]
    wanted = None if batch.wanted is None else batch.wanted.data_ptr()
    sizes = batch.num_tokens, batch.num_sequences, batch.num_decode
    return Step(*sizes, *pointers, tables.stride(0), batch.num_wanted, wanted)


def pool_of(kv: Tensor) -> Pool:
    """`kv` is `[blocks, layers, 2, kv_heads, block_tokens, D]`; heads must be without gaps inside a block."""
    if kv.stride(5) != 1 or kv.stride(4) != kv.shape[5]:
        raise ValueError("a head's tokens must lie one after the other")
    block, layer, half, head = kv.stride()[:4]
    return Pool(kv.data_ptr(), len(kv), block, layer, half, head, kv.shape[4])


def rms_norm(library: ctypes.CDLL, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """`[T, N]` float32, rows at any stride, `[N]` float32 -> `[T, N]` in bfloat16 or float32."""
    out = torch.full(x.shape, torch.nan, dtype=dtype)
    library.baton_rms_norm(
        DTYPES[dtype], x.data_ptr(), x.stride(0), len(x), weight.data_ptr(), x.shape[1], eps, out.data_ptr()
    )
    return out


def silu_mul(library: ctypes.CDLL, gate: Tensor, up: Tensor) -> Tensor:
    """`[N]`, `[N]` float32 -> `[N]`."""
    out = torch.full(gate.shape, torch.nan)
    library.baton_silu_mul(gate.data_ptr(), up.data_ptr(), gate.numel(), out.data_ptr())
    return out


class PackedLinear:
    """One product with a packed copy of a weight."""

    def __init__(self, library: ctypes.CDLL, weight: Tensor, bias: Tensor | None = None) -> None:
        self._library = library
        self._team = Team(library)
        self._packed = PackedWeights(library, [Unpacked(weight, bias, shared=True)])
        self._dtype = weight.dtype

    def __call__(self, x: Tensor) -> Tensor:
        """`[T, depth] -> [T, columns]` float32; `x` is bfloat16 for such weights, otherwise float32."""
        return self.ranked(x)[0]

    def ranked(self, x: Tensor, masks: RowMasks | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The same, and the place `[T]` int64 and value `[T]` of each row's highest entry, under its mask."""
        [shape] = self._packed.linears
        out = torch.full((len(x), shape.columns), torch.nan)
        best, peaks = torch.full((len(x),), -1), torch.full((len(x),), torch.nan)
        arguments = x.data_ptr(), x.stride(0), len(x), ctypes.byref(shape), out.data_ptr()
        masked = masks.pointers(len(x), shape.columns) if masks is not None else None
        pointers = best.data_ptr(), peaks.data_ptr(), masked.ctypes.data if masked is not None else None
        self._library.baton_linear(self._team.pointer(), DTYPES[self._dtype], *arguments, *pointers)
        return out, best, peaks


class Attention:
    """Norm and rotation of queries and keys, KV written, and attention, for layers with one window."""

    def __init__(
        self,
        library: ctypes.CDLL,
        num_heads: int,
        rope: tuple[Tensor, Tensor],
        window: int | None = None,
        qk_norm: Tensor | None = None,
        eps: float = 1e-6,
    ) -> None:
        self._library = library
        self._team = Team(library)
        self._num_heads = num_heads
        self._kept = (*rope, qk_norm)
        self._window = window or 0
        self._eps = eps

    def __call__(self, qkv: Tensor, batch: Batch, kv: Tensor) -> Tensor:
        """`qkv` is `[T, (heads + 2 kv_heads) D]` float32 and is overwritten; `kv` a pool of which layer 0 is used."""
        cos, sin, qk_norm = self._kept
        head_dim, dtype = kv.shape[5], kv.dtype
        pointers = (qk_norm.data_ptr() if qk_norm is not None else None), cos.data_ptr(), sin.data_ptr()
        heads = Heads(self._num_heads, kv.shape[3], head_dim, self._window, head_dim**-0.5, self._eps, *pointers)
        width = self._num_heads * head_dim
        out = torch.full((len(qkv), width), torch.nan, dtype=dtype if dtype == torch.bfloat16 else torch.float32)
        step, pool = step_of(batch), pool_of(kv)
        self._library.baton_attend(
            self._team.pointer(),
            DTYPES[dtype],
            *(qkv.data_ptr(), qkv.stride(0), ctypes.byref(step), ctypes.byref(heads), ctypes.byref(pool)),
            *(out.data_ptr(), width),
        )
        return out
