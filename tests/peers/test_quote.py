"""What README and docs say of speed is what the results' files say; nobody types a figure."""

from pathlib import Path

import pytest

from loadtest import quote
from loadtest.micro._rows import Measured, dumped
from loadtest.peers.journal import Journal, Kept, Sample
from loadtest.quote import replaced, speed, targets

TURNS = [
    Sample("decode B=8 served", side, turn, value, "tokens/s")
    for side, values in (("baton", (800.0, 900.0)), ("vllm", (400.0, 300.0)))
    for turn, value in enumerate(values)
]


def test_the_documents_quote_the_results() -> None:
    assert quote.main(["--check"]) == 0


def test_a_table_takes_its_place_and_nothing_else_moves() -> None:
    document = "before\n<!-- speed: by hand? no -->\nold\nlines\n<!-- end of speed -->\nafter"
    new = replaced(document, "speed", "| a |")
    assert new == "before\n<!-- speed: by hand? no -->\n\n| a |\n\n<!-- end of speed -->\nafter"
    assert replaced(new, "speed", "| a |") == new


def test_a_document_without_a_place_is_told() -> None:
    with pytest.raises(ValueError, match="no place for targets"):
        replaced("<!-- speed: x -->\n\n<!-- end of speed -->", "targets", "")


def test_readme_has_facts_and_the_rows_that_were_measured() -> None:
    assert speed(Kept(TURNS, ["two cores"])).splitlines() == [
        "* two cores",
        "",
        "| | Baton | peer | ratio (spread) |",
        "|---|---|---|---|",
        "| decode, 8 streams, served | 850 tokens/s | vLLM 350 tokens/s | **2.50** (2.00 to 3.00) |",
    ]


def test_targets_are_of_every_model_and_in_order(tmp_path: Path) -> None:
    for name, factor in (("peers-cpu", 1.0), ("peers-cpu-350m", 0.1)):
        journal = Journal(tmp_path / f"{name}.jsonl")
        for sample in TURNS:
            journal.add(Sample(sample.case, sample.side, sample.turn, sample.value * factor, sample.unit))
    rows = [
        Measured("C11", "frames", (20.0,), "", 10),
        Measured("C4", "of bandwidth, B=1, 135m, 1 thread", (0.7, 0.8), "", 0.8, 0.9),
        Measured("C4", "of bandwidth, B=1, 350m, 1 thread", (0.95,), "", 0.8, 0.9),
        Measured("", "other", (1.0,)),
    ]
    (tmp_path / "bench-cpu.json").write_text(dumped(rows))
    assert targets(tmp_path).splitlines()[2:] == [
        "| C2 | decode tokens/s, B=8, served / vllm | >= 1.3 | 1.8 "
        "| **2.50** (2.00 to 3.00) aim |  | **2.50** (2.00 to 3.00) aim |",
        "| C4 | of bandwidth, B=1, 1 thread | >= 0.8 | 0.9 | 0.75 (0.7 to 0.8) missed |  | 0.95 aim |",
        "| C11 | frames | >= 10 |  | 20 met |  |  |",
    ]


def test_without_results_there_are_no_rows(tmp_path: Path) -> None:
    assert len(targets(tmp_path).splitlines()) == 2


def test_what_is_stale_is_told_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "README.md"
    document.write_text("<!-- speed: x -->\nold\n<!-- end of speed -->\n")
    monkeypatch.setattr(quote, "DOCUMENTS", {document: "speed"})
    monkeypatch.setattr(quote, "RESULTS", tmp_path)
    assert quote.main(["--check"]) == 1
    assert "run python -m loadtest.quote" in capsys.readouterr().out
    assert "old" in document.read_text()
    assert quote.main([]) == 0
    assert "old" not in document.read_text()
    assert quote.main(["--check"]) == 0
