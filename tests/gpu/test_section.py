"""A section by itself: which module it is, that its rows are printed as they come, and the ceilings kept for others."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from loadtest.gpu import ceilings, section
from loadtest.gpu.__main__ import LIMITS_S, TOTAL_S, USUAL_S
from loadtest.gpu.ceilings import Ceilings
from loadtest.gpu.rows import Row, unpack
from loadtest.gpu.section import CEILINGS, SECTIONS

FOUND = Ceilings(3.3e12, 2.9e12, 6.1e14)


@pytest.fixture(autouse=True)
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(ceilings, "read_ceilings", lambda device: FOUND)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_can_be_measured(name: str) -> None:
    assert callable(importlib.import_module(SECTIONS[name]).measure)


def test_limits_are_of_sections_that_exist_and_leave_time_for_each_other() -> None:
    assert set(LIMITS_S) <= {CEILINGS, "kernels", *SECTIONS}
    assert max([*LIMITS_S.values(), USUAL_S]) < TOTAL_S / 2


def test_ceilings_are_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section.run(CEILINGS, tmp_path / "ceilings.json")
    rows = [unpack(line) for line in capsys.readouterr().out.splitlines()]
    assert [row.measured for row in rows if row] == ["3.30 TB/s", "2.90 TB/s", "610 TFLOP/s"]
    assert Ceilings.load(tmp_path / "ceilings.json") == FOUND


def test_a_section_prints_its_rows_and_keeps_those_before_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(device: torch.device, known: Ceilings) -> Iterator[Row]:
        assert known == FOUND
        yield Row("G1", "decode", str(device), 1.2, 1.25)
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace(measure=measure))
    FOUND.save(tmp_path / "ceilings.json")
    with pytest.raises(RuntimeError, match="illegal"):
        section.run("decode", tmp_path / "ceilings.json")
    assert unpack(capsys.readouterr().out.strip()) == Row("G1", "decode", "cuda:0", 1.2, 1.25)


def test_a_section_of_another_name_is_an_error(tmp_path: Path) -> None:
    FOUND.save(tmp_path / "ceilings.json")
    with pytest.raises(KeyError, match="nothing"):
        section.run("nothing", tmp_path / "ceilings.json")
