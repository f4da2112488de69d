"""Loading: single and sharded files, dtypes, progress, tied heads."""

from pathlib import Path

import pytest
import torch

from common.models.decoder import Decoder
from common.types.errors import ModelError
from tests.models.folders import Tensors, copy_model, edit_config, edit_tensors, shard
from tests.models.loop import all_logits, random_prompts
from tests.tiny import reference_logits, tiny_model

TOKENS = random_prompts(509, [60])[0]


def logits(folder: Path, dtype: str = "auto") -> torch.Tensor:
    return all_logits(Decoder.load(folder, dtype), TOKENS, 16, [40, 1])


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3-8to1"])
def test_sharded_equals_single(name: str, tmp_path: Path) -> None:
    folder = copy_model(name, tmp_path)
    shard(folder, 3)
    assert torch.equal(logits(folder), logits(tiny_model(name)))


@pytest.mark.parametrize("name", ["llama", "llama-yarn", "mistral-window", "qwen2", "qwen3"])
@pytest.mark.parametrize(("dtype", "torch_dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_half_precision_is_as_close_to_float32_as_transformers(name: str, dtype: str, torch_dtype: torch.dtype) -> None:
    import transformers

    truth = reference_logits(tiny_model(name), TOKENS)
    half = transformers.AutoModelForCausalLM.from_pretrained(tiny_model(name), dtype=torch_dtype)
    with torch.inference_mode():
        theirs = half(torch.tensor([TOKENS])).logits[0].float()
    ours = logits(tiny_model(name), dtype)
    assert ours.dtype == torch.float32
    assert (ours - truth).abs().mean() < 1.2 * (theirs - truth).abs().mean()


def test_auto_is_the_dtype_of_the_folder(tmp_path: Path) -> None:
    folder = copy_model("llama", tmp_path)
    edit_config(folder, dtype="bfloat16")
    decoder = Decoder.load(folder)
    assert (decoder.dtype, decoder.layout(16, "x").dtype) == ("bfloat16", "bfloat16")
    assert torch.equal(logits(folder), logits(tiny_model("llama"), "bfloat16"))


def test_weights_stored_in_half_load_into_float32(tmp_path: Path) -> None:
    folder = copy_model("llama", tmp_path)

    def halve(tensors: Tensors) -> None:
        tensors.update({name: tensor.bfloat16() for name, tensor in tensors.items()})

    edit_tensors(folder, halve)
    torch.testing.assert_close(logits(folder, "float32"), reference_logits(folder, TOKENS), rtol=0, atol=1e-4)


def test_progress_counts_every_byte_once(tmp_path: Path) -> None:
    folder = copy_model("llama", tmp_path)
    shard(folder, 2)
    heard: list[tuple[int, int]] = []
    decoder = Decoder.load(folder, progress=lambda done, total: heard.append((done, total)))
    assert len(heard) == 30
    assert sorted(heard) == heard
    assert {total for _, total in heard} == {heard[-1][0]} == {decoder.weight_bytes}


def test_old_rotary_buffers_are_ignored(tmp_path: Path) -> None:
    folder = copy_model("llama", tmp_path)
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    edit_tensors(folder, lambda tensors: tensors.update({name: torch.ones(8)}))
    assert torch.equal(logits(folder), logits(tiny_model("llama")))


def test_a_tied_model_may_store_its_head_again(tmp_path: Path) -> None:
    folder = copy_model("qwen2", tmp_path)
    edit_tensors(folder, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"]}))
    assert torch.equal(logits(folder), logits(tiny_model("qwen2")))


def test_a_tied_model_with_another_head_is_refused(tmp_path: Path) -> None:
    folder = copy_model("qwen2", tmp_path)
    edit_tensors(folder, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"] + 1}))
    with pytest.raises(ModelError, match=r"lm_head\.weight differs"):
        Decoder.load(folder)


def test_tied_embeddings_are_held_once() -> None:
    tied = Decoder.load(tiny_model("qwen2"))
    untied = Decoder.load(tiny_model("mistral"))
    # same shape but for three fused biases of 64 + 2 * 32
    assert untied.weight_bytes - tied.weight_bytes == (509 * 64 - 3 * 128) * 4
