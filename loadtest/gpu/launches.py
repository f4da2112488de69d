"""The launches that are compiled ahead of time: every kernel, for models of the sizes people serve.

Each entry calls a launcher on torch's meta device, which has shapes and no memory.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from common.engine.device_sampler import NUM_TOP
from common.kernels import adjust_logits, copy_blocks, logprobs, token_mask
from common.kernels.add_rms_norm import add_rms_norm
from common.kernels.batch import Batch
from common.kernels.choose_tokens import choose_tokens
from common.kernels.paged_attention import find_reach, paged_attention
from common.kernels.reference.adjust_logits import SeenTokens
from common.kernels.reference.choose_tokens import DeviceDraws
from common.kernels.rms_norm import rms_norm
from common.kernels.rope_write import rope_write
from common.kernels.silu_mul import silu_mul
from common.kernels.small_linear import SmallLinear

FP8 = torch.float8_e4m3fn
_META = torch.device("meta")
_BLOCK_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Model:
    """The proportions that kernels are specialised on."""

    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    inner: int
    qk_norm: bool


MODELS = {
    "llama-8b": Model(32, 8, 128, 4096, 14336, False),
    "qwen3-0.6b": Model(16, 8, 128, 1024, 3072, True),
    "llama-135m": Model(9, 3, 64, 576, 1536, False),
}
_VOCABULARY = 128256


def launches(*only: str) -> dict[str, Callable[[], object]]:
    """By name; `only` are parts of the names wanted, none of them: all."""
    found: dict[str, Callable[[], object]] = {
        "token_mask": _token_mask,
        "copy_blocks": lambda: _copy(False),
        "copy_blocks with checksums": lambda: _copy(True),
        "choose_tokens": _choose,
        "adjust_logits": _adjust,
        "logprobs": _logprobs,
    }
    for name, model in MODELS.items():
        found |= {
            f"row ops, {name}": lambda model=model: _row_ops(model),  # type: ignore[misc]
            f"products of 1 row, {name}": lambda model=model: _products(model, 1),  # type: ignore[misc]
            f"products of 64 rows, {name}": lambda model=model: _products(model, 64),  # type: ignore[misc]
        }
        for kv, dtype in (("bf16", torch.bfloat16), ("fp8", FP8)):
            found[f"decode, {name}, {kv} KV"] = lambda model=model, dtype=dtype: _decode(model, dtype)  # type: ignore[misc]
            found[f"chunk, {name}, {kv} KV"] = lambda model=model, dtype=dtype: _chunk(model, dtype)  # type: ignore[misc]
    return {name: launch for name, launch in found.items() if not only or any(part in name for part in only)}


def _empty(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device=_META)


def _ids(*shape: int) -> torch.Tensor:
    return _empty(*shape, dtype=torch.int64)


def _floats(*shape: int) -> torch.Tensor:
    return _empty(*shape, dtype=torch.float32)


def _batch(q_lens: tuple[int, ...], kv_len: int, num_decode: int) -> Batch:
    tokens, rows = sum(q_lens), len(q_lens)
    return Batch(
        token_ids=_ids(tokens),
        positions=_ids(tokens),
        slot_blocks=_ids(tokens),
        slot_offsets=_ids(tokens),
        query_starts=_ids(rows + 1),
        kv_lens=_ids(rows),
        block_tables=_ids(rows, 512),
        q_lens=q_lens,
        host_kv_lens=(kv_len,) * rows,
        num_decode=num_decode,
    )


def _layer(model: Model, dtype: torch.dtype) -> torch.Tensor:
    return _empty(1000, 32, 2, model.kv_heads, _BLOCK_TOKENS, model.head_dim, dtype=dtype)[:, 0]


def _decode(model: Model, dtype: torch.dtype) -> None:
    batch, cache = _batch((1,) * 64, 1, 64), _layer(model, dtype)
    qkv = _empty(64, (model.heads + 2 * model.kv_heads) * model.head_dim)
    norms = _empty(2, model.head_dim) if model.qk_norm else None
    angles = _floats(64, model.head_dim // 2)
    query = rope_write(qkv, angles, angles, cache, batch, norms, 1e-6)
    paged_attention(query, cache, find_reach(batch, cache, None), 0.1)


def _chunk(model: Model, dtype: torch.dtype) -> None:
    batch, cache = _batch((512,), 2048, 0), _layer(model, dtype)
    query = _empty(512, model.heads + 2 * model.kv_heads, model.head_dim)[:, : model.heads]
    paged_attention(query, cache, find_reach(batch, cache, None), 0.1)


def _row_ops(model: Model) -> None:
    x, weight = _empty(64, model.hidden), _empty(model.hidden)
    rms_norm(x, weight, 1e-6)
    add_rms_norm(x, x, weight, 1e-6)
    silu_mul(_empty(64, 2 * model.inner))


def _products(model: Model, rows: int) -> None:
    linear = SmallLinear(_META)
    linear(_empty(rows, model.hidden), _empty(2 * model.inner, model.hidden))
    linear(_empty(rows, model.inner), _empty(model.hidden, model.inner), _empty(model.hidden))


def _copy(summed: bool) -> None:
    pool, staged, blocks = _empty(1000, 1 << 20), _empty(128, 1 << 20), _ids(128)
    sums = _ids(128) if summed else None
    copy_blocks.gather_blocks(pool, blocks, staged, sums)
    copy_blocks.scatter_blocks(staged, pool, blocks, sums)
    copy_blocks.copy_blocks(pool, blocks, pool, blocks, sums)


def _token_mask() -> None:
    words = _empty(8, -(-_VOCABULARY // 32), dtype=torch.int32)
    token_mask.token_mask(_floats(64, _VOCABULARY), _ids(8), words)


def _choose() -> None:
    each = _floats(64)
    top_k, keys = _empty(64, dtype=torch.int32), _empty(64, 2, dtype=torch.int32)
    choose_tokens(_floats(64, _VOCABULARY), _ids(64), DeviceDraws(each, top_k, each, each, keys))


def _adjust() -> None:
    logits, places, values = _floats(64, _VOCABULARY), _ids(1000), _floats(1000)
    adjust_logits.add_bias(logits, places, places, values)
    adjust_logits.penalise(logits, SeenTokens(places, places, *(values for _ in range(4))))
    adjust_logits.exclude(logits, places, places)


def _logprobs() -> None:
    for num_top in NUM_TOP:
        logprobs.logprobs(_floats(8, _VOCABULARY), _ids(8), num_top)
