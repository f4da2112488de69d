"""The decoder's weights: fused the way the forward pass reads them, with a view for every tensor a folder stores.

Owns shapes and names. Knows nothing of files or of the forward pass.
"""

from dataclasses import dataclass

import torch

from common.models.config import ModelConfig


@dataclass(frozen=True, slots=True)
class LayerParameters:
    """`H` hidden, `N` heads, `K` KV heads, `D` head size, `I` intermediate. Biases are None where a family has none."""

    attention_norm: torch.Tensor  # [H]
    qkv: torch.Tensor  # [(N + 2K) D, H]
    qkv_bias: torch.Tensor | None
    qk_norm: torch.Tensor | None  # [2, D]
    o: torch.Tensor  # [H, N D]
    o_bias: torch.Tensor | None
    mlp_norm: torch.Tensor  # [H]
    gate_up: torch.Tensor  # [2 I, H]
    gate_up_bias: torch.Tensor | None
    down: torch.Tensor  # [H, I]
    down_bias: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class Parameters:
    """`stored` maps a name in the folder's files to the view it is read into. `head` is `embedding` when tied."""

    embedding: torch.Tensor  # [V, H]
    layers: tuple[LayerParameters, ...]
    norm: torch.Tensor  # [H]
    head: torch.Tensor  # [V, H]
    stored: dict[str, torch.Tensor]

    @property
    def num_bytes(self) -> int:
        return sum(view.numel() * view.element_size() for view in self.stored.values())


def allocate(config: ModelConfig, dtype: torch.dtype, device: torch.device | str) -> Parameters:
    """Uninitialised parameters; on the device "meta" they are shapes only."""
    stored: dict[str, torch.Tensor] = {}

    def fused(names: dict[str, int], *columns: int) -> torch.Tensor:
        """One tensor whose rows are the named tensors, one after the other."""
        tensor = torch.empty(sum(names.values()), *columns, dtype=dtype, device=device)
        start = 0
        for name, rows in names.items():
            stored[name] = tensor[start : start + rows]
            start += rows
        return tensor

    def layer(index: int) -> LayerParameters:
        prefix = f"model.layers.{index}."
        attention, mlp = prefix + "self_attn.", prefix + "mlp."
        hidden, inner, head_dim = config.hidden_size, config.intermediate_size, config.head_dim
        query_rows, kv_rows = config.num_heads * head_dim, config.num_kv_heads * head_dim

        def linear(names: dict[str, int], columns: int, biased: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
            weight = fused({f"{name}.weight": rows for name, rows in names.items()}, columns)
            return weight, fused({f"{name}.bias": rows for name, rows in names.items()}) if biased else None

        qkv, qkv_bias = linear(
            {attention + "q_proj": query_rows, attention + "k_proj": kv_rows, attention + "v_proj": kv_rows},
            hidden,
            config.qkv_bias,
        )
        o, o_bias = linear({attention + "o_proj": hidden}, query_rows, config.o_bias)
        gate_up, gate_up_bias = linear({mlp + "gate_proj": inner, mlp + "up_proj": inner}, hidden, config.mlp_bias)
        down, down_bias = linear({mlp + "down_proj": hidden}, inner, config.mlp_bias)
        norms = {attention + "q_norm.weight": head_dim, attention + "k_norm.weight": head_dim}
        return LayerParameters(
            attention_norm=fused({prefix + "input_layernorm.weight": hidden}),
            qkv=qkv,
            qkv_bias=qkv_bias,
            qk_norm=fused(norms).view(2, head_dim) if config.qk_norm else None,
            o=o,
            o_bias=o_bias,
            mlp_norm=fused({prefix + "post_attention_layernorm.weight": hidden}),
            gate_up=gate_up,
            gate_up_bias=gate_up_bias,
            down=down,
            down_bias=down_bias,
        )

    embedding = fused({"model.embed_tokens.weight": config.vocab_size}, config.hidden_size)
    return Parameters(
        embedding=embedding,
        layers=tuple(layer(index) for index in range(config.num_layers)),
        norm=fused({"model.norm.weight": config.hidden_size}),
        head=embedding if config.tied else fused({"lm_head.weight": config.vocab_size}, config.hidden_size),
        stored=stored,
    )
