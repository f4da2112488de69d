"""Packing spans into the tensors a forward pass reads."""

import pytest

from common.kernels.batch import Batch, Span


def test_packs_decode_rows_and_chunks_end_to_end() -> None:
    batch = Batch.pack([Span([5], 9, [3, 1, 2]), Span([6], 0, [9]), Span([7, 8, 9], 2, (4, 6))], block_tokens=4)
    assert batch.token_ids.tolist() == [5, 6, 7, 8, 9]
    assert batch.positions.tolist() == [9, 0, 2, 3, 4]
    assert batch.slot_blocks.tolist() == [2, 9, 4, 4, 6]
    assert batch.slot_offsets.tolist() == [1, 0, 2, 3, 0]
    assert batch.query_starts.tolist() == [0, 1, 2, 5]
    assert batch.kv_lens.tolist() == [10, 1, 5]
    assert batch.block_tables.tolist() == [[3, 1, 2], [9, 0, 0], [4, 6, 0]]
    assert (batch.q_lens, batch.host_kv_lens, batch.num_decode) == ((1, 1, 3), (10, 1, 5), 2)
    assert (batch.num_tokens, batch.num_sequences) == (5, 3)
    assert batch.last_rows.tolist() == [0, 1, 4]


def test_only_leading_single_tokens_are_decode_rows() -> None:
    batch = Batch.pack([Span([1, 2], 0, [0]), Span([3], 4, [1, 2])], block_tokens=4)
    assert batch.num_decode == 0


def test_blocks_beyond_the_span_are_left_out() -> None:
    batch = Batch.pack([Span([1, 2], 0, [7, 8, 9])], block_tokens=4)
    assert batch.block_tables.tolist() == [[7]]


def test_all_integers_are_64_bit() -> None:
    batch = Batch.pack([Span([1], 0, [2])], block_tokens=4)
    for tensor in (batch.token_ids, batch.positions, batch.slot_blocks, batch.query_starts, batch.block_tables):
        assert tensor.element_size() == 8


@pytest.mark.parametrize(
    "spans", [[], [Span([], 0, [1])], [Span([1], 4, [1])], [Span([1], 0, [1]), Span([1] * 9, 0, [1, 2])]]
)
def test_refuses_what_cannot_be_computed(spans: list[Span]) -> None:
    with pytest.raises(ValueError, match="span"):
        Batch.pack(spans, block_tokens=4)
