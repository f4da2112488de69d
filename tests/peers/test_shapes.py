"""Random models have the shape they are named after, and whatever they say can be read."""

import json
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoTokenizer

from common.models.decoder import Decoder
from loadtest import shapes
from loadtest.shapes import Shape, random_model


@pytest.mark.parametrize(("head_size", "family"), [(0, "llama"), (64, "qwen3")])
def test_a_shape_is_a_model_of_its_family(
    head_size: int, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(shapes.SHAPES, "other", Shape(64, 96, 2, 4, 2, 900, head_size=head_size))
    folder = random_model("other", tmp_path)
    config = AutoConfig.from_pretrained(folder)
    assert (config.model_type, config.head_dim) == (family, head_size or 16)
    assert Decoder.load(folder, "bfloat16").config.vocab_size == 900


def test_every_id_has_a_text(tmp_path: Path) -> None:
    """An id without one is nothing to send: a stream of such ids would look as if it stood still."""
    folder = random_model("tiny", tmp_path)
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == size
    assert all(tokenizer.decode([place]) for place in range(size))
