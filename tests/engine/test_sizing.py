"""The arithmetic of the KV pool, and what an operator is told when it does not work out."""

import pytest

from common.engine.limits import Limits
from common.engine.sizing import choose_num_blocks, describe_pool
from common.types.errors import StartupError
from common.types.kv import KVLayout

LAYOUT = KVLayout("m", num_layers=4, num_kv_heads=2, block_tokens=16, head_dim=32, dtype="bfloat16")  # 16 KiB a block
LIMITS = Limits(token_budget=512, max_sequences=8, max_model_tokens=2048)
MIB = 1 << 20


def choose(num_blocks: int = 0, kv_bytes: int = 0, free_bytes: int = 1 << 30, share: float = 0.25) -> int:
    return choose_num_blocks(LAYOUT, LIMITS, num_blocks, kv_bytes, free_bytes, share)


def test_a_number_of_blocks_is_taken_as_it_is() -> None:
    assert LAYOUT.block_bytes == 16 << 10
    assert choose(num_blocks=100, kv_bytes=5 * MIB) == 100


def test_an_amount_of_memory_is_filled() -> None:
    assert choose(kv_bytes=5 * MIB) == 320
    assert choose(kv_bytes=5 * MIB + LAYOUT.block_bytes - 1) == 320


def test_automatic_is_a_share_of_what_is_free() -> None:
    assert choose(free_bytes=32 * MIB) == 512
    assert choose(free_bytes=32 * MIB, share=0.5) == 1024


def test_automatic_takes_no_more_than_all_sequences_can_use() -> None:
    assert choose(free_bytes=1 << 40) == 2048 * 8 // 16


@pytest.mark.parametrize(
    ("options", "cause", "fix"),
    [
        ({"num_blocks": 15}, "would hold 240 tokens", "num_blocks"),
        ({"kv_bytes": 1000}, "would hold 0 tokens", "kv_memory"),
        ({"free_bytes": MIB // 2}, "would hold 128 tokens", "kv_memory"),
        ({"free_bytes": -5 * MIB}, "would hold 0 tokens", "kv_memory"),
        ({"kv_bytes": 64 * MIB, "free_bytes": 63 * MIB}, "needs 64 MiB, and 63 MiB are left", "Lower kv_memory"),
        ({"num_blocks": 4096, "free_bytes": 63 * MIB}, "needs 64 MiB, and 63 MiB are left", "num_blocks"),
    ],
)
def test_too_little_is_refused_with_a_fix(options: dict[str, int], cause: str, fix: str) -> None:
    with pytest.raises(StartupError) as refused:
        choose_num_blocks(
            LAYOUT, LIMITS, **{"num_blocks": 0, "kv_bytes": 0, "free_bytes": 1 << 30, **options}, share=0.25
        )
    assert cause in refused.value.cause
    assert fix in refused.value.fix


def test_a_model_of_short_contexts_needs_a_small_pool_only() -> None:
    assert choose_num_blocks(LAYOUT, Limits(512, 8, 64), 4, 0, 1 << 30, 0.25) == 4


def test_the_line_for_the_operator() -> None:
    assert describe_pool(LAYOUT, LIMITS, 640) == (
        "KV pool: 640 blocks of 16 tokens = 10240 tokens of 1024 bytes (bfloat16), 10 MiB; "
        "room for 10.0 sequences of 1024 tokens, at most 8 run together"
    )
    assert "0.25 MiB" in describe_pool(LAYOUT, LIMITS, 16)
