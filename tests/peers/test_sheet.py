"""The journal and the sheet made of it: nothing lost on the way, figures by side and turn, failures at the end."""

import json
from pathlib import Path

import pytest

from loadtest.peers.journal import Journal, Sample, read, values
from loadtest.peers.rows import ROWS, Row, judge, table
from loadtest.peers.sheet import HEAD, text

SAMPLES = [
    Sample("decode B=8 served", "baton", 0, 30.0, "tokens/s"),
    Sample("decode B=8 served", "vllm", 0, 20.0, "tokens/s"),
    Sample("decode B=8 served", "baton", 0, 10.0, "tokens/s"),
    Sample("decode B=8 served", "baton", 1, 40.0, "tokens/s"),
    Sample("ITL busy / idle", "baton", 0, 1.25, ""),
]


def journal(folder: Path, *samples: Sample) -> Journal:
    made = Journal(folder / "j.jsonl")
    for sample in samples:
        made.add(sample)
    return made


def test_values_are_by_turn_in_their_order() -> None:
    assert values(SAMPLES, "decode B=8 served", "baton") == {0: [30.0, 10.0], 1: [40.0]}
    assert values(SAMPLES, "decode B=8 served", "vllm") == {0: [20.0]}
    assert values(SAMPLES, "decode B=8", "baton") == {}
    assert values([], "x", "y") == {}


def test_more_turns_come_after_those_of_the_last_run(tmp_path: Path) -> None:
    first = journal(tmp_path, *SAMPLES)
    first.note("it was late")
    first.tell(["two cores"])
    second = Journal(tmp_path / "j.jsonl", more=True)
    assert (second.samples, second.facts, second.lines) == (SAMPLES, ["two cores"], ["it was late"])
    assert second.num_turns == 2
    added = Sample("decode B=8 served", "vllm", 2, 25.0, "tokens/s")
    second.add(added)
    second.tell(["turn 3"])
    assert (read(tmp_path / "j.jsonl").samples, read(tmp_path / "j.jsonl").facts) == (
        [*SAMPLES, added],
        ["two cores", "turn 3"],
    )
    third = Journal(tmp_path / "j.jsonl")
    assert (third.samples, third.num_turns, read(tmp_path / "j.jsonl").samples) == ([], 0, [])


def test_what_was_written_can_be_read_line_by_line(tmp_path: Path) -> None:
    kept = journal(tmp_path, *SAMPLES)
    kept.note("vLLM: no memory\nat all")
    lines = [json.loads(line) for line in (tmp_path / "j.jsonl").read_text().splitlines()]
    assert [Sample(**line) for line in lines[:-1]] == SAMPLES == kept.samples
    assert lines[-1] == {"note": "vLLM: no memory\nat all"}


def test_what_was_written_can_be_read_again(tmp_path: Path) -> None:
    kept = journal(tmp_path, *SAMPLES)
    kept.note("nothing")
    kept.took("turn 1", 3.25)
    kept.tell(["two cores", "a model"])
    again = read(tmp_path / "j.jsonl")
    assert (again.samples, again.facts) == (SAMPLES, ["two cores", "a model"])
    assert read(tmp_path / "none.jsonl").samples == []


def test_a_new_journal_begins_empty(tmp_path: Path) -> None:
    journal(tmp_path, *SAMPLES)
    assert journal(tmp_path).samples == []
    assert (tmp_path / "j.jsonl").read_text() == ""


def test_a_figure_is_the_median_of_the_turns_medians(tmp_path: Path) -> None:
    sheet = text([], journal(tmp_path, *SAMPLES))
    assert "| decode B=8 served | baton | 30 tokens/s | 20, 40 |" in sheet
    assert "| decode B=8 served | vllm | 20 tokens/s | 20 |" in sheet


def test_a_figure_without_a_unit_leaves_no_gap(tmp_path: Path) -> None:
    assert "| ITL busy / idle | baton | 1.25 | 1.25 |" in text([], journal(tmp_path, *SAMPLES))


def test_cases_stand_in_alphabetical_order_each_once(tmp_path: Path) -> None:
    sheet = text([], journal(tmp_path, *reversed(SAMPLES)))
    figures = sheet.partition("## Every figure")[2]
    cases = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in figures.splitlines() if "served" in line]
    assert cases == [("decode B=8 served", "baton"), ("decode B=8 served", "vllm")]


def test_failures_have_their_part_only_when_there_were_some(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    assert "did not work" not in text(["a fact"], kept)
    kept.note("vLLM is not installed")
    sheet = text(["a fact"], kept)
    assert sheet.startswith(HEAD)
    assert sheet.index("* a fact") < sheet.index("## What did not work") < sheet.index("* vLLM is not installed")


def both(case: str, own: float, peer: float, name: str) -> list[Sample]:
    return [Sample(case, "baton", 0, own, ""), Sample(case, name, 0, peer, "")]


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.peer and row.must], ids=lambda row: f"{row.number} {row.case}"
)
def test_every_row_beside_a_peer_is_judged_by_its_own_limits(row: Row) -> None:
    def verdict(ratio: float) -> str:
        own = Sample(row.case, "baton", 0, ratio * 8, "")
        return judge(row, [own, Sample(row.peer_case or row.case, row.peer, 0, 8.0, "")]).verdict

    assert verdict(row.aim) == "aim"
    assert verdict(row.must) == "met"
    assert verdict(row.must * 0.99) == "missed"


@pytest.mark.parametrize(
    ("own", "told"),
    [(0.5, "0.50"), (9.994, "9.99"), (10.0, "10.0"), (99.94, "99.9"), (100.0, "100"), (12345.6, "12,346")],
)
def test_numbers_are_as_long_as_they_are_telling(own: float, told: str) -> None:
    row = Row("C2", "x", "case", "vllm", 0.1, 0.2)
    assert f"| {told} | 1.00 |" in table(both("case", own, 1.0, "vllm"), [row])


def test_a_row_with_its_own_side_only_has_no_ratio() -> None:
    row = Row("C2", "x", "case", "vllm", 1.3, 1.8)
    assert table([Sample("case", "baton", 0, 5.0, "")], [row]).splitlines()[2] == (
        "| C2 | x / vllm | 5.00 |  | - | >= 1.3 | 1.8 |  |"
    )


def test_a_row_of_the_peer_alone_is_left_out() -> None:
    row = Row("C2", "x", "case", "vllm", 1.3, 1.8)
    assert len(table([Sample("case", "vllm", 0, 5.0, "")], [row]).splitlines()) == 2


def test_a_row_for_comparison_has_no_limits() -> None:
    row = Row("C6", "the same of vLLM", "case", "", 0, 0, side="vllm")
    line = table([Sample("case", "vllm", 0, 2.5, ""), Sample("case", "vllm", 1, 3.5, "")], [row]).splitlines()[2]
    assert line == "| C6 | the same of vLLM |  |  | **3.00** (2.50 to 3.50) |  |  |  |"
