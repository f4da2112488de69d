"""How programs that share a result tell each other of their parts, read in the machine code's source (PTX).

The interpreter runs programs one after the other and shows no race. Here the instructions are held against what PTX's
memory model asks for: parts are stored, a barrier, one addition that releases and acquires at the device's scope, its
answer given to all threads behind a barrier, then loads that pass by the processor's own cache.
"""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTE = """
import json, re, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from common.kernels.aot import record
from loadtest.gpu.compile import KERNELS
from loadtest.gpu.launches import launches

KINDS = r"bar(?:rier)?[.]sync|atom[.][\\w.:]+|[sl][td][.](?:global|shared)[\\w.:]*"
found = {}
for name, launch in (
    ("decode_attention_kernel", "decode, llama-135m, bf16 KV"),
    ("small_linear_kernel", "products of 1 row, llama-135m"),
    ("race_kernel", "choose_tokens"),
):
    for capability in ((8, 0), (9, 0)):
        note = next(n for n in record(launches(launch)[launch], capability, KERNELS) if n.name == name)
        attributes = {(index,): [["tt.divisibility", 16]] for index in note.aligned}
        source = ASTSource(note.function, note.signature, note.constants, attributes)
        target = GPUTarget("cuda", capability[0] * 10 + capability[1], 32)
        ptx = triton.compile(source, target=target, options=dict(note.options)).asm["ptx"]
        found[f"{name} {capability[0]}"] = re.findall(KINDS, ptx)
print(json.dumps(found))
"""
TOLD = r"atom\.global\.gpu\.acq_rel\.add\.u32( st\.shared\S*)+ bar\S*sync( ld\.shared\S*)+"
PARTS = r"( st\.global\S*)+( bar\S*sync)+ " + TOLD + r"( bar\S*sync)+( ld\.global\.cg\S*)+"
WINNER = r" atom\.global\.gpu\.acq_rel\.max\.s64( bar\S*sync)+ " + TOLD + r" ld\.global\.cg\.b64 st\.global"

pytestmark = [
    pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed"),
    pytest.mark.timeout(600),  # on a new machine nothing has been compiled yet
]


@pytest.fixture(scope="module")
def instructions() -> dict[str, str]:
    """Of each kernel those that store, load, add atomically and wait, in their order."""
    command = [sys.executable, "-W", "ignore", "-c", NOTE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: " ".join(["", *kinds]) for name, kinds in json.loads(done.stdout).items()}


@pytest.mark.parametrize("capability", [8, 9])
@pytest.mark.parametrize("kernel", ["decode_attention_kernel", "small_linear_kernel"])
def test_parts_are_stored_before_they_are_told_of_and_loaded_after(
    kernel: str, capability: int, instructions: dict[str, str]
) -> None:
    assert re.search(PARTS, instructions[f"{kernel} {capability}"])


@pytest.mark.parametrize("capability", [8, 9])
def test_who_comes_last_reads_the_winner_behind_everybodys_word(capability: int, instructions: dict[str, str]) -> None:
    assert re.search(WINNER, instructions[f"race_kernel {capability}"])
