"""The fingerprint follows content, not place: same model same name, any difference another."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.models.fingerprint import model_fingerprint
from common.types.errors import ModelError
from tests.models.folders import SINGLE, Tensors, copy_model, edit_config, edit_tensors, shard
from tests.tiny import NAMES, tiny_model

TORCH_FREE = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from common.models.config import ModelConfig
from common.models.fingerprint import model_fingerprint
print(model_fingerprint(sys.argv[1]), ModelConfig.load(sys.argv[1]).num_layers)
"""


def test_copies_have_one_fingerprint(tmp_path: Path) -> None:
    fingerprint = model_fingerprint(tiny_model("llama"))
    assert len(fingerprint) == 32
    assert model_fingerprint(copy_model("llama", tmp_path)) == fingerprint
    assert model_fingerprint(str(tiny_model("llama"))) == fingerprint


def test_models_differ() -> None:
    assert len({model_fingerprint(tiny_model(name)) for name in NAMES}) == len(NAMES)


def test_other_numbers_in_one_matrix_show(tmp_path: Path) -> None:
    """Fine-tunes of one model differ in nothing but numbers."""

    def fingerprint(factor: float) -> str:
        folder = copy_model("llama", tmp_path / str(factor))

        def scale(tensors: Tensors) -> None:
            tensors["model.layers.2.mlp.down_proj.weight"] *= factor

        edit_tensors(folder, scale)
        return model_fingerprint(folder)

    assert fingerprint(1.0) != fingerprint(1.001)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: edit_config(folder, rms_norm_eps=1e-5),
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: shard(folder, 2),
    ],
    ids=["config", "tokenizer", "no tokenizer", "sharded"],
)
def test_any_difference_shows(change: Callable[[Path], object], tmp_path: Path) -> None:
    folder = copy_model("llama", tmp_path)
    change(folder)
    assert model_fingerprint(folder) != model_fingerprint(tiny_model("llama"))


def test_broken_weights_have_none(tmp_path: Path) -> None:
    folder = copy_model("llama", tmp_path)
    (folder / SINGLE).unlink()
    with pytest.raises(ModelError):
        model_fingerprint(folder)


def test_needs_neither_torch_nor_transformers() -> None:
    folder = tiny_model("llama")
    command = [sys.executable, "-c", TORCH_FREE, str(folder)]
    root = Path(__file__).parents[2]
    output = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    assert output.split() == [model_fingerprint(folder), "3"]


def test_the_decoder_does_not_need_transformers() -> None:
    code = "import sys; sys.modules['transformers'] = None; import common.models.decoder"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
