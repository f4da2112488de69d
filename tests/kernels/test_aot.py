"""Kernels become machine code for devices that are not there, as their launchers would launch them.

Compiled in a process of its own: this one may have chosen Triton's interpreter, which knows no other way.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("decode, llama-135m, bf16 KV", "products of 1 row, llama-135m", "row ops, llama-135m", "token_mask")

pytestmark = [
    pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed"),
    pytest.mark.timeout(600),  # on a new machine nothing has been compiled yet
]


@pytest.fixture(scope="module")
def compiled() -> list[dict[str, Any]]:
    command = [sys.executable, "-W", "ignore", "-m", "loadtest.gpu.compile", "--json", *NAMES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_kernel_of_a_decode_step_compiles_for_both(compiled: list[dict[str, Any]]) -> None:
    for capability in ([8, 0], [9, 0]):
        names = {entry["name"] for entry in compiled if entry["capability"] == capability}
        assert names >= {
            "decode_attention_kernel",
            "work_list_kernel",
            "rope_write_kernel",
            "rms_norm_kernel",
            "silu_mul_kernel",
            "small_linear_kernel",
            "token_mask_kernel",
        }
    assert all(entry["cubin_bytes"] > 1000 for entry in compiled)


def test_none_spills_or_asks_for_more_than_a_processor_has(compiled: list[dict[str, Any]]) -> None:
    assert [entry for entry in compiled if not entry["fits"]] == []


def test_products_use_the_matrix_units(compiled: list[dict[str, Any]]) -> None:
    used = {(entry["name"], entry["capability"][0]): entry["matrix_instructions"] for entry in compiled}
    assert used["small_linear_kernel", 9] == "wgmma"
    assert used["small_linear_kernel", 8] == "mma"
    assert used["decode_attention_kernel", 9] == "mma"
    assert used["decode_attention_kernel", 8] == "mma"


def test_the_programs_that_stay_resident_fit_together(compiled: list[dict[str, Any]]) -> None:
    """As many as the launch table says a processor holds at once: registers and shared memory allow it."""
    for entry in compiled:
        if entry["name"] == "decode_attention_kernel":
            shared = 227 << 10 if entry["capability"] == [9, 0] else 163 << 10
            assert 2 * (entry["shared_bytes"] + 1024) <= shared + 1024
            assert 2 * entry["registers"] * 32 * entry["num_warps"] <= 65536
