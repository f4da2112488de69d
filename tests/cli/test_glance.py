"""Figures of the fleet's page, one by one: units, dashes, tones, and the order of members."""

from itertools import product
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from baton.cli.glance import BAR_CELLS, STEPS, TONES, _bytes, _count, _ms, _rate, _share, bar, glance, sparkline


def lines(seen: dict[str, Any]) -> list[str]:
    console = Console(width=140, no_color=True)
    with console.capture() as captured:
        console.print(glance(seen))
    return captured.get().splitlines()


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "-"), (0, "0.0 ms"), (0.04, "0.0 ms"), (12.34, "12.3 ms"), (999.9, "999.9 ms"), (1000, "1.00 s")],
)
def test_times(value: float | None, told: str) -> None:
    assert _ms(value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "-"), (0, "0.0 MB/s"), (2_500_000, "2.5 MB/s"), (999_940_000, "999.9 MB/s"), (1e9, "1.0 GB/s")],
)
def test_bytes(value: float | None, told: str) -> None:
    assert _bytes(value) == told


def test_rates_shares_and_counts() -> None:
    assert (_rate(None, "t/s"), _rate(0, "t/s"), _rate(12345.6, "t/s")) == ("-", "0 t/s", "12,346 t/s")
    assert (_share(None), _share(0.0), _share(0.256), _share(1.0)) == ("-", "0%", "26%", "100%")
    assert (_count({}, "running"), _count({"running": 0}, "running")) == ("-", "0")


AMOUNTS = (0, 1, 7, 128, 255, 256)


@pytest.mark.parametrize(("held", "cached", "quarantined"), list(product(AMOUNTS, repeat=3)))
def test_a_bar_is_full_length_and_shows_each_kind_that_is_there(held: int, cached: int, quarantined: int) -> None:
    drawn = bar(held, cached, quarantined, 256)
    assert len(drawn.plain) == BAR_CELLS
    tones = {span.style: span.end - span.start for span in drawn.spans if span.end > span.start}
    assert ("cyan" in tones, "red" in tones, "blue" in tones) == (held > 0, quarantined > 0, cached > 0)


@pytest.mark.parametrize(("held", "cells"), [(0, 0), (1, 1), (128, 8), (255, 16), (256, 16), (1000, 16)])
def test_a_bar_is_in_proportion(held: int, cells: int) -> None:
    assert bar(held, 0, 0, 256).plain.count("█") == cells


def test_a_pool_without_blocks_has_an_empty_bar() -> None:
    assert bar(5, 5, 5, 0).plain == "·" * BAR_CELLS


def test_a_sparkline_rises_as_its_values_do() -> None:
    drawn = sparkline([float(value) for value in range(9)]).plain
    assert drawn == STEPS
    assert sparkline([3.0]).plain == STEPS[-1]
    assert len(sparkline([1.0] * 60)) == 60


@pytest.mark.parametrize(("urgency", "tone"), [*TONES.items(), ("unheard of", "")])
def test_advice_has_the_tone_of_its_urgency(urgency: str, tone: str) -> None:
    parts = glance({"all_advice": [{"urgency": urgency, "text": "add decode"}]}).renderables
    (advice,) = [part for part in parts if isinstance(part, Text) and part.plain == "add decode"]
    assert advice.style == tone


def test_advice_stands_in_its_order_before_the_figures() -> None:
    found = lines({"all_advice": [{"text": "first"}, {"text": "second"}]})
    assert found[1:3] == ["first", "second"]


def test_members_stand_by_pool_and_name() -> None:
    names = [("decode", "decode-1"), ("prefill", "prefill-0"), ("decode", "decode-0"), ("other", "odd")]
    found = lines({"members": [{"role": role, "name": name} for role, name in names]})
    shown = [line.split()[0] for line in found if line.startswith(("decode-", "prefill-", "odd"))]
    assert shown == ["prefill-0", "decode-0", "decode-1"]


def test_an_empty_pool_says_so() -> None:
    found = lines({})
    assert found[0].startswith("?   not serving   - running, - waiting, 0 ended, - tried again")
    assert [line.strip() for line in found].count("none") == 2


@pytest.mark.parametrize("state", ["serving", "draining", "lost"])
def test_a_member_is_shown_in_its_state(state: str) -> None:
    (line,) = [
        line for line in lines({"members": [{"role": "decode", "name": "d", "state": state}]}) if line[:2] == "d "
    ]
    assert line.split()[1:4] == [state, "-/-", "-"]
    assert line.split()[-5:] == ["0/0", "-", "-", "-", "-"]


def test_blocks_in_use_are_those_owned_and_those_sealed() -> None:
    blocks = {"owned": 3, "sealed": 4, "cached": 5, "quarantined": 6, "total": 64}
    (line,) = [
        line for line in lines({"members": [{"role": "prefill", "name": "p", "blocks": blocks}]}) if "/64" in line
    ]
    assert " 7/64 " in line


def test_history_without_values_is_flat_and_gaps_are_zeros() -> None:
    found = lines({"history": {"output_tokens_per_s": [None, 2.0, None]}, "rates": {"output_tokens_per_s": 2.0}})
    (line,) = [line for line in found if line.startswith("output")]
    assert line.rstrip().endswith("█")
    assert "2 tokens/s" in line


def test_percentiles_have_a_row_each_even_when_none_is_known() -> None:
    found = lines({"latency": {"itl_ms": {"p50": 3.0, "p99": None}}})
    by_name = {
        line.split("  ")[0]: line.split()[-3 * 2 :] for line in found if line.startswith(("first", "between", "whole"))
    }
    assert by_name["first token"][-3:] == ["-", "-", "-"]
    assert by_name["between tokens"][-4:] == ["3.0", "ms", "-", "-"]
