"""Every section of `make gpu`, its sizes made small and its device a stand-in: that it runs to its last row."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from loadtest.gpu import (
    attention_rows,
    bench,
    closed_loop,
    decode_rows,
    dense_rows,
    idle_rows,
    models,
    prefill_rows,
    small_rows,
)
from loadtest.gpu.ceilings import Ceilings
from loadtest.gpu.rows import Row
from tests.cache.fake_driver import FakeDriver, FakeMachine
from tests.engine.fake_stage import FakeStage

DEVICE = torch.device("cpu")
CEILINGS = Ceilings(1e10, 1e10, 1e11)
TINY: dict[str, Any] = {
    **models.SHAPES["8B"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 500,
    "max_position_embeddings": 8192,
}


def on_host(work: Callable[[], object], samples: int = 1, batch: int = 1) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that names CUDA, and everything that is large."""
    monkeypatch.setattr(bench, "CudaStage", lambda device: FakeStage())
    monkeypatch.setattr(bench, "CudaDriver", lambda index: FakeDriver(FakeMachine(), num_free_bytes=4 << 30))
    monkeypatch.setattr(models, "SHAPES", {"8B": TINY, "0.6B": {**TINY, "tie_word_embeddings": True}})
    for module in (small_rows, attention_rows, prefill_rows, idle_rows, dense_rows):
        monkeypatch.setattr(module, "seconds", on_host)
    for module in (small_rows, attention_rows):
        monkeypatch.setattr(module, "graphed", lambda work: work)
    for module in (decode_rows, prefill_rows, closed_loop):
        monkeypatch.setattr(module, "large_name", lambda device: "8B")
    monkeypatch.setattr(small_rows, "ROWS", 3)
    monkeypatch.setattr(small_rows, "VOCABULARY", 1000)
    monkeypatch.setattr(small_rows, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(small_rows, "NUM_BLOCKS", 4)
    monkeypatch.setattr(small_rows, "POOL_BLOCKS", 300)
    monkeypatch.setattr(attention_rows, "ROWS", 2)
    monkeypatch.setattr(attention_rows, "NUM_LAYERS", 1)
    monkeypatch.setattr(decode_rows, "CONTEXT", 40)
    monkeypatch.setattr(decode_rows, "NUM_STEPS", 12)
    monkeypatch.setattr(prefill_rows, "TOKENS", 48)
    monkeypatch.setattr(dense_rows, "TOKENS", 99)
    monkeypatch.setattr(idle_rows, "ROWS", 4)
    monkeypatch.setattr(idle_rows, "PROMPT", 8)
    monkeypatch.setattr(idle_rows, "NUM_STEPS", 20)
    monkeypatch.setattr(idle_rows, "MAX_TOKENS", 68)
    monkeypatch.setattr(closed_loop, "PROMPT", 12)
    monkeypatch.setattr(closed_loop, "ANSWER", 8)
    monkeypatch.setattr(closed_loop, "ROWS", 4)
    monkeypatch.setattr(closed_loop, "TOKEN_BUDGET", 32)
    monkeypatch.setattr(closed_loop, "MAX_TOKENS", 36)
    monkeypatch.setattr(closed_loop, "SETTLING_S", 0.05)
    monkeypatch.setattr(closed_loop, "MEASURED_S", 0.2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 1 << 30))


def check_rows(rows: Iterator[Row], *ids: str) -> list[Row]:
    found = list(rows)
    assert [row.id for row in found] == list(ids)
    for row in found:
        assert not row.failed, row.failed
        assert row.ratio is None or row.ratio >= 0
        assert row.what
    return found


def test_decode_steps() -> None:
    check_rows(decode_rows.measure(DEVICE, CEILINGS), "G1", "G2")


def test_prefill() -> None:
    check_rows(prefill_rows.measure(DEVICE, CEILINGS), "G5", "-")


def test_kernels_for_whole_prompts_are_told_apart() -> None:
    flash, cudnn = check_rows(dense_rows.dense_rows(DEVICE), "-", "-")
    assert "the first of a new length" in flash.measured
    assert cudnn.measured.startswith("not here"), "a kernel this device does not have is a line, not an end"


def test_the_idle_share() -> None:
    [row] = check_rows(idle_rows.measure(DEVICE, CEILINGS), "G6")
    assert "ahead" in row.measured


def test_the_closed_loop() -> None:
    [row] = check_rows(closed_loop.measure(DEVICE, CEILINGS), "G10")
    assert "4 sequences" in row.measured


def test_sampler_and_blocks() -> None:
    check_rows(small_rows.measure(DEVICE, CEILINGS), "G7", "G7", "G8", "-")


def test_attention() -> None:
    rows = [row for row in attention_rows.measure(DEVICE, CEILINGS) if row.id == "G3"]
    check_rows(iter(rows), "G3", "G3")


def test_drawn_weights_are_the_shapes_own_and_finite() -> None:
    decoder = models.draw_model("0.6B", DEVICE)
    assert decoder.config.tied
    assert decoder.dtype == "bfloat16"
