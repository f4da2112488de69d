"""What `make gpu` does to every kernel on a device, done to a few small shapes: the checks themselves must hold."""

from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

import pytest
import torch

from common.engine.device_sampler import DeviceSampler
from common.kernels.choosing import REFERENCE, DeviceLogprobs, triton_choosing
from loadtest.gpu import attention_checks, kernels, op_checks, sampler_checks, sampling_checks
from loadtest.gpu.rows import Row
from tests.engine.fake_stage import FakeStage

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(op_checks, "DTYPES", (torch.float16,))
    monkeypatch.setattr(op_checks, "ROWS", ((2, 70),))
    monkeypatch.setattr(op_checks, "HEADS", ((3, 1, 20, 5),))
    monkeypatch.setattr(op_checks, "PRODUCTS", ((3, 20, 40),))
    monkeypatch.setattr(attention_checks, "DTYPES", (torch.float16,))
    monkeypatch.setattr(attention_checks, "SHAPES", ((3, 1, 20, 5),))
    monkeypatch.setattr(attention_checks, "DECODE", ((0, 1), (20, 1)))
    monkeypatch.setattr(attention_checks, "ONE", ((30, 1),))
    monkeypatch.setattr(attention_checks, "CHUNKS", ((3, 6), (0, 5)))
    monkeypatch.setattr(attention_checks, "MIXED", ((4, 1), (3, 6)))
    monkeypatch.setattr(sampling_checks, "ROWS", 6)
    monkeypatch.setattr(sampler_checks, "make_stage", lambda device: FakeStage())


def test_the_interpreter_passes_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_checks, "DeviceSampler", partial(DeviceSampler, kernels=triton_choosing()))
    every = list(kernels.checks(CPU))
    # the first of a kind is its smallest; products begin with bfloat16, which the interpreter gets wrong
    kinds = {name: list(group) for name, group in groupby(every, key=lambda check: check.name)}
    kept = [group[-1] if name == "small_linear" else group[0] for name, group in kinds.items()]
    monkeypatch.setattr(kernels, "checks", lambda device: iter(kept))
    rows = list(kernels.run(CPU))
    assert [row.failed for row in rows] == [""] * len(rows)
    assert {row.what for row in rows} >= {"rope_write", "paged decode_attention", "choose_tokens", "logprobs"}


@pytest.mark.parametrize("number", range(6))
def test_the_device_sampler_passes_its_checks_with_the_references(number: int) -> None:
    error, most = list(sampler_checks.sampler_checks(CPU))[number].error()
    assert error <= most


def nothing(*arguments: object) -> None:
    """A kernel that was launched and did nothing."""


def too_likely(logits: torch.Tensor, token_ids: torch.Tensor, num_top: int) -> DeviceLogprobs:
    found = REFERENCE.logprobs(logits, token_ids, num_top)
    return replace(found, chosen=found.chosen + 0.001)


@pytest.mark.parametrize(
    "wrong",
    [{"add_bias": nothing}, {"penalise": nothing}, {"exclude": nothing}, {"logprobs": too_likely}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_sampler_that_says_other_tokens_or_numbers_is_found(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    monkeypatch.setattr(sampler_checks, "DeviceSampler", partial(DeviceSampler, kernels=replace(REFERENCE, **wrong)))
    error, most = list(sampler_checks.sampler_checks(CPU))[4].error()
    assert error > most


def test_a_kernel_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op_checks, "silu_mul", lambda both: both[:, : both.shape[1] // 2].clone())
    [row] = _rows_of(monkeypatch)
    assert "off by" in row.failed
    assert not row.good


def _rows_of(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    first = next(op_checks.op_checks(CPU))
    monkeypatch.setattr(kernels, "checks", lambda device: iter([first]))
    return list(kernels.run(CPU))


def test_an_unwritten_element_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op_checks, "silu_mul", lambda both: torch.empty(len(both), both.shape[1] // 2))
    [row] = _rows_of(monkeypatch)
    assert "off by inf" in row.failed


def test_a_kernel_that_fails_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(both: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no such instruction\non this device")

    monkeypatch.setattr(op_checks, "silu_mul", fails)
    [row] = _rows_of(monkeypatch)
    assert row.failed == "no such instruction"
