"""Models to measure with: shapes of well-known ones, weights drawn on the device, no files read.

Owns the arithmetic of what a step of one must read and compute at least.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common.models.config import ModelConfig
from common.models.decoder import Decoder
from common.models.parameters import allocate

_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
SHAPES: dict[str, dict[str, Any]] = {
    "8B": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_parameters": _ROPE,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
        "torch_dtype": "bfloat16",
    },
    "0.6B": {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "max_position_embeddings": 40960,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "torch_dtype": "bfloat16",
    },
}
LARGE_DEVICE_BYTES = 40 << 30


@dataclass(frozen=True, slots=True)
class Cost:
    """The least a model's steps cost, in bytes read and in operations."""

    config: ModelConfig
    element: int = 2

    @property
    def linear_weights(self) -> int:
        c = self.config
        heads = (c.num_heads + 2 * c.num_kv_heads) * c.head_dim
        layer = c.hidden_size * (heads + c.num_heads * c.head_dim + 3 * c.intermediate_size)
        return c.num_layers * layer

    @property
    def kv_bytes(self) -> int:
        """Of one token."""
        return self.config.num_layers * 2 * self.config.num_kv_heads * self.config.head_dim * self.element

    def decode_bytes(self, rows: int, context: int) -> int:
        head = self.config.vocab_size * self.config.hidden_size
        return (self.linear_weights + head) * self.element + rows * context * self.kv_bytes

    def prefill_operations(self, tokens: int) -> int:
        c = self.config
        attention = 2 * tokens * tokens * c.num_heads * c.head_dim * c.num_layers
        return 2 * self.linear_weights * tokens + attention


def large_name(device: torch.device) -> str:
    """The 8B shape where it fits, the small one elsewhere: then the rows say so."""
    return "8B" if torch.cuda.get_device_properties(device).total_memory >= LARGE_DEVICE_BYTES else "0.6B"


def read_config(name: str) -> ModelConfig:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(SHAPES[name]))
        return ModelConfig.load(folder)


def draw_model(name: str, device: torch.device, kv_dtype: str = "auto") -> Decoder:
    """Random weights small enough that hidden rows stay finite."""
    config = read_config(name)
    parameters = allocate(config, torch.bfloat16, device)
    for tensor in {view.untyped_storage().data_ptr(): view for view in parameters.stored.values()}.values():
        whole = torch.empty(0, dtype=torch.bfloat16, device=device).set_(tensor.untyped_storage())
        whole.normal_(0.0, 0.02)
    for layer in parameters.layers:
        for norm in (layer.attention_norm, layer.mlp_norm, layer.qk_norm):
            if norm is not None:
                norm.fill_(1.0)
    parameters.norm.fill_(1.0)
    return Decoder(config, "bfloat16", device, parameters, kv_dtype)
