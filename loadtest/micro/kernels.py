"""Native CPU kernels against torch, one thread, in turns: products by rows, and attention by context.

Times are the thread's own CPU time, medians; ratios are medians of ratios of neighbours, so that other processes hit
both sides alike. Every product uses another weight than the one before it, more of them than the caches hold.
"""

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import linear

from common.kernels.batch import Batch, Span
from common.kernels.native.library import library
from common.kernels.native.ops import Attention, PackedLinear
from common.kernels.reference.paged_attention import paged_attention
from common.kernels.reference.reach import find_reach
from common.kernels.reference.rope_write import rope_write
from loadtest.micro import _rows
from loadtest.shapes import SHAPES, Shape

ROWS = (1, 4, 8, 16, 32, 64, 512)
CONTEXTS = ((1, 128), (8, 128), (32, 128), (1, 4096), (8, 2048))
CHUNKS = ((0, 512), (1536, 512), (0, 2048))
BLOCK_TOKENS = 16
NUM_ROUNDS = 7

Side = Callable[[], object]


def run(shape: str = "135m") -> list[_rows.Measured]:
    """Prints a line per kernel and size."""
    torch.set_num_threads(1)
    rows = _linears(SHAPES[shape])
    _attention(SHAPES[shape])
    return rows


def _linears(shape: Shape) -> list[_rows.Measured]:
    native = library()
    found: list[_rows.Measured] = []
    if native is None:
        return found
    kv = shape.kv_heads * shape.head_dim
    sizes = [(shape.hidden + 2 * kv, shape.hidden), (shape.hidden, shape.hidden)]
    sizes += [(2 * shape.feed_forward, shape.hidden), (shape.hidden, shape.feed_forward)]
    weights = [torch.randn(size).mul_(0.02).bfloat16() for _ in range(shape.layers) for size in sizes]
    num_bytes = sum(weight.nbytes for weight in weights)
    products = [PackedLinear(native, weight) for weight in weights]
    print("all products of the layers        native              F.linear  ratio   oneDNN packed  ratio")
    for rows in ROWS:
        inputs = {depth: torch.randn(rows, depth).bfloat16() for depth in {depth for _, depth in sizes}}
        reordered = [torch.ops.mkldnn._reorder_linear_weight(weight, rows) for weight in weights]

        def ours(inputs: dict[int, torch.Tensor] = inputs) -> None:
            for weight, product in zip(weights, products, strict=True):
                product(inputs[weight.shape[1]])

        def plain(inputs: dict[int, torch.Tensor] = inputs) -> None:
            for weight in weights:
                linear(inputs[weight.shape[1]], weight)

        def packed(inputs: dict[int, torch.Tensor] = inputs, reordered: list[torch.Tensor] = reordered) -> None:
            for weight, other in zip(weights, reordered, strict=True):
                torch.ops.mkldnn._linear_pointwise(inputs[weight.shape[1]], other, None, "none", [], "")

        own, torchs, onednn = _in_turns((ours, plain, packed), NUM_ROUNDS if rows < 100 else 3)
        rate = f"{num_bytes / own.seconds / 1e9:5.1f} GB/s {num_bytes * rows / own.seconds / 1e9:5.0f} GFLOP/s"
        peers = "".join(f" {side.seconds * 1e3:11.2f} ms  {side.ratio:5.2f}" for side in (torchs, onednn))
        print(f"  {rows:>4} rows {own.seconds * 1e3:10.2f} ms {rate}{peers}", flush=True)
        for name, side in (("F.linear", torchs), ("oneDNN pre-packed", onednn)):
            found.append(_rows.Measured("", f"products of all layers, {rows} rows: {name} / native", (side.ratio,)))
    return found


def _attention(shape: Shape) -> None:
    print("rotation, KV writes and attention of one layer    native      torch reference  ratio")
    for batch, context in CONTEXTS:
        _attend(shape, f"{batch} rows, context {context}", [(context - 1, 1)] * batch)
    for before, now in CHUNKS:
        _attend(shape, f"{now} tokens after {before}", [(before, now)])


def _attend(shape: Shape, name: str, lengths: Sequence[tuple[int, int]]) -> None:
    native = library()
    if native is None:
        return
    per_sequence = -(-sum(lengths[0]) // BLOCK_TOKENS)
    spans = [
        Span([0] * now, before, range(index * per_sequence, (index + 1) * per_sequence))
        for index, (before, now) in enumerate(lengths)
    ]
    batch = Batch.pack(spans, BLOCK_TOKENS)
    # layers apart, as in a step: a layer's blocks are in no cache when it comes to them
    num_layers = max(1, min(shape.layers, (128 << 20) // (per_sequence * len(spans) * _layer_block_bytes(shape))))
    shape_of_pool = (per_sequence * len(spans), num_layers, 2, shape.kv_heads, BLOCK_TOKENS, shape.head_dim)
    pool = torch.randn(shape_of_pool, dtype=torch.bfloat16)
    angles = torch.outer(torch.arange(8192.0), 0.5 ** torch.arange(shape.head_dim // 2))
    rope = angles.cos(), angles.sin()
    attend = Attention(native, shape.heads, rope)
    qkv = torch.randn(batch.num_tokens, (shape.heads + 2 * shape.kv_heads) * shape.head_dim)
    half = qkv.bfloat16()
    cos, sin = (table[batch.positions] for table in rope)

    def ours() -> None:
        for layer in range(num_layers):
            attend(qkv, batch, pool[:, layer : layer + 1])

    def reference() -> None:
        reach = find_reach(batch, pool[:, 0], None)
        for layer in range(num_layers):
            query = rope_write(half, cos, sin, pool[:, layer], batch, None, 1e-5)
            paged_attention(query, pool[:, layer], reach, shape.head_dim**-0.5)

    own, theirs = _in_turns((ours, reference), 3)
    print(
        f"  {name:<36} {own.seconds * 1e3 / num_layers:10.3f} ms {theirs.seconds * 1e3 / num_layers:15.3f} ms"
        f"  {theirs.ratio:5.2f}",
        flush=True,
    )


def _layer_block_bytes(shape: Shape) -> int:
    return 2 * shape.kv_heads * BLOCK_TOKENS * shape.head_dim * 2


class Measured:
    """One side: its median time, and the median of its time over the first side's in the same round."""

    def __init__(self, seconds: Sequence[float], first: Sequence[float]) -> None:
        self.seconds = statistics.median(seconds)
        self.ratio = statistics.median(own / other for own, other in zip(seconds, first, strict=True))


def _in_turns(sides: Sequence[Side], num_rounds: int) -> list[Measured]:
    seconds: list[list[float]] = [[] for _ in sides]
    for round_ in range(num_rounds + 1):
        for side, series in zip(sides, seconds, strict=True):
            began = time.thread_time()
            side()
            if round_:  # the first round is for warming up
                series.append(time.thread_time() - began)
    return [Measured(series, seconds[0]) for series in seconds]
