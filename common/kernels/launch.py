"""How the Triton kernels are launched on each device: tiles, warps, stages, and how many programs stay resident.

Owns the table and the few facts of a device it depends on. Nothing is searched for while serving: the numbers are put
here after `loadtest.gpu.sweep` has measured them. Knows nothing of what the kernels compute.
"""

import functools
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True, slots=True)
class Launch:
    """`tile` is what a program works on at once, in the kernel's own unit; `resident` counts programs per processor."""

    tile: int
    warps: int
    stages: int = 1
    resident: int = 1


# Rows for any device; what differs on one stands below. Chosen by reasoning about bytes in flight, not measured yet.
COMMON = {
    "decode_attention": Launch(tile=64, warps=4, stages=3, resident=2),
    "decode_attention_fp8": Launch(tile=128, warps=4, stages=3, resident=2),
    "chunk_attention": Launch(tile=64, warps=4, stages=2),
    "silu_mul": Launch(tile=1024, warps=4),
    "rope_write": Launch(tile=8, warps=4),
    "copy_blocks": Launch(tile=2048, warps=8, resident=4),
    "small_linear": Launch(tile=64, warps=4, stages=4, resident=2),
    "token_mask": Launch(tile=2048, warps=4),
    "choose_tokens": Launch(tile=8192, warps=8),
    "logprobs": Launch(tile=4096, warps=8),
}
BY_CAPABILITY: dict[tuple[int, int], dict[str, Launch]] = {
    (9, 0): {
        "chunk_attention": Launch(tile=128, warps=8, stages=2),
        "small_linear": Launch(tile=64, warps=4, stages=5, resident=2),
    },
}
# What the interpreter takes instead: small enough that odd shapes need several tiles and programs.
INTERPRETED_PROCESSORS = 3
_INTERPRETED_TILES = {
    "decode_attention": 16,
    "decode_attention_fp8": 16,
    "chunk_attention": 16,
    "silu_mul": 16,
    "rope_write": 2,
    "copy_blocks": 16,
    "small_linear": 16,
    "token_mask": 64,
    "choose_tokens": 256,
    "logprobs": 64,
}


@functools.cache
def launch_of(kernel: str, device: torch.device) -> Launch:
    """The row for a kernel on a device."""
    if device.type != "cuda":
        return replace(COMMON[kernel], tile=_INTERPRETED_TILES[kernel], resident=1)
    return launch_for(kernel, torch.cuda.get_device_capability(device))


def launch_for(kernel: str, capability: tuple[int, int]) -> Launch:
    """The same by compute capability, for compiling ahead of time."""
    return BY_CAPABILITY.get(capability, {}).get(kernel, COMMON[kernel])


@functools.cache
def num_processors(device: torch.device) -> int:
    """Streaming multiprocessors of a device."""
    if device.type != "cuda":
        return INTERPRETED_PROCESSORS
    count: int = torch.cuda.get_device_properties(device).multi_processor_count
    return count


def power_of_two(number: int, least: int = 1) -> int:
    """The next power of two; Triton's tiles have no other sizes, and `tl.dot` none below 16."""
    return max(least, 1 << (number - 1).bit_length())
