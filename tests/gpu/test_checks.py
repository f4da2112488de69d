"""What the checks of kernels judge with: distances, poisoned rows, data that is the same each time; and the bounds."""

import math
from pathlib import Path

import pytest
import torch

from loadtest.gpu.bench import BLOCK_TOKENS, Talks
from loadtest.gpu.ceilings import ROW, Ceilings, copied_bytes
from loadtest.gpu.checks import DTYPES, TOLERANCE, distance, random, same, spread
from loadtest.gpu.closed_loop import ANSWER, PROMPT, best_rate
from loadtest.gpu.decode_rows import GREEDY
from loadtest.gpu.models import SHAPES, Cost, read_config

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("out", "truth", "expected"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0.0),
        ([3.0, 5.0], [3.0, 4.0], 0.2),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.5], [0.0], 0.5),
        ([], [], 0.0),
        ([math.nan, 4.0], [3.0, 4.0], math.inf),
        ([math.inf], [math.inf], math.inf),
    ],
)
def test_a_distance_is_of_the_truths_size(out: list[float], truth: list[float], expected: float) -> None:
    assert distance(torch.tensor(out), torch.tensor(truth)) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_to_a_dtype_is_within_its_tolerance_and_a_wrong_row_is_not(dtype: torch.dtype) -> None:
    truth = random(8, 64, device=CPU, seed=3)
    assert distance(truth.to(dtype), truth) < TOLERANCE[dtype]
    wrong = truth.clone()
    wrong[5] = truth[4]
    assert distance(wrong.to(dtype), truth) > TOLERANCE[dtype]


def test_differing_elements_are_counted() -> None:
    assert same(torch.tensor([1, 2, 3]), torch.tensor([1, 5, 4])) == 2
    assert same(torch.tensor([1]), torch.tensor([1])) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_spread_rows_are_the_same_with_poison_between(dtype: torch.dtype) -> None:
    x = random(3, 5, dtype=dtype, device=CPU)
    wide = spread(x, 4)
    assert torch.equal(wide, x)
    assert wide.stride() == (9, 1)
    whole = wide.as_strided((3, 9), (9, 1))
    assert torch.isnan(whole[:, 5:]).all()


def test_a_seed_is_its_data() -> None:
    assert torch.equal(random(4, 4, device=CPU, seed=1), random(4, 4, device=CPU, seed=1))
    assert not torch.equal(random(4, 4, device=CPU, seed=1), random(4, 4, device=CPU, seed=2))


@pytest.mark.parametrize("free", [1 << 22, 23_622_320_128, 42_000_000_001, 150 << 30])
def test_whatever_is_free_is_read_in_whole_rows(free: int) -> None:
    size = copied_bytes(free)
    assert 0 < size <= min(4 << 30, free // 16)
    assert size // 2 % ROW == 0


def test_ceilings_travel_between_processes(tmp_path: Path) -> None:
    found = Ceilings(3.5e12, 3.1e12, 7.9e14)
    found.save(tmp_path / "ceilings.json")
    assert Ceilings.load(tmp_path / "ceilings.json") == found


@pytest.mark.parametrize("name", SHAPES)
def test_a_step_reads_more_the_more_rows_and_context_it_has(name: str) -> None:
    cost = Cost(read_config(name))
    assert cost.decode_bytes(0, 5) == cost.decode_bytes(5, 0)
    assert cost.decode_bytes(2, 100) - cost.decode_bytes(1, 100) == 100 * cost.kv_bytes
    assert cost.prefill_operations(2000) > 2 * cost.prefill_operations(1000)
    assert Cost(read_config(name), element=1).kv_bytes * 2 == cost.kv_bytes


def test_the_bound_of_a_loop_is_what_binds() -> None:
    cost = Cost(read_config("8B"))
    reads, multiplies = Ceilings(4e12, 4e12, 1e30), Ceilings(1e30, 1e30, 8e14)
    per_step = cost.decode_bytes(64, PROMPT + ANSWER // 2) / 4e12
    assert best_rate(cost, reads, 64) == pytest.approx(64 / per_step)
    per_token = 2 * cost.linear_weights / 8e14 + cost.prefill_operations(PROMPT) / 8e14 / ANSWER
    assert best_rate(cost, multiplies, 64) == pytest.approx(1 / per_token)
    both = Ceilings(4e12, 4e12, 8e14)
    assert best_rate(cost, both, 64) < min(best_rate(cost, reads, 64), best_rate(cost, multiplies, 64))
    assert best_rate(cost, both, 256) > best_rate(cost, both, 64)


@pytest.mark.parametrize(("rows", "context", "steps"), [(1, 1, 1), (3, 20, 30), (2, 16, 14), (4, 31, 16)])
def test_talks_have_blocks_for_all_that_they_say(rows: int, context: int, steps: int) -> None:
    talks = Talks(rows, context, steps, GREEDY)
    for step in range(steps):
        plan = talks.plan()
        for work in plan.works:
            assert work.start + len(work.token_ids) == context + step
            assert len(work.blocks) * BLOCK_TOKENS > context + step
        talks.go_on([9] * rows)
    highest = max(max(work.blocks) for work in talks.plan().works)
    assert highest == Talks.blocks_for(rows, context, steps) - 1


def test_every_row_must_go_on() -> None:
    with pytest.raises(ValueError, match="zip"):
        Talks(3, 4, 4, GREEDY).go_on([1, 2])
