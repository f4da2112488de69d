"""The demo model is a whole Llama folder, the same each time, and its words are words."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from baton.demo import CONTEXT, HIDDEN, LAYERS, TEXT, VOCAB, make_demo


def test_it_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "demo"
    assert make_demo(folder)
    assert not make_demo(folder)
    assert {file.name for file in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert [file.name for file in folder.parent.iterdir()] == ["demo"]


def test_half_a_model_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "tokenizer.json").write_text("{")
    assert make_demo(tmp_path / "demo")
    assert json.loads((tmp_path / "demo" / "config.json").read_text())["max_position_embeddings"] == CONTEXT


def test_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_demo(tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_shapes_and_tokens(tmp_path: Path) -> None:
    make_demo(tmp_path / "demo")
    tensors = load_file(tmp_path / "demo" / "model.safetensors")
    assert tensors["model.embed_tokens.weight"].shape == (VOCAB, HIDDEN)
    assert sum(name.endswith("q_proj.weight") for name in tensors) == LAYERS
    tokenizer = Tokenizer.from_file(str(tmp_path / "demo" / "tokenizer.json"))
    text = " ".join(TEXT.split())
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert max(tokenizer.encode("ein Text mit Ümläuten 🙂").ids) < VOCAB


def test_nothing_but_the_head_touches_the_constant(tmp_path: Path) -> None:
    make_demo(tmp_path / "demo")
    tensors = load_file(tmp_path / "demo" / "model.safetensors")
    writers = [value for name, value in tensors.items() if name.endswith(("o_proj.weight", "down_proj.weight"))]
    assert len(writers) == 2 * LAYERS
    assert not any(np.any(value[0]) for value in writers)
    assert len(set(tensors["model.embed_tokens.weight"][:, 0])) == 1
