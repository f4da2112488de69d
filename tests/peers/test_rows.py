"""Ratios, spreads and verdicts from samples made by hand."""

from pathlib import Path

import pytest

from loadtest.peers.journal import Journal, Sample
from loadtest.peers.rows import ROWS, Row, judge, table
from loadtest.peers.sheet import text

ROW = Row("C2", "decode", "decode B=8", "vllm", 1.3, 1.8)
LONE = Row("C6", "pauses", "busy / idle", "", 1.5, 1.2, most=True)


def samples(side: str, *by_turn: list[float], case: str = "decode B=8") -> list[Sample]:
    return [Sample(case, side, turn, value, "x/s") for turn, all_ in enumerate(by_turn) for value in all_]


def test_a_ratio_is_of_medians_within_a_turn() -> None:
    found = judge(ROW, samples("baton", [10, 30, 20], [40]) + samples("vllm", [10], [10, 20, 30]))
    assert found.figures == (2.0, 2.0)
    assert (found.own, found.peer, found.verdict) == (30, 15, "aim")


def test_turns_without_the_other_side_do_not_count() -> None:
    found = judge(ROW, samples("baton", [14], [99]) + samples("vllm", [10]))
    assert found.figures == (1.4,)
    assert found.verdict == "met"


def test_another_case_may_be_the_peers() -> None:
    row = Row("C1", "x", "served", "llama.cpp", 0.9, 1.1, peer_case="engine")
    found = judge(row, samples("baton", [8], case="served") + samples("llama.cpp", [10], case="engine"))
    assert (found.figure, found.verdict) == (0.8, "missed")


@pytest.mark.parametrize(("value", "verdict"), [(1.1, "aim"), (1.4, "met"), (1.6, "missed")])
def test_rows_about_baton_alone(value: float, verdict: str) -> None:
    assert judge(LONE, samples("baton", [value], case="busy / idle")).verdict == verdict


def test_a_peer_of_nothing_makes_no_ratio() -> None:
    found = judge(ROW, samples("baton", [10]) + samples("vllm", [0]))
    assert (found.figures, found.verdict) == ((), "")
    assert "peer was 0" in table(samples("baton", [10]) + samples("vllm", [0]), [ROW])


def test_the_table_leaves_out_what_was_not_measured() -> None:
    lines = table(samples("baton", [13], [26]) + samples("vllm", [10], [10]), [ROW, LONE]).splitlines()
    assert len(lines) == 3
    assert lines[2] == "| C2 | decode / vllm | 19.5 | 10.0 | **1.95** (1.30 to 2.60) | >= 1.3 | 1.8 | aim |"


def test_every_row_has_one_number_and_limits_in_the_right_order() -> None:
    assert len({(row.number, row.what) for row in ROWS}) == len(ROWS)
    assert all((row.aim <= row.must) if row.most else (row.aim >= row.must) for row in ROWS)


def test_the_sheet_has_everything_and_the_journal_keeps_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    for sample in samples("baton", [10, 20], [30]):
        journal.add(sample)
    journal.note("vLLM is not installed")
    sheet = text(["two cores"], journal)
    assert "* two cores" in sheet
    assert "* vLLM is not installed" in sheet
    assert "| decode B=8 | baton | 22.5 x/s | 15, 30 |" in sheet
    assert len((tmp_path / "j.jsonl").read_text().splitlines()) == 4


def test_goodput_has_a_row_for_each_rate_and_only_the_best_is_judged() -> None:
    made = [
        sample
        for case in ("goodput at 3/s", "goodput at 1.5/s", "best goodput")
        for side, value in (("baton", [3.0]), ("vllm", [2.0]))
        for sample in samples(side, value, case=case)
    ]
    lines = table(made).splitlines()[2:]
    assert [line.split(" | ")[1] for line in lines] == [
        "goodput, the best over all rates / vllm",
        "goodput at 1.5 requests/s / vllm",
        "goodput at 3 requests/s / vllm",
    ]
    assert [line.endswith("| >= 1.3 | 2 | met |") for line in lines] == [True, False, False]
