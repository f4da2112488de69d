"""How the Triton kernels are launched on each device: tiles, warps, stages, and how many programs stay resident.

Owns the table and the few facts of a device it depends on. Nothing is searched for while serving: the numbers are put
here after `loadtest.gpu.sweep` has measured them. Knows nothing of what the kernels compute.

Triton compiles a kernel again for a number that is 1, and for one that 16 divides. Kernels are told not to
(`do_not_specialize`) for every number that changes from step to step: it would happen in the middle of serving.
"""

import functools
from contextvars import ContextVar
from dataclasses import dataclass, replace
from importlib.util import find_spec

import torch


@dataclass(frozen=True, slots=True)
class Launch:
    """`tile` is what a program works on at once, in the kernel's own unit; `resident` counts programs per processor.

    `depth` is its second size, where it has one: how much of a product's inner side a step takes, or how many rows of
    queries a program of chunk attention.
    """

    tile: int
    warps: int
    stages: int = 1
    resident: int = 1
    depth: int = 0

    @property
    def options(self) -> dict[str, int | bool]:
        """As Triton's launch takes them."""
        return options(self.warps, self.stages)


def options(warps: int, stages: int = 1, fuse: bool = True) -> dict[str, int | bool]:
    """`fuse`: products and sums may round once together. Said each time: Triton's own default is about to turn."""
    return {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": fuse}


# Rows for any device; what differs on one stands below. Chosen by reasoning about bytes in flight, not measured yet.
COMMON = {
    "decode_attention": Launch(tile=64, warps=4, stages=3, resident=2),
    "decode_attention_fp8": Launch(tile=32, warps=4, stages=6, resident=2),
    "chunk_attention": Launch(tile=32, warps=4, stages=3, depth=64),
    # decoding e4m3 by integer arithmetic takes many registers
    "chunk_attention_fp8": Launch(tile=16, warps=4, stages=3, depth=64),
    "silu_mul": Launch(tile=1024, warps=4),
    "rope_write": Launch(tile=8, warps=4),
    "copy_blocks": Launch(tile=2048, warps=8, resident=4),
    "small_linear": Launch(tile=64, warps=4, stages=4, resident=2, depth=128),
    "small_linear_wide": Launch(tile=128, warps=4, stages=3, resident=2, depth=64),
    "token_mask": Launch(tile=2048, warps=4),
    "choose_tokens": Launch(tile=4096, warps=8),
    "logprobs": Launch(tile=4096, warps=8),
}
BY_CAPABILITY: dict[tuple[int, int], dict[str, Launch]] = {
    (9, 0): {
        # Triton 3.6 takes twice the registers that 3.9 does: two programs are what fits under both
        "decode_attention": Launch(tile=64, warps=4, stages=4, resident=2),
        "chunk_attention": Launch(tile=64, warps=8, stages=3, depth=128),
        "chunk_attention_fp8": Launch(tile=64, warps=8, stages=3, depth=128),
        "small_linear": Launch(tile=64, warps=4, stages=5, resident=2, depth=128),
        "small_linear_wide": Launch(tile=128, warps=4, stages=4, resident=2, depth=64),
    },
}
# What the interpreter takes instead: small enough that odd shapes need several tiles and programs.
INTERPRETED_PROCESSORS = 3
_INTERPRETED_TILES = {
    "decode_attention": 16,
    "decode_attention_fp8": 16,
    "chunk_attention": 16,
    "chunk_attention_fp8": 16,
    "silu_mul": 16,
    "rope_write": 2,
    "copy_blocks": 16,
    "small_linear": 16,
    "small_linear_wide": 32,
    "token_mask": 64,
    "choose_tokens": 256,
    "logprobs": 64,
}


# What tensors on torch's meta device stand for while kernels are compiled ahead of time.
ASSUMED: ContextVar[tuple[int, int]] = ContextVar("assumed_capability", default=(9, 0))
_ASSUMED_PROCESSORS = 132


def launch_of(kernel: str, device: torch.device) -> Launch:
    """The row for a kernel on a device."""
    if device.type == "cpu":
        return replace(COMMON[kernel], tile=_INTERPRETED_TILES[kernel], resident=1, depth=16)
    return BY_CAPABILITY.get(capability(device), {}).get(kernel, COMMON[kernel])


def capability(device: torch.device) -> tuple[int, int]:
    """The compute capability; (0, 0) of a CPU, where the interpreter runs the kernels."""
    if device.type == "meta":
        return ASSUMED.get()
    return _properties(device)[0] if device.type == "cuda" else (0, 0)


def num_processors(device: torch.device) -> int:
    """Streaming multiprocessors of a device."""
    if device.type == "meta":
        return _ASSUMED_PROCESSORS
    return _properties(device)[1] if device.type == "cuda" else INTERPRETED_PROCESSORS


@functools.cache
def _properties(device: torch.device) -> tuple[tuple[int, int], int]:
    found = torch.cuda.get_device_properties(device)
    return (found.major, found.minor), found.multi_processor_count


def decodes_e4m3(device: torch.device) -> bool:
    """Whether the device has an instruction for it."""
    return capability(device) >= (8, 9)


def refusals() -> tuple[type[Exception], ...]:
    """What Triton raises of its own, where a kernel does not compile or asks for more than a processor has: it is no
    RuntimeError.
    """
    if find_spec("triton") is None:
        return ()
    from triton import TritonError

    return (TritonError,)


def power_of_two(number: int, least: int = 1) -> int:
    """The next power of two; Triton's tiles have no other sizes, and `tl.dot` none below 16."""
    return max(least, 1 << (number - 1).bit_length())
