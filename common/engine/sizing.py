"""How large the KV pool becomes, and how to say so: arithmetic only. Knows neither models nor how memory is found."""

from common.engine.limits import Limits
from common.types.errors import StartupError
from common.types.kv import KVLayout

CPU_SHARE = 0.25  # of the free memory: a prefill and a decode worker often share a machine, and weights want cache
LEAST_TOKENS = 256  # a pool that cannot hold one sequence of this length serves nobody
_AVERAGE_TOKENS = 1024
_MIB = 1 << 20


def choose_num_blocks(
    layout: KVLayout, limits: Limits, num_blocks: int, kv_bytes: int, free_bytes: int, share: float
) -> int:
    """As many as were asked for, or as `kv_bytes` hold, or as a share of the free memory holds.

    `free_bytes` is what is left for KV once weights and workspace are taken off. A pool of automatic size never exceeds
    what `max_sequences` sequences of full length could use.
    """
    needed = layout.blocks_for(min(LEAST_TOKENS, limits.max_model_tokens))
    chosen = num_blocks
    fix = "Raise num_blocks"
    if not num_blocks:
        most = layout.blocks_for(limits.max_model_tokens) * limits.max_sequences
        auto = min(int(free_bytes * share) // layout.block_bytes, most)
        chosen = kv_bytes // layout.block_bytes if kv_bytes else auto
        fix = "Raise kv_memory" if kv_bytes else "Free some memory, or set kv_memory to take a larger share of it"
    if chosen < needed:
        raise StartupError(
            f"the KV pool would hold {max(chosen, 0) * layout.block_tokens} tokens in {_mib(chosen, layout)} MiB; "
            f"one sequence of {needed * layout.block_tokens} tokens needs {_mib(needed, layout)} MiB",
            fix,
        )
    if chosen * layout.block_bytes > free_bytes:
        raise StartupError(
            f"the KV pool needs {_mib(chosen, layout)} MiB, and {max(free_bytes, 0) // _MIB} MiB are left for it",
            "Lower kv_memory or num_blocks, or give the machine or container more memory",
        )
    return chosen


def describe_pool(layout: KVLayout, limits: Limits, num_blocks: int) -> str:
    """One line for the operator."""
    num_tokens = num_blocks * layout.block_tokens
    length = min(_AVERAGE_TOKENS, limits.max_model_tokens)
    return (
        f"KV pool: {num_blocks} blocks of {layout.block_tokens} tokens = {num_tokens} tokens "
        f"of {layout.token_bytes} bytes ({layout.dtype}), {_mib(num_blocks, layout)} MiB; "
        f"room for {num_tokens / length:.1f} sequences of {length} tokens, at most {limits.max_sequences} run together"
    )


def _mib(num_blocks: int, layout: KVLayout) -> str:
    size = max(num_blocks, 0) * layout.block_bytes / _MIB
    return f"{size:.0f}" if size >= 10 else f"{size:.2g}"
