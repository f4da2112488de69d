"""Products with packed weights against torch in float64, at every level."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from common.kernels.logits import Logits, RowMasks
from common.kernels.native.ops import PackedLinear
from common.kernels.native.packed import PackedWeights, Unpacked
from tests.kernels.native.compiled import compiled, every_level

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-4, torch.float16: 1e-5}
SHAPES = ((32, 2), (1, 64), (33, 6), (70, 130), (576, 96))  # columns, depth
ROWS = (1, 2, 3, 5, 8, 12, 13, 24, 25, 61)


def random(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def left_dtype(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype == torch.bfloat16 else torch.float32


@contextmanager
def threads(num: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(num)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@every_level
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_shape(level: str, dtype: torch.dtype, shape: tuple[int, int]) -> None:
    weight, bias = random(dtype, *shape), random(dtype, shape[0])
    product = PackedLinear(compiled(level), weight, bias)
    for rows in ROWS:
        # rows at a stride: what lies between them must not be read
        around = torch.full((rows, shape[1] + 6), torch.nan, dtype=left_dtype(dtype))
        x = around[:, : shape[1]]
        x.copy_(random(torch.float32, rows, shape[1]))
        expected = x.double() @ weight.double().T + bias.double()
        torch.testing.assert_close(product(x).double(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * 10)


@every_level
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_a_row_does_not_depend_on_its_batch(level: str, dtype: torch.dtype) -> None:
    product = PackedLinear(compiled(level), random(dtype, 96, 62))
    x = random(left_dtype(dtype), 40, 62)
    together = product(x)
    for rows in (1, 2, 7, 13):
        assert torch.equal(product(x[:rows]), together[:rows])


@every_level
def test_threads_change_nothing(level: str) -> None:
    product = PackedLinear(compiled(level), random(torch.bfloat16, 200, 64))
    x = random(torch.bfloat16, 5, 64)
    results = []
    for num_threads in (1, 2, 3, 1):
        with threads(num_threads):
            results += [product(x) for _ in range(20)]
    assert all(torch.equal(result, results[0]) for result in results)


@every_level
def test_a_packed_weight_is_emptied_unless_it_is_shared(level: str) -> None:
    given, shared = random(torch.float32, 8, 4), random(torch.float32, 8, 4)
    PackedWeights(compiled(level), [Unpacked(given), Unpacked(shared, shared=True)])
    assert given.untyped_storage().nbytes() == 0
    assert shared.untyped_storage().nbytes() == 8 * 4 * 4


@every_level
def test_the_best_of_each_row_is_the_first_among_equals(level: str) -> None:
    for columns in (1, 31, 32, 95, 200):
        weight = random(torch.float32, columns, 6).round()  # whole numbers: many are equal
        x = random(torch.float32, 9, 6).round()
        for num_threads in (1, 3):
            with threads(num_threads):
                out, best, peaks = PackedLinear(compiled(level), weight).ranked(x)
            assert best.tolist() == out.numpy().argmax(axis=1).tolist()
            assert torch.equal(peaks, out.max(dim=1).values)


@every_level
@pytest.mark.parametrize("place", [0, 31, 40, 63, 69])
def test_a_row_that_is_not_all_numbers_has_no_best(level: str, place: int) -> None:
    weight = random(torch.float32, 70, 6)
    weight[place] = torch.nan
    for num_threads in (1, 3):
        with threads(num_threads):
            _, _, peaks = PackedLinear(compiled(level), weight).ranked(random(torch.float32, 3, 6))
        assert peaks.isnan().all()


@every_level
@pytest.mark.parametrize("columns", [1, 31, 32, 33, 95, 200])
def test_the_best_that_a_mask_leaves(level: str, columns: int) -> None:
    random_bits = np.random.default_rng(columns)
    product = PackedLinear(compiled(level), random(torch.float32, columns, 6).round())  # whole numbers: many are equal
    x = random(torch.float32, 9, 6).round()
    words = random_bits.integers(-(2**31), 2**31, (6, columns // 32 + 2)).astype(np.int32)
    words[1], words[2] = 0, -1
    words[3], words[3, (columns - 1) // 32] = 0, np.uint32(1 << (columns - 1) % 32).view(np.int32)
    masks = RowMasks(np.array([8, 0, 3, 7, 5, 1]), words[:, :-1])
    for num_threads in (1, 3):
        with threads(num_threads):
            out, best, peaks = product.ranked(x, masks)
        expected = Logits.of(product(x), masks)
        assert torch.equal(out, expected.values)
        assert best.tolist() == expected.best.tolist()
        assert peaks.tolist() == expected.peaks.tolist()
        assert peaks[0] == -torch.inf
        assert best[7] == columns - 1


@every_level
@pytest.mark.parametrize("place", [0, 31, 40, 63, 69])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_mask_hides_no_entry_that_is_no_number(level: str, place: int, value: float) -> None:
    weight = random(torch.float32, 70, 6).abs()
    weight[place] = value
    masks = RowMasks(np.arange(2), np.array([[1, 0, 0], [2, 0, 0]], dtype=np.int32))
    x = random(torch.float32, 3, 6).abs()
    for num_threads in (1, 3):
        with threads(num_threads):
            _, _, peaks = PackedLinear(compiled(level), weight).ranked(x, masks)
            plain = PackedLinear(compiled(level), weight)(x)
        assert not peaks.isfinite().any()
        assert not np.isfinite(Logits.of(plain, masks).peaks).any()


@every_level
def test_a_mask_with_too_few_bits_is_refused(level: str) -> None:
    product = PackedLinear(compiled(level), random(torch.float32, 33, 6))
    with pytest.raises(ValueError, match="a bit for every entry"):
        product.ranked(random(torch.float32, 1, 6), RowMasks(np.arange(1), np.zeros((1, 1), dtype=np.int32)))
