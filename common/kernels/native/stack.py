"""All layers of a decoder in one native call: what `Decoder.forward` does with the reference ops, op by op.

Owns the packed weights and the memory a step works in. Knows nothing of configurations or files.
"""

import ctypes
import weakref
from collections.abc import Sequence
from ctypes import byref
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from common.kernels.batch import Batch
from common.kernels.logits import Logits, RowMasks
from common.kernels.native.ops import pool_of, step_of
from common.kernels.native.packed import DTYPES, PANEL, PackedWeights, Unpacked
from common.kernels.native.structs import Layer, Model
from common.kernels.native.team import Team

MAX_HEAD_DIM = 256
MAX_GROUP = 64


class LayerWeights(Protocol):
    """As a model's parameters name them; `qkv` and `gate_up` are fused."""

    @property
    def attention_norm(self) -> torch.Tensor: ...
    @property
    def qkv(self) -> torch.Tensor: ...
    @property
    def qkv_bias(self) -> torch.Tensor | None: ...
    @property
    def qk_norm(self) -> torch.Tensor | None: ...
    @property
    def o(self) -> torch.Tensor: ...
    @property
    def o_bias(self) -> torch.Tensor | None: ...
    @property
    def mlp_norm(self) -> torch.Tensor: ...
    @property
    def gate_up(self) -> torch.Tensor: ...
    @property
    def gate_up_bias(self) -> torch.Tensor | None: ...
    @property
    def down(self) -> torch.Tensor: ...
    @property
    def down_bias(self) -> torch.Tensor | None: ...


@dataclass(frozen=True, slots=True)
class StackShape:
    """What the tensors do not say by themselves. A window per layer, None where a layer sees everything."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    eps: float
    windows: tuple[int | None, ...]

    def supports(self, hidden_size: int, intermediate_size: int) -> bool:
        """Whether the native code was written for it."""
        group = self.num_heads // self.num_kv_heads
        even = self.head_dim % 2 == hidden_size % 2 == intermediate_size % 2 == 0
        return even and self.head_dim <= MAX_HEAD_DIM and group <= MAX_GROUP


class Ranking:
    """Where a product leaves logits and the best of each row, and room for the rows it begins with."""

    def __init__(self, num_rows: int, vocab: int, hidden: int, hidden_dtype: torch.dtype) -> None:
        values = torch.empty(num_rows, vocab)
        self._rows = torch.empty(num_rows, hidden, dtype=hidden_dtype)
        self.rows_pointer = self._rows.data_ptr()
        best, peaks = np.empty(num_rows, dtype=np.int64), np.empty(num_rows, dtype=np.float32)
        self.num_rows = num_rows
        self.logits = Logits(values, best, peaks)
        self.pointers = values.data_ptr(), best.ctypes.data, peaks.ctypes.data


class NativeStack:
    """One thread uses it. The weights it is given are emptied, except for the embedding and a head tied to it."""

    def __init__(
        self,
        library: ctypes.CDLL,
        shape: StackShape,
        layers: Sequence[LayerWeights],
        norm: torch.Tensor,
        embedding: torch.Tensor,
        head: torch.Tensor,
        rope: tuple[torch.Tensor, torch.Tensor],
    ) -> None:
        self._library = library
        self._team = Team(library)
        self._dtype = embedding.dtype
        self._hidden_dtype = torch.bfloat16 if self._dtype == torch.bfloat16 else torch.float32
        self._kept = [embedding, *rope]
        weights = [item for layer in layers for item in _unpacked(layer)]
        weights.append(Unpacked(head, shared=head.data_ptr() == embedding.data_ptr()))
        self._packed = PackedWeights(library, weights)
        *linears, self._head = self._packed.linears
        self._layers = (Layer * len(layers))(
            *(
                Layer(
                    self._floats(layer.attention_norm),
                    self._floats(layer.mlp_norm),
                    self._floats(layer.qk_norm) if layer.qk_norm is not None else None,
                    window or 0,
                    *linears[4 * index : 4 * index + 4],
                )
                for index, (layer, window) in enumerate(zip(layers, shape.windows, strict=True))
            )
        )
        self._model = Model(
            dtype=DTYPES[self._dtype],
            num_layers=len(layers),
            hidden=embedding.shape[1],
            inner=linears[3].depth,
            num_heads=shape.num_heads,
            num_kv_heads=shape.num_kv_heads,
            head_dim=shape.head_dim,
            vocab=embedding.shape[0],
            eps=shape.eps,
            scale=shape.head_dim**-0.5,
            layers=self._layers,
            norm=self._floats(norm),
            embedding=embedding.data_ptr(),
            cos=rope[0].data_ptr(),
            sin=rope[1].data_ptr(),
            num_positions=len(rope[0]),
        )
        self._pointer = library.baton_stack_new(byref(self._model))
        self._hidden, self._vocab = embedding.shape[1], embedding.shape[0]
        self._kv: weakref.ref[torch.Tensor] | None = None
        self._batch: Batch | None = None
        self._ranking = self._room(0)
        weakref.finalize(self, library.baton_stack_free, self._pointer).atexit = False  # as in `team.py`

    def forward(self, batch: Batch, kv: torch.Tensor) -> torch.Tensor:
        """`[R, hidden_size]`, the wanted rows, normed: bfloat16 for such weights, otherwise float32."""
        out = torch.empty(batch.num_wanted, self._hidden, dtype=self._hidden_dtype)
        self._run(batch, kv, out.data_ptr(), None, None, None, None)
        return out

    def forward_ranked(self, batch: Batch, kv: torch.Tensor) -> Logits:
        """Both in one call, in memory that the next one uses again."""
        to = self._ranking = self._ranking_of(batch.num_wanted)
        self._run(batch, kv, to.rows_pointer, byref(self._head), *to.pointers)
        return to.logits

    def _run(self, batch: Batch, kv: torch.Tensor, *to: object) -> None:
        if self._kv is None or kv is not self._kv():
            if kv.dtype != self._dtype:
                raise ValueError("the pool has another dtype than the weights")
            self._kv, self._pool = weakref.ref(kv), pool_of(kv)
        if self._batch is not None and _same_tensors(batch, self._batch):
            team = self._team.last
        else:
            team, self._step = self._team.pointer(), step_of(batch)
        self._batch = batch
        if self._library.baton_stack_forward(self._pointer, team, byref(self._step), byref(self._pool), *to):
            raise IndexError("the batch names a token, a position, a row or a block that does not exist")

    def logits(self, rows: torch.Tensor) -> Logits:
        """`[R, hidden_size] -> [R, vocab_size]` float32, and the best of each row."""
        return self._rank(rows, self._room(len(rows)))

    def ranked(self, rows: torch.Tensor, masks: RowMasks | None = None) -> Logits:
        """The same in memory that the next call uses again, some rows under their masks."""
        self._ranking = self._ranking_of(len(rows))
        return self._rank(rows, self._ranking, masks)

    def _ranking_of(self, num_rows: int) -> Ranking:
        """That of the last call, where it had as many rows."""
        return self._ranking if num_rows == self._ranking.num_rows else self._room(num_rows)

    def _room(self, num_rows: int) -> Ranking:
        return Ranking(num_rows, self._vocab, self._hidden, self._hidden_dtype)

    def _rank(self, rows: torch.Tensor, to: Ranking, masks: RowMasks | None = None) -> Logits:
        rows = rows.contiguous()
        masked = None if masks is None else masks.pointers(to.num_rows, self._vocab)
        self._library.baton_linear(
            self._team.pointer(), DTYPES[self._dtype], rows.data_ptr(), self._hidden, to.num_rows, byref(self._head),
            *to.pointers, None if masked is None else masked.ctypes.data,
        )  # fmt: skip
        return to.logits

    def _floats(self, tensor: torch.Tensor) -> int:
        """A float32 copy that lives as long as this, padded so that it can be read sixteen at a time."""
        flat = tensor.float().reshape(-1)
        copy = torch.nn.functional.pad(flat, (0, -len(flat) % PANEL)).contiguous()
        self._kept.append(copy)
        return copy.data_ptr()


def _same_tensors(batch: Batch, other: Batch) -> bool:
    """Most decode steps are the one before with its tensors moved on in place: pointers to them stay good."""
    return (
        batch.token_ids is other.token_ids
        and batch.positions is other.positions
        and batch.slot_blocks is other.slot_blocks
        and batch.slot_offsets is other.slot_offsets
        and batch.query_starts is other.query_starts
        and batch.kv_lens is other.kv_lens
        and batch.block_tables is other.block_tables
        and batch.wanted is other.wanted
        and batch.num_decode == other.num_decode
    )


def _unpacked(layer: LayerWeights) -> tuple[Unpacked, ...]:
    return (
        Unpacked(layer.qkv, layer.qkv_bias),
        Unpacked(layer.o, layer.o_bias),
        Unpacked(layer.gate_up, layer.gate_up_bias, paired=True),
        Unpacked(layer.down, layer.down_bias),
    )
