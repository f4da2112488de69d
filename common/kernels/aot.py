"""Compiles kernels for a device that is not there, exactly as their launchers would launch them.

The launchers run on torch's meta device, which has shapes and no memory; in place of launching, each kernel is noted
with its arguments' types and constants, then compiled to PTX and machine code by Triton's own compiler.
"""

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from common.kernels.launch import ASSUMED

TRITON_VERSION: str = triton.__version__
_POINTERS = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.float8_e4m3fn: "*fp8e4nv",
    torch.int64: "*i64",
    torch.int32: "*i32",
    torch.uint8: "*u8",
}
_OPTIONS = ("num_warps", "num_stages", "enable_fp_fusion")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One launch: a kernel, and what Triton would have specialised it on."""

    function: Any
    signature: dict[str, str]
    constants: dict[str, Any]
    aligned: tuple[int, ...]  # arguments that 16 divides
    options: dict[str, int]

    @property
    def name(self) -> str:
        return str(self.function.__name__)


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one variant needs of a processor; the stack's bytes are a thread's, shared ones a program's."""

    name: str
    capability: tuple[int, int]
    num_warps: int
    registers: int
    stack_bytes: int
    shared_bytes: int
    matrix_instructions: str
    cubin_bytes: int


def record(launch: Callable[[], object], capability: tuple[int, int], kernels: list[Any]) -> list[Recorded]:
    """The launches of `kernels` that `launch` makes on meta tensors, for a device of this capability."""
    recorded: list[Recorded] = []
    token = ASSUMED.set(capability)
    try:
        with _noting(kernels, recorded):
            launch()
    finally:
        ASSUMED.reset(token)
    return recorded


@contextmanager
def _noting(kernels: list[Any], recorded: list[Recorded]) -> Iterator[None]:
    """A kernel's launch goes through its attribute `run`; an instance's own hides the class's for a while."""

    def noting(function: Any) -> Callable[..., None]:
        def run(*args: Any, grid: Any, warmup: bool, **options: Any) -> None:
            recorded.append(_specialise(function, args, options))

        return run

    for kernel in kernels:
        kernel.run = noting(kernel)
    try:
        yield
    finally:
        for kernel in kernels:
            del kernel.run


def _specialise(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Recorded:
    given = dict(zip(function.arg_names, args, strict=False))
    given |= {name: value for name, value in options.items() if name not in _OPTIONS}
    signature, constants, aligned = {}, {}, []
    for index, name in enumerate(function.arg_names):
        value, parameter = given[name], function.params[index]
        special = not parameter.do_not_specialize
        if parameter.is_constexpr or (isinstance(value, int) and value == 1 and special):
            signature[name], constants[name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[name] = _POINTERS[value.dtype]
            aligned.append(index)
        elif isinstance(value, float):
            signature[name] = "fp32"
        else:
            signature[name] = "i32" if -(2**31) <= value < 2**31 else "i64"
            if value % 16 == 0 and special:
                aligned.append(index)
    return Recorded(
        function, signature, constants, tuple(aligned), {name: options[name] for name in _OPTIONS if name in options}
    )


def compile_for(recorded: Recorded, capability: tuple[int, int]) -> Compiled:
    """Raises what Triton's compiler raises."""
    attributes = {(index,): [["tt.divisibility", 16]] for index in recorded.aligned}
    source = ASTSource(recorded.function, recorded.signature, recorded.constants, attributes)
    target = GPUTarget("cuda", capability[0] * 10 + capability[1], 32)
    made = triton.compile(source, target=target, options=dict(recorded.options))
    usage = _resource_usage(made.asm["cubin"])
    return Compiled(
        name=recorded.name,
        capability=capability,
        num_warps=made.metadata.num_warps,
        registers=_number(r"REG:(\d+)", usage),
        stack_bytes=_number(r"STACK:(\d+)", usage),
        shared_bytes=made.metadata.shared,
        matrix_instructions=_matrix_instructions(made.asm["ptx"]),
        cubin_bytes=len(made.asm["cubin"]),
    )


def _resource_usage(cubin: bytes) -> str:
    """What the assembler noted in the machine code of registers and of the stack, which is where spills go."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _matrix_instructions(ptx: str) -> str:
    kinds = sorted(set(re.findall(r"\b(wgmma\.mma_async|mma\.sync)\b", ptx)))
    return " and ".join(kind.partition(".")[0] for kind in kinds)
