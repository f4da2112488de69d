"""Blocks gathered, scattered and copied, with their checksums, in the interpreter."""

import pytest
import torch

from common.kernels import copy_blocks as kernels
from common.kernels.reference import copy_blocks as reference

# layers, kv_heads, block_tokens, head_dim: blocks of 16 bytes and more, none a multiple of a tile
SHAPES = [(1, 1, 1, 2), (1, 1, 3, 4), (2, 3, 5, 2), (3, 2, 16, 6), (4, 1, 7, 10)]


def pool_of(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    layers, heads, tokens, dim = shape
    return torch.randn(9, layers, 2, heads, tokens, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blocks", [[0], [8, 3, 5]])
def test_gather_and_scatter(shape: tuple[int, ...], blocks: list[int]) -> None:
    pool, listed = pool_of(shape), torch.tensor(blocks)
    staged = torch.full((len(blocks), *pool.shape[1:]), torch.nan)
    sums, back = (torch.full((len(blocks),), -1) for _ in range(2))
    kernels.gather_blocks(pool, listed, staged, sums)
    assert torch.equal(staged, pool[listed])
    assert torch.equal(sums, reference.checksums(reference.as_words(pool[listed])))
    other = pool_of(shape, seed=1)
    expected = other.clone()
    expected[listed] = staged
    kernels.scatter_blocks(staged, other, listed, back)
    assert torch.equal(other, expected)
    assert torch.equal(back, sums)


@pytest.mark.parametrize("shape", SHAPES)
def test_copy(shape: tuple[int, ...]) -> None:
    pool, peer = pool_of(shape), pool_of(shape, seed=1)
    sources, targets = torch.tensor([2, 7]), torch.tensor([4, 0])
    expected = pool.clone()
    reference.copy_blocks(peer, sources, expected, targets)
    kernels.copy_blocks(peer, sources, pool, targets)
    assert torch.equal(pool, expected)


def test_a_range_of_layers_travels_and_the_others_stay() -> None:
    pool, listed = pool_of((4, 2, 3, 2)), torch.tensor([6, 1])
    staged = torch.full((2, 2, *pool.shape[2:]), torch.nan)
    kernels.gather_blocks(pool[:, 1:3], listed, staged)
    assert torch.equal(staged, pool[listed, 1:3])
    target = torch.full_like(pool, torch.nan)
    kernels.scatter_blocks(staged, target[:, 1:3], listed)
    assert torch.equal(target[listed, 1:3], staged)
    assert int(target.isnan().sum()) == target.numel() - staged.numel()


def test_bytes_travel_too() -> None:
    pool = torch.arange(64, dtype=torch.int32).to(torch.uint8).view(4, 16)
    staged = torch.zeros(2, 16, dtype=torch.uint8)
    kernels.gather_blocks(pool, torch.tensor([3, 0]), staged)
    assert torch.equal(staged, pool[[3, 0]])


def test_nothing_to_copy() -> None:
    pool = pool_of(SHAPES[0])
    kernels.gather_blocks(pool, torch.empty(0, dtype=torch.int64), pool[:0].clone())


def test_a_checksum_changes_with_any_bit_and_with_swapped_words() -> None:
    words = torch.randint(-(2**62), 2**62, (1, 40), generator=torch.Generator().manual_seed(3))
    known = int(reference.checksums(words))
    for place in range(40):
        for bit in (0, 31, 32, 62):
            changed = words.clone()
            changed[0, place] ^= 1 << bit
            assert int(reference.checksums(changed)) != known
    assert int(reference.checksums(words[:, [1, 0, *range(2, 40)]])) != known
    assert int(reference.checksums(torch.zeros(1, 40, dtype=torch.int64))) != 0


def test_what_cannot_be_copied_is_refused() -> None:
    pool, listed = pool_of((2, 2, 3, 2)), torch.tensor([1])
    with pytest.raises(ValueError, match="one size"):
        kernels.gather_blocks(pool, listed, torch.empty(1, 2, 2, 2, 3, 4))
    with pytest.raises(ValueError, match="one run"):
        kernels.gather_blocks(pool[:, :, 1:], listed, torch.empty(1, 2, 1, 2, 3, 2))
    with pytest.raises(ValueError, match="int64"):
        kernels.gather_blocks(pool, listed, pool[:1].clone(), torch.empty(1, dtype=torch.int32))
