"""A model's shape, read from its folder's config.json. Frozen numbers; no torch, so that a router can read it too.

Knows nothing of weights. Anything the decoder would compute differently from what config.json asks is refused here.
"""

from dataclasses import dataclass
from pathlib import Path

from common.models.families import find_family, layer_windows
from common.models.fields import Fields, read_fields
from common.models.rope_config import RopeConfig
from common.types.errors import ModelError
from common.types.kv import DTYPE_BYTES, KVLayout


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """`windows` holds, per layer, how many tokens a query sees (itself included), or None for all."""

    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    norm_eps: float
    max_tokens: int
    rope: RopeConfig
    windows: tuple[int | None, ...]
    qkv_bias: bool
    o_bias: bool
    mlp_bias: bool
    qk_norm: bool
    tied: bool
    dtype: str
    bos_token_id: int | None
    eos_token_ids: tuple[int, ...]

    @classmethod
    def load(cls, folder: Path | str) -> "ModelConfig":
        """Reads config.json and, for the end-of-text tokens, generation_config.json."""
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no config.json", "Point --model at a model folder.")
        config = read_fields(folder / "config.json")
        architecture, family = find_family(config)
        _refuse_variants(config)
        num_layers = config.integer("num_hidden_layers")
        hidden_size = config.integer("hidden_size")
        num_heads = config.integer("num_attention_heads")
        num_kv_heads = config.integer("num_key_value_heads", 8 if family.model_type == "mistral" else num_heads)
        head_dim = config.integer("head_dim", family.head_dim or hidden_size // num_heads)
        if num_heads % num_kv_heads:
            raise ModelError(f"{num_heads} heads cannot share {num_kv_heads} KV heads", "Correct config.json.")
        if head_dim % 2:
            raise ModelError(f"head_dim is {head_dim}, which cannot be rotated in pairs", "Correct config.json.")
        positions = config.integer("max_position_embeddings", 2048)
        rope = RopeConfig.read(config, positions)
        biased = config.flag("attention_bias")
        bos, eos = _special_tokens(folder, config)
        return cls(
            architecture=architecture,
            vocab_size=config.integer("vocab_size"),
            hidden_size=hidden_size,
            intermediate_size=config.integer("intermediate_size"),
            num_layers=num_layers,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            norm_eps=config.number("rms_norm_eps", 1e-6),
            # yarn is often switched on without raising max_position_embeddings
            max_tokens=max(positions, int(rope.original_max_tokens * rope.factor) if rope.kind == "yarn" else 0),
            rope=rope,
            windows=layer_windows(config, family, num_layers),
            qkv_bias=biased if family.qkv_bias is None else family.qkv_bias,
            o_bias=biased if family.o_bias is None else family.o_bias,
            mlp_bias=config.flag("mlp_bias") if family.mlp_bias is None else family.mlp_bias,
            qk_norm=family.qk_norm,
            tied=config.flag("tie_word_embeddings"),
            dtype=_dtype(config),
            bos_token_id=bos[0] if bos else None,
            eos_token_ids=eos,
        )

    def end_token_ids(self, tokenizer_end: int | None) -> tuple[int, ...]:
        """Tokens that end an answer: the folder's own, else the tokenizer's."""
        if self.eos_token_ids or tokenizer_end is None:
            return self.eos_token_ids
        return (tokenizer_end,)

    def resolve_dtype(self, requested: str) -> str:
        """The name of the dtype to compute in; "auto" is what the folder says."""
        if requested == "auto":
            return self.dtype
        if requested not in DTYPE_BYTES:
            raise ModelError(f"dtype {requested!r} is not supported", f"Supported: auto, {', '.join(DTYPE_BYTES)}.")
        return requested

    def layout(self, block_tokens: int, fingerprint: str, dtype: str = "auto", kv_dtype: str = "auto") -> KVLayout:
        """How this model's KV blocks are laid out, when it computes in `dtype`."""
        return KVLayout(
            model=fingerprint,
            num_layers=self.num_layers,
            num_kv_heads=self.num_kv_heads,
            block_tokens=block_tokens,
            head_dim=self.head_dim,
            dtype=self.resolve_dtype(dtype) if kv_dtype == "auto" else kv_dtype,
        )


def _refuse_variants(config: Fields) -> None:
    """Options that change the numbers and that this decoder does not have."""
    if "quantization_config" in config:
        method = config.inner("quantization_config").text("quant_method", "unknown")
        raise ModelError(f"the weights are quantised ({method})", "Use the float32, bfloat16 or float16 model.")
    activation = config.text("hidden_act", "silu")
    if activation not in ("silu", "swish"):
        raise ModelError(f"activation {activation!r} is not supported", "Supported: silu.")
    for key in ("attn_logit_softcapping", "final_logit_softcapping", "attention_chunk_size", "num_local_experts"):
        if config[key]:
            raise ModelError(f"config.json asks for {key!r}, which is not supported", "Use a plain dense model.")


def _dtype(config: Fields) -> str:
    name = config.text("dtype", config.text("torch_dtype", "float32")).removeprefix("torch.")
    if name not in DTYPE_BYTES:
        raise ModelError(f"the folder's dtype {name!r} is not supported", f"Supported: {', '.join(DTYPE_BYTES)}.")
    return name


def _special_tokens(folder: Path, config: Fields) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """generation_config.json wins: chat models list their end-of-turn token only there."""
    path = folder / "generation_config.json"
    generation = read_fields(path) if path.is_file() else Fields({}, path.name)
    bos = generation.token_ids("bos_token_id") or config.token_ids("bos_token_id")
    eos = generation.token_ids("eos_token_id") or config.token_ids("eos_token_id")
    return bos, eos
