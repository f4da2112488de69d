"""The table of what is compiled: names of launches, what fits a processor, and a line for each. Compiles nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("triton")

from common.kernels.aot import Compiled
from loadtest.gpu import compile as compiling
from loadtest.gpu.compile import CAPABILITIES, SHARED_BYTES, STACK_BYTES, fits, line
from loadtest.gpu.launches import MODELS, launches

GOOD = Compiled("silu_mul_kernel", (9, 0), 4, 40, 0, 2048, "wgmma", 9000)


def test_every_model_has_its_products_row_ops_and_attention() -> None:
    names = launches()
    for model in MODELS:
        of_model = [name for name in names if f", {model}" in name]
        assert len(of_model) == 7
        assert sum(name.startswith(("decode", "chunk")) for name in of_model) == 4


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        (("token_mask",), ["token_mask"]),
        (("copy_blocks",), ["copy_blocks", "copy_blocks with checksums"]),
        (("decode, qwen3-0.6b",), ["decode, qwen3-0.6b, bf16 KV", "decode, qwen3-0.6b, fp8 KV"]),
        (("choose", "logprobs"), ["choose_tokens", "logprobs"]),
        (("no such",), []),
    ],
)
def test_launches_are_found_by_parts_of_their_names(parts: tuple[str, ...], found: list[str]) -> None:
    assert list(launches(*parts)) == found


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_kernel_fits_up_to_the_limits(capability: tuple[int, int]) -> None:
    limit = SHARED_BYTES[capability]
    good = replace(GOOD, capability=capability)
    assert fits(replace(good, shared_bytes=limit, stack_bytes=STACK_BYTES))
    assert not fits(replace(good, shared_bytes=limit + 1))
    assert not fits(replace(good, stack_bytes=STACK_BYTES + 1))


def test_a_line_is_a_row_of_the_table() -> None:
    assert line("row ops", GOOD) == ("| row ops | silu_mul_kernel | sm_90 | 4 | 40 | 0 | 2,048 | wgmma |  |")
    assert line("x", replace(GOOD, stack_bytes=400)).endswith("| spills or too large |")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, Compiled]]:
    made = [("row ops", GOOD), ("row ops", replace(GOOD, capability=(8, 0)))]

    def compile_all(*only: str) -> Iterator[tuple[str, Compiled]]:
        yield from (each for each in made if not only or any(part in each[0] for part in only))

    monkeypatch.setattr(compiling, "compile_all", compile_all)
    monkeypatch.setattr(compiling, "RESULT", tmp_path / "results" / "kernels.md")
    return made


def test_the_whole_table_is_written(compiled: list[tuple[str, Compiled]]) -> None:
    assert compiling.main([]) == 0
    text = compiling.RESULT.read_text()
    assert text.count("| row ops |") == 2
    assert "compiled, not run" in text


def test_a_kernel_that_spills_fails_the_run(compiled: list[tuple[str, Compiled]]) -> None:
    compiled.append(("decode", replace(GOOD, stack_bytes=400)))
    assert compiling.main([]) == 1
    assert "spills" in compiling.RESULT.read_text()


def test_a_part_of_it_is_printed_and_not_written(compiled: list[tuple[str, Compiled]]) -> None:
    assert compiling.main(["row"]) == 0
    assert not compiling.RESULT.exists()


def test_as_json_it_is_a_line_a_kernel(
    compiled: list[tuple[str, Compiled]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compiling.main(["--json"]) == 0
    found = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert [(each["launch"], each["fits"], each["capability"]) for each in found] == [
        ("row ops", True, [9, 0]),
        ("row ops", True, [8, 0]),
    ]
