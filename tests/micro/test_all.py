"""One table of many micro-benchmarks: what failed is a line, and the others' rows stand."""

from pathlib import Path

import pytest

from loadtest.micro import _all
from loadtest.micro._rows import Measured, loaded

ROWS = {
    "kernels": [Measured("", "packed linears", (2.0,))],
    "frames": [Measured("C11", "frames", (20.0,), "", 10, 10)],
    "step": [Measured("C4", "bandwidth", (0.7,), "", 0.8, 0.9)],
}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def one(name: str, *arguments: str) -> tuple[list[Measured], str]:
        return ROWS.get(name, []), "" if name in ROWS else f"{name} failed (exit code 1)"

    monkeypatch.setattr(_all, "_one", one)


@pytest.mark.usefixtures("scripted")
def test_rows_are_in_order_and_failures_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_all, "RUNS", (("kernels",), ("frames",), ("router",), ("step", "135m", "2")))
    out = tmp_path / "results" / "bench.md"
    assert _all.run_all(out) == 1
    text = out.read_text()
    assert text.index("| C4 |") < text.index("| C11 |") < text.index("packed linears") < text.index("* router failed")
    assert loaded(out.with_suffix(".json").read_text()) == [*ROWS["kernels"], *ROWS["frames"], *ROWS["step"]]


@pytest.mark.usefixtures("scripted")
def test_a_target_that_was_missed_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_all, "RUNS", (("step",),))
    assert _all.run_all(tmp_path / "bench.md") == 0
    assert "missed" in (tmp_path / "bench.md").read_text()
    assert "did not work" not in (tmp_path / "bench.md").read_text()


async def test_a_benchmark_that_does_not_exist_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    rows, problem = await _all._one("nothing")
    assert (rows, problem) == ([], "nothing failed (exit code 2)")
    assert "usage" in capsys.readouterr().out
