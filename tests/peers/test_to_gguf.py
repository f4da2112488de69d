"""The file that llama.cpp gets has every weight of the folder, under its names and in its order."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from loadtest.peers import to_gguf
from tests.tiny import tiny_model


class Writer:
    """Keeps what it is told, as gguf's writer would."""

    last: "Writer"

    def __init__(self, path: Path, family: str) -> None:
        self.path, self.family = path, family
        self.told: dict[str, Any] = {}
        self.tensors: dict[str, torch.Tensor] = {}
        Writer.last = self

    def __getattr__(self, name: str) -> Any:
        return lambda *values: self.told.__setitem__(name, values[0] if values else True)

    def add_tensor(self, name: str, values: Any, raw_dtype: str = "float32") -> None:
        self.tensors[name] = torch.from_numpy(values)
        assert (raw_dtype == "float32") == (values.ndim == 1)

    def close(self) -> None:
        self.path.write_text("whole")


@pytest.fixture(autouse=True)
def gguf(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(
        GGUFWriter=Writer,
        GGMLQuantizationType=SimpleNamespace(BF16="bf16"),
        quantize=lambda values, kind: values,
    )
    monkeypatch.setitem(sys.modules, "gguf", module)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: weight for shard in folder.glob("*.safetensors") for name, weight in load_file(shard).items()}


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_every_weight_is_there(name: str, tmp_path: Path) -> None:
    folder, out = tiny_model(name), tmp_path / "m.gguf"
    to_gguf.main(folder, out)
    config = json.loads((folder / "config.json").read_text())
    written, own = Writer.last, weights(folder)
    assert out.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [out]
    assert len(written.tensors) == len(own)
    assert written.told["add_block_count"] == config["num_hidden_layers"]
    assert len(written.told["add_token_list"]) == config["vocab_size"]
    assert torch.equal(written.tensors["blk.0.ffn_down.weight"], own["model.layers.0.mlp.down_proj.weight"].float())
    queries = own["model.layers.1.self_attn.q_proj.weight"].float()
    assert torch.equal(written.tensors["blk.1.attn_q.weight"], queries) == (name == "qwen3")


def test_a_llamas_pairs_become_neighbours() -> None:
    rows = torch.arange(16).reshape(16, 1)
    assert to_gguf.neighbours(rows, 2).flatten().tolist() == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"model_type": "qwen2"}, "qwen2"), ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "rotary")],
)
def test_what_it_does_not_know_is_refused(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    folder = tiny_model("llama")
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    config = json.loads((folder / "config.json").read_text()) | change
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match=reason):
        to_gguf.main(tmp_path, tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()
