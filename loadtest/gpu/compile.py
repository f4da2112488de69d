"""Compiles every kernel to machine code for sm_80 and sm_90 and says what each needs; no device is asked for.

`python -m loadtest.gpu.compile [PART OF A NAME ...] [--json]`. Without a name it also writes the table to
loadtest/results/. What compiles is known to compile; that it is right, and fast, only a device can tell.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from common.kernels import (
    adjust_logits,
    choose_tokens,
    chunk_attention,
    copy_blocks,
    cutoffs,
    decode_attention,
    logprobs,
    rms_norm,
    rope_write,
    silu_mul,
    small_linear,
    token_mask,
    work_list,
)
from common.kernels.aot import TRITON_VERSION, Compiled, compile_for, record
from loadtest.gpu.launches import launches

KERNELS = [
    adjust_logits.add_bias_kernel,
    adjust_logits.exclude_kernel,
    adjust_logits.penalise_kernel,
    choose_tokens.groups_kernel,
    choose_tokens.race_kernel,
    chunk_attention.chunk_attention_kernel,
    copy_blocks.copy_blocks_kernel,
    cutoffs.cutoffs_kernel,
    decode_attention.decode_attention_kernel,
    logprobs.logprobs_kernel,
    logprobs.tile_bests_kernel,
    rms_norm.rms_norm_kernel,
    rope_write.rope_write_kernel,
    silu_mul.silu_mul_kernel,
    small_linear.small_linear_kernel,
    token_mask.token_mask_kernel,
    work_list.work_list_kernel,
]
CAPABILITIES = [(9, 0), (8, 0)]
# What one program may have of a processor's shared memory.
SHARED_BYTES = {(8, 0): 163 << 10, (9, 0): 227 << 10}
# A few bytes of stack are the assembler's choice; a kernel that really spills has hundreds.
STACK_BYTES = 16
RESULT = Path(__file__).parents[1] / "results" / "kernels-aot.md"


def compile_all(*only: str) -> Iterator[tuple[str, Compiled]]:
    """Each variant once, with the name of the launch it came from."""
    for capability in CAPABILITIES:
        seen: set[str] = set()
        for name, launch in launches(*only).items():
            for recorded in record(launch, capability, KERNELS):
                key = f"{recorded.name} {recorded.signature} {recorded.constants} {recorded.aligned} {recorded.options}"
                if key not in seen:
                    seen.add(key)
                    yield name, compile_for(recorded, capability)


def fits(compiled: Compiled) -> bool:
    return compiled.stack_bytes <= STACK_BYTES and compiled.shared_bytes <= SHARED_BYTES[compiled.capability]


def line(name: str, compiled: Compiled) -> str:
    architecture = f"sm_{compiled.capability[0]}{compiled.capability[1]}"
    numbers = f"{compiled.num_warps} | {compiled.registers} | {compiled.stack_bytes} | {compiled.shared_bytes:,}"
    verdict = "" if fits(compiled) else "spills or too large"
    return f"| {name} | {compiled.name} | {architecture} | {numbers} | {compiled.matrix_instructions} | {verdict} |"


def main(arguments: Sequence[str]) -> int:
    only = [argument for argument in arguments if not argument.startswith("--")]
    if "--json" in arguments:
        for name, compiled in compile_all(*only):
            print(json.dumps({"launch": name, "fits": fits(compiled), **asdict(compiled)}), flush=True)
        return 0
    lines = [
        "| launch | kernel | for | warps | registers | stack bytes | shared bytes | products | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    good = True
    for name, compiled in compile_all(*only):
        lines.append(line(name, compiled))
        print(lines[-1], flush=True)
        good = good and fits(compiled)
    if not only:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(
            "# Kernels compiled ahead of time\n\n"
            f"Triton {TRITON_VERSION}, torch {torch.__version__}; compiled, not run: `make gpu-compile`.\n"
            "Registers and stack (where spills go) are a thread's, shared memory a program's.\n\n"
            + "\n".join(lines)
            + "\n"
        )
        print(f"written to {RESULT}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
