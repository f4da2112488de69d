"""A chunk's attention: what a row finds is its own, whatever it is computed beside, and however far scores reach."""

from itertools import pairwise

import pytest
import torch

from common.kernels.batch import Batch, Span
from common.kernels.native.ops import Attention
from tests.kernels.native.compiled import compiled, every_level
from tests.kernels.native.test_attention import ODD, SHAPES, Scene

LENGTH = 300
CUTS = (0, 129, 136, 141, LENGTH)
# scores of the second have a spread of 36: bases are raised again and again, in the middle of tiles
SPREADS = (1, 6)


def attend_in_chunks(
    level: str,
    shape: tuple[int, int, int, int],
    dtype: torch.dtype,
    window: int | None,
    spread: int,
    cuts: tuple[int, ...],
) -> tuple[torch.Tensor, torch.Tensor]:
    """All rows and the pool, computed from cut to cut."""
    scene = Scene(((0, LENGTH),), shape, dtype)
    attend = Attention(compiled(level), scene.num_heads, scene.rope, window)
    blocks = scene.batch.block_tables[0].tolist()
    qkv = scene.qkv.float() * spread
    rows = []
    for start, end in pairwise(cuts):
        batch = Batch.pack([Span([0] * (end - start), start, blocks)], shape[3])
        rows.append(attend(qkv[start:end], batch, scene.pool))
    return torch.cat(rows), scene.pool


@every_level
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("window", [None, 75])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("shape", [SHAPES[0], ODD[0]], ids=str)
def test_chunks_do_not_change_a_row(
    level: str, shape: tuple[int, int, int, int], dtype: torch.dtype, window: int | None, spread: int
) -> None:
    whole, pool = attend_in_chunks(level, shape, dtype, window, spread, (0, LENGTH))
    cut, same_pool = attend_in_chunks(level, shape, dtype, window, spread, CUTS)
    assert whole.isfinite().all()
    assert torch.equal(cut, whole)
    torch.testing.assert_close(same_pool, pool, rtol=0, atol=0, equal_nan=True)


@every_level
@pytest.mark.parametrize("window", [None, 75])
def test_scores_far_apart(level: str, window: int | None) -> None:
    """Within what a score's own rounding makes of a weight."""
    scene = Scene(((0, LENGTH), (40, 60)), SHAPES[0], torch.float32)
    scene.qkv *= SPREADS[1]
    expected, _ = scene.expected(window, normed=False)
    attend = Attention(compiled(level), scene.num_heads, scene.rope, window)
    out = attend(scene.qkv.clone(), scene.batch, scene.pool)
    torch.testing.assert_close(out, expected, rtol=3e-4, atol=3e-4)
