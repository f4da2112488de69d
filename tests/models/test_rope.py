"""Frequencies and magnitudes against transformers' own, over many settings."""

import importlib
from typing import Any

import pytest
import torch

from common.models.fields import Fields
from common.models.rope import inverse_frequencies, rope_tables
from common.models.rope_config import RopeConfig

HEAD_DIM = 24
MAX_TOKENS = 4096

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SETTINGS: list[dict[str, Any]] = [
    {"rope_type": "linear", "factor": 3.5},
    {"rope_type": "dynamic", "factor": 2.0},
    {**LLAMA3, "original_max_position_embeddings": 1024},
    {**LLAMA3, "low_freq_factor": 2.5, "high_freq_factor": 3.0, "original_max_position_embeddings": 64},
    LLAMA3,
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024},
    {
        "rope_type": "yarn",
        "factor": 40.0,
        "original_max_position_embeddings": 128,
        "mscale": 0.7,
        "mscale_all_dim": 1.0,
    },
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024, "attention_factor": 0.8},
    {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 512, "beta_fast": 20.0, "beta_slow": 2.0},
    {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 512, "truncate": False},
    {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 4, "truncate": True},
    {"rope_type": "yarn", "factor": 0.5},
]


@pytest.mark.parametrize("theta", [1e4, 5e5])
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(map(str, setting.values())))
def test_equals_transformers(setting: dict[str, Any], theta: float) -> None:
    rope_utils: Any = importlib.import_module("transformers.modeling_rope_utils")
    llama: Any = importlib.import_module("transformers").LlamaConfig
    given = {**setting, "rope_theta": theta}
    config = llama(hidden_size=96, num_attention_heads=4, max_position_embeddings=MAX_TOKENS, rope_parameters=given)
    expected, magnitude = rope_utils.ROPE_INIT_FUNCTIONS[setting["rope_type"]](config)
    rope = RopeConfig.read(Fields({"rope_parameters": given}, "config.json"), MAX_TOKENS)
    assert rope.magnitude == pytest.approx(magnitude)
    torch.testing.assert_close(inverse_frequencies(rope, HEAD_DIM), expected, rtol=0, atol=0)


def test_tables_turn_each_pair_by_its_frequency() -> None:
    rope = RopeConfig("default", 1e4, magnitude=1.5)
    cos, sin = rope_tables(rope, HEAD_DIM, 50, torch.device("cpu"))
    assert cos.shape == sin.shape == (50, HEAD_DIM // 2)
    assert cos.dtype == torch.float32
    torch.testing.assert_close(cos.square() + sin.square(), torch.full_like(cos, 1.5**2))
    angles = 49 / 1e4 ** (torch.arange(0, HEAD_DIM, 2).double() / HEAD_DIM)
    torch.testing.assert_close(cos[49].double(), 1.5 * angles.cos(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sin[49].double(), 1.5 * angles.sin(), rtol=1e-5, atol=1e-5)


def test_values_inside_the_rope_object_win() -> None:
    fields = Fields({"rope_theta": 1.0, "rope_parameters": {"rope_theta": 2.0}}, "config.json")
    assert RopeConfig.read(fields, MAX_TOKENS).theta == 2.0


def test_yarn_without_a_factor_takes_the_ratio_of_the_lengths() -> None:
    given = {"rope_type": "yarn", "original_max_position_embeddings": 1024}
    assert RopeConfig.read(Fields({"rope_parameters": given}, "config.json"), MAX_TOKENS).factor == 4.0
