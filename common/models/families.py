"""What tells the supported families apart: one row each. Everything else about them is the same dense decoder.

A family that needs more than a row here is another decoder, not another flag.
"""

from dataclasses import dataclass

from common.models.fields import Fields
from common.types.errors import ModelError


@dataclass(frozen=True, slots=True)
class Family:
    """`None` for a bias means that config.json's `attention_bias` decides.

    `window`: "never", "always" (every layer, when `sliding_window` is set) or "layers" (`use_sliding_window` and
    `layer_types`, or `max_window_layers`).
    """

    model_type: str
    qkv_bias: bool | None
    o_bias: bool | None
    mlp_bias: bool | None
    qk_norm: bool
    window: str
    head_dim: int | None = None


FAMILIES = {
    "LlamaForCausalLM": Family("llama", None, None, None, qk_norm=False, window="never"),
    "MistralForCausalLM": Family("mistral", False, False, False, qk_norm=False, window="always"),
    "Qwen2ForCausalLM": Family("qwen2", True, False, False, qk_norm=False, window="layers"),
    "Qwen3ForCausalLM": Family("qwen3", None, None, False, qk_norm=True, window="layers", head_dim=128),
}


def find_family(config: Fields) -> tuple[str, Family]:
    """The architecture's name and row; a folder's own code (`auto_map`) is never consulted, let alone run."""
    fix = f"Supported architectures: {', '.join(FAMILIES)}."
    names = config["architectures"] or [
        name for name, family in FAMILIES.items() if family.model_type == config["model_type"]
    ]
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise ModelError(f"{config.name} names no single architecture", fix)
    family = FAMILIES.get(names[0])
    if family is None:
        raise ModelError(f"architecture {names[0]!r} is not supported", fix)
    model_type = config.text("model_type", family.model_type)
    if model_type != family.model_type:
        raise ModelError(f"architecture {names[0]!r} comes with model type {model_type!r}, not its own", fix)
    return names[0], family


def layer_windows(config: Fields, family: Family, num_layers: int) -> tuple[int | None, ...]:
    """Per layer: how many tokens a query sees, itself included; None for all."""
    kinds = config["layer_types"]
    if family.window == "always":
        window = config.integer("sliding_window") if "sliding_window" in config else None
        expected = [("sliding" if window else "full") + "_attention"] * num_layers
        if kinds is not None and kinds != expected:
            raise ModelError("layer_types mixes attention kinds", "Such Mistral models are not supported yet.")
        return (window,) * num_layers
    window = config.integer("sliding_window", 4096) if config.flag("use_sliding_window") else None
    if family.window == "never":
        window = None
    if kinds is None:
        first = _first_window_layer(config, num_layers)
        return tuple(window if layer >= first else None for layer in range(num_layers))
    if not isinstance(kinds, list) or len(kinds) != num_layers:
        raise ModelError(f"layer_types does not name {num_layers} layers", "Correct config.json.")
    unknown = {str(kind) for kind in kinds} - {"full_attention", "sliding_attention"}
    if unknown or (window is None and "sliding_attention" in kinds):
        names = ", ".join(sorted(unknown or {"sliding_attention"}))
        raise ModelError(f"layer_types asks for {names}, which this model cannot have", "Supported: full attention.")
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)


def _first_window_layer(config: Fields, num_layers: int) -> int:
    """`max_window_layers` layers come first and see everything; 0 is allowed."""
    if config["max_window_layers"] == 0:
        return 0
    return min(config.integer("max_window_layers", 28), num_layers)
