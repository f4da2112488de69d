"""In bfloat16 logits are no further from float32's than those of transformers' own bfloat16, native kernels computing.

All three sides have the same weights, rounded to bfloat16: what differs is how they are computed with. Ours come in
chunks with a prefix behind them and then token by token, in a batch; theirs in one piece, and token by token too.
"""

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from common.kernels.batch import Batch, Span
from common.kernels.native.library import library
from common.models.decoder import Decoder
from loadtest import shapes
from loadtest.shapes import Shape, random_model
from tests.models.loop import poisoned_pool, random_prompts
from tests.tiny import _transformers, tiny_model

DEEP = Shape(576, 1536, 30, 9, 3, 2048)
"""Layers, heads and widths of the model of 135 million parameters; a smaller vocabulary, so that a test can hold it."""
BLOCK_TOKENS = 16
PROMPT, ANSWER = 150, 12
WHOLE, CHUNKED = (PROMPT,), (64, 17, 69)
TINY = ("llama", "llama-3to1", "llama-biased", "mistral-window", "qwen2", "qwen3-8to1")

pytestmark = pytest.mark.skipif(library() is None, reason="no native kernels on this machine")


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(shapes.SHAPES, "deep", DEEP)
        return random_model("deep", tmp_path_factory.mktemp("shapes"))


@functools.lru_cache(maxsize=1)
def peer(folder: Path) -> Any:
    return _transformers().AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()


@functools.lru_cache(maxsize=1)
def exact(folder: Path) -> Any:
    """The same rounded weights; everything else in float32."""
    return copy.deepcopy(peer(folder)).float()


@torch.inference_mode()
def whole(model: Any, tokens: list[list[int]]) -> torch.Tensor:
    """`[B, T, vocab]`: prompts in one piece, answers token by token."""
    ids = torch.tensor(tokens)
    out = model(ids[:, :PROMPT], use_cache=True)
    logits, cache = [out.logits.float()], out.past_key_values
    for place in range(PROMPT, PROMPT + ANSWER):
        out = model(ids[:, place : place + 1], past_key_values=cache, use_cache=True)
        logits.append(out.logits.float())
    return torch.cat(logits, dim=1)


def ours(decoder: Decoder, tokens: list[list[int]], chunks: tuple[int, ...]) -> torch.Tensor:
    """The same by our steps: each prompt in these chunks, then a token of every sequence at a time."""
    per_sequence = -(-(PROMPT + ANSWER) // BLOCK_TOKENS)
    pool = poisoned_pool(decoder, per_sequence * len(tokens), BLOCK_TOKENS)
    blocks = [list(range(place, per_sequence * len(tokens), len(tokens))) for place in range(len(tokens))]
    prompts = []
    for row, table in zip(tokens, blocks, strict=True):
        start, parts = 0, []
        for size in chunks:
            batch = Batch.pack([Span(row[start : start + size], start, table)], BLOCK_TOKENS)
            parts.append(decoder.logits(decoder.forward(batch, pool)))
            start += size
        prompts.append(torch.cat(parts))
    logits = [torch.stack(prompts)]
    for place in range(PROMPT, PROMPT + ANSWER):
        batch = Batch.pack(
            [Span([row[place]], place, table) for row, table in zip(tokens, blocks, strict=True)], BLOCK_TOKENS
        )
        logits.append(decoder.logits(decoder.forward(batch, pool)).unsqueeze(1))
    return torch.cat(logits, dim=1)


def compare(folder: Path, num_sequences: int, chunks: tuple[int, ...]) -> dict[str, float]:
    """Our error over theirs, for prompts and answers apart: of the mean and of the greatest difference."""
    decoder = Decoder.load(folder, "bfloat16")
    tokens = random_prompts(decoder.config.vocab_size, [PROMPT + ANSWER] * num_sequences, seed=num_sequences)
    expected = whole(exact(folder), tokens)
    own = (ours(decoder, tokens, chunks) - expected).abs()
    theirs = (whole(peer(folder), tokens) - expected).abs()
    found = {}
    for name, part in (("prompt", slice(0, PROMPT)), ("answer", slice(PROMPT, None))):
        found[f"{name} mean"] = float(own[:, part].mean() / theirs[:, part].mean())
        found[f"{name} most"] = float(own[:, part].max() / theirs[:, part].max())
    return found


@pytest.mark.parametrize(("num_sequences", "chunks"), [(1, CHUNKED), (4, WHOLE), (4, CHUNKED)])
def test_a_deep_model_is_closer_to_float32_than_transformers_bfloat16(
    deep: Path, num_sequences: int, chunks: tuple[int, ...]
) -> None:
    found = compare(deep, num_sequences, chunks)
    assert max(found.values()) <= 1.0, found


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("num_sequences", [1, 4])
def test_other_shapes_are_too(name: str, num_sequences: int) -> None:
    found = compare(tiny_model(name), num_sequences, CHUNKED)
    assert max(found.values()) <= 1.0, found
