"""The sweep that fills the launch table: its order, its failures, and that it leaves the table as it was."""

from collections.abc import Callable

import pytest
import torch

from common.kernels.launch import BY_CAPABILITY, Launch, launch_of
from loadtest.gpu import sweep
from tests.kernels.triton.cases import random

META = torch.device("meta")  # stands for a device of compute capability 9.0


def test_candidates_begin_with_the_tables_own_and_name_each_once() -> None:
    own = Launch(tile=64, warps=4, stages=3)
    found = sweep.candidates(own, tile=(32, 64), stages=(3, 4))
    assert found[0] == own
    assert len(found) == len(set(found)) == 4


def test_a_launch_holds_while_it_lasts() -> None:
    before = {capability: dict(rows) for capability, rows in BY_CAPABILITY.items()}
    other = Launch(tile=16, warps=1)
    for kernel in ("decode_attention", "token_mask"):
        own = launch_of(kernel, META)
        with sweep.launched_as(kernel, META, other):
            assert launch_of(kernel, META) == other
        assert launch_of(kernel, META) == own
    assert before == BY_CAPABILITY


def test_the_fastest_comes_first_and_what_fails_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "graphed", lambda work: work)
    monkeypatch.setattr(sweep, "seconds", lambda work, samples: work())

    def make() -> Callable[[], float]:
        launch = launch_of("token_mask", META)
        if launch.tile == 128:
            raise RuntimeError("out of resource: shared memory\nand more")
        return lambda: launch.tile * 1e-6

    launches = [Launch(tile=64, warps=4), Launch(tile=128, warps=4), Launch(tile=32, warps=4)]
    sweep.sweep("token_mask", META, launches, make)
    lines = capsys.readouterr().out.splitlines()
    assert "out of resource" in lines[0]
    assert "tile=32" in lines[1]
    assert lines[2].endswith("<- the table's")
    assert len(lines) == 3


def test_products_of_the_sweep_are_made_on_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "random_bytes", lambda num_bytes, device: random(num_bytes // 2, dtype=torch.float16))
    monkeypatch.setattr(sweep, "DEPTH", 40)
    monkeypatch.setattr(sweep, "COLUMNS", 20)
    [first, *_] = sweep.products_case(torch.device("cpu"), 2)()()
    assert first.shape == (2, 20)
