"""A model's shape from config.json: both spellings, every family's rules, and refusals that name the reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.models.config import ModelConfig
from common.models.rope_config import RopeConfig
from common.types.errors import ModelError
from tests.tiny import NAMES, SHAPES, tiny_model

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 509,
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 2048,
}
QWEN2 = {**LLAMA, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
MISTRAL = {**LLAMA, "architectures": ["MistralForCausalLM"], "model_type": "mistral", "num_key_value_heads": 2}


def load(folder: Path, values: dict[str, Any], generation: dict[str, Any] | None = None) -> ModelConfig:
    (folder / "config.json").write_text(json.dumps(values))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return ModelConfig.load(folder)


@pytest.mark.parametrize("name", NAMES)
def test_reads_what_transformers_writes(name: str) -> None:
    shape = SHAPES[name][1]
    config = ModelConfig.load(tiny_model(name))
    assert config.hidden_size == shape["hidden_size"]
    assert config.num_kv_heads == shape["num_key_value_heads"]
    assert config.tied == shape.get("tie_word_embeddings", False)
    assert config.rope.kind == shape.get("rope_parameters", {}).get("rope_type", "default")
    assert (config.dtype, config.bos_token_id, config.eos_token_ids) == ("float32", 0, (1,))


def test_windows_per_layer() -> None:
    windows = {name: ModelConfig.load(tiny_model(name)).windows for name in NAMES}
    assert windows["llama"] == windows["mistral"] == windows["qwen3"] == (None, None, None)
    assert windows["mistral-window"] == (12, 12, 12)
    assert windows["qwen2-window"] == (None, 9, 9)
    assert windows["qwen3-window"] == (7, None, 7)


def test_both_spellings_of_rope_and_dtype_mean_the_same(tmp_path: Path) -> None:
    scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 512}
    old = {"rope_theta": 5e5, "rope_scaling": {"type": "llama3", **scaling}, "torch_dtype": "bfloat16"}
    new = {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **scaling}, "dtype": "bfloat16"}
    config = load(tmp_path, {**LLAMA, **old})
    assert config == load(tmp_path, {**LLAMA, **new})
    assert config.rope == RopeConfig("llama3", 5e5, 8.0, 512, 1.0, 4.0)
    assert config.dtype == "bfloat16"


def test_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, LLAMA)
    assert (config.num_kv_heads, config.head_dim, config.dtype, config.norm_eps) == (4, 16, "float32", 1e-6)
    assert (config.rope, config.eos_token_ids, config.bos_token_id) == (RopeConfig("default", 1e4), (), None)
    assert {config.qkv_bias, config.o_bias, config.mlp_bias, config.qk_norm, config.tied} == {False}


def test_families_differ_in_biases_and_norms(tmp_path: Path) -> None:
    qwen2 = load(tmp_path, QWEN2)
    assert (qwen2.qkv_bias, qwen2.o_bias, qwen2.qk_norm) == (True, False, False)
    qwen3 = load(tmp_path, {**LLAMA, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"})
    assert (qwen3.qkv_bias, qwen3.qk_norm, qwen3.head_dim) == (False, True, 128)
    biased = load(tmp_path, {**LLAMA, "attention_bias": True, "mlp_bias": True})
    assert (biased.qkv_bias, biased.o_bias, biased.mlp_bias) == (True, True, True)


def test_a_window_that_is_not_used_is_none(tmp_path: Path) -> None:
    assert load(tmp_path, {**QWEN2, "sliding_window": 9, "use_sliding_window": False}).windows == (None,) * 3
    assert load(tmp_path, {**QWEN2, "sliding_window": 9, "use_sliding_window": True}).windows == (None,) * 3
    every = {"sliding_window": 9, "use_sliding_window": True, "max_window_layers": 0}
    assert load(tmp_path, {**QWEN2, **every}).windows == (9,) * 3
    assert load(tmp_path, {**MISTRAL, "sliding_window": None}).windows == (None,) * 3


def test_generation_config_decides_the_end_tokens(tmp_path: Path) -> None:
    config = load(tmp_path, {**LLAMA, "eos_token_id": 2, "bos_token_id": 1}, {"eos_token_id": [7, 8]})
    assert (config.eos_token_ids, config.bos_token_id) == ((7, 8), 1)


def test_context_length(tmp_path: Path) -> None:
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}
    assert load(tmp_path, LLAMA).max_tokens == 2048
    assert load(tmp_path, {**LLAMA, "rope_scaling": yarn}).max_tokens == 8192
    assert load(tmp_path, {**LLAMA, "rope_scaling": {"type": "dynamic", "factor": 4.0}}).max_tokens == 2048


def test_resolves_dtypes(tmp_path: Path) -> None:
    config = load(tmp_path, {**LLAMA, "dtype": "bfloat16"})
    assert (config.resolve_dtype("auto"), config.resolve_dtype("float32")) == ("bfloat16", "float32")
    assert config.layout(16, "x").dtype == "bfloat16"
    with pytest.raises(ModelError, match="float64"):
        config.resolve_dtype("float64")


def test_the_folders_own_code_is_not_consulted(tmp_path: Path) -> None:
    (tmp_path / "modeling_llama.py").write_text("raise SystemExit")
    mapped = {**LLAMA, "auto_map": {"AutoModelForCausalLM": "modeling_llama.Llama"}}
    assert load(tmp_path, mapped) == load(tmp_path, LLAMA)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"architectures": ["GemmaForCausalLM"]}, "GemmaForCausalLM.*Supported.*LlamaForCausalLM"),
        ({"architectures": [], "model_type": "bert"}, "no single architecture"),
        ({"model_type": "my_llama"}, "my_llama"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised .gptq."),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"attn_logit_softcapping": 30.0}, "attn_logit_softcapping"),
        ({"rope_scaling": {"type": "longrope"}}, "longrope.*Supported"),
        ({"rope_scaling": {"type": "linear"}}, "'factor'"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "differently"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}}, "below"),
        ({"num_key_value_heads": 3}, "cannot share"),
        ({"head_dim": 15}, "head_dim is 15"),
        ({"hidden_size": None}, "no 'hidden_size'"),
        ({"hidden_size": "64"}, "'hidden_size' is '64'"),
        ({"hidden_size": True}, "'hidden_size' is True"),
        ({"hidden_size": 64.5}, "not a whole number"),
        ({"num_hidden_layers": 0}, "above 0"),
        ({"vocab_size": -1}, "above 0"),
        ({"tie_word_embeddings": "yes"}, "not true or false"),
        ({"dtype": "float8_e4m3fn"}, "float8_e4m3fn"),
        ({"layer_types": ["full_attention"]}, "3 layers"),
        ({"layer_types": ["full_attention", "linear_attention", "full_attention"]}, "linear_attention"),
        ({"layer_types": ["sliding_attention"] * 3}, "sliding_attention"),
        ({"eos_token_id": "</s>"}, "token ids"),
        ({"rope_scaling": 4}, "not an object"),
    ],
)
def test_refuses(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        load(tmp_path, {**LLAMA, **change})


def test_refuses_mixed_mistral_layers(tmp_path: Path) -> None:
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    with pytest.raises(ModelError, match="mixes"):
        load(tmp_path, {**MISTRAL, "sliding_window": 8, "layer_types": kinds})


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_refuses_what_is_not_a_json_object(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        ModelConfig.load(tmp_path)


def test_refuses_a_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        ModelConfig.load(tmp_path / "missing")
